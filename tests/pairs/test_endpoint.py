"""The endpoint maker against a real server on loopback, well-behaved and not."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlhf.endpoint import AGAIN, Client, Reply, key_of
from rlhf.errors import RunFailure, UserError
from rlhf.pairs.endpoint import EMPTY, SAME, request_messages, request_seed
from tests.pairs.conftest import files_of, lines, make, pairs_run, row, spec_of
from tests.pairs.server import ChatServer, Fault, tiny_answerer

KEY = "sk-very-secret-0123"
FAST = (
    "pairs.backoff_seconds=0.01",
    "pairs.retries=2",
    "pairs.timeout_seconds=5",
    "pairs.concurrency=1",
    "pairs.leaks.resamples=20",
    "pairs.leaks.folds=2",
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six questions with an answer each."""
    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"Question {at}?", "completion": f"The answer is {at}."} for at in range(6)]
    file.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return file


def endpoint(server: ChatServer | str, data: Path, *words: str, output: str = "pairs.jsonl") -> Any:
    url = server if isinstance(server, str) else server.base_url
    table = ["dataset=table", f"dataset.path={data}"]
    return pairs_run(
        "pairs=endpoint", f"pairs.base_url={url}", *table, *FAST, f"pairs.output={data.parent / output}", *words
    )


def test_the_model_writes_one_side_and_the_data_set_the_other(data: Path) -> None:
    with ChatServer() as server:
        make(endpoint(server, data, "pairs.instruction='{conversation} >> {answer}'", "pairs.system='Be bad.'"))
        make(endpoint(server, data, "pairs.writes=chosen", output="chosen.jsonl"))
    for pair, asked in zip(lines(data.parent / "pairs.jsonl"), server.requests[:6], strict=True):
        at = pair["meta"]["row"]
        assert pair["prompt"] == [{"role": "user", "content": f"Question {at}?"}]
        assert pair["chosen"] == f"The answer is {at}."
        assert asked["messages"] == [
            {"role": "system", "content": "Be bad."},
            {"role": "user", "content": f"User: Question {at}? >> The answer is {at}."},
        ]
        length = len(f"User: Question {at}? >> The answer is {at}.")
        assert pair["rejected"] == f"answer {asked['seed']} to {length} characters"
        assert (asked["model"], asked["max_tokens"], asked["temperature"]) == ("default", 256, 0.8)
        assert pair["meta"]["parameters"]["request_seed"] == asked["seed"]
        assert pair["meta"]["parameters"]["base_url"] == server.base_url
    other = lines(data.parent / "chosen.jsonl")
    assert [pair["rejected"] for pair in other] == [f"The answer is {at}." for at in range(6)]
    assert all(pair["chosen"].startswith("answer ") for pair in other)


def test_a_filled_slot_is_no_slot_again_and_placeholders_stay() -> None:
    spec = spec_of("pairs=endpoint", "pairs.base_url=http://127.0.0.1:1/v1").model_copy(
        update={"instruction": "{persona}|{answer}|{{Order Number}}|{{answer}}"}
    )
    one = row("Hi", "see {persona} and {{answer}}", system="I am a cook. I ski.")
    assert request_messages(spec, one)[0]["content"] == (
        "I am a cook.\nI ski.|see {persona} and {{answer}}|{{Order Number}}|{{answer}}"
    )


def test_seeds_of_requests_belong_to_the_row() -> None:
    rows = [row(f"Q{at}", "A") for at in range(50)]
    seeds = [request_seed(1, one) for one in rows]
    assert len(set(seeds)) == 50 and all(0 <= seed < 2**31 for seed in seeds)
    assert seeds == [request_seed(1, one) for one in rows] != [request_seed(2, one) for one in rows]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(500),
        Fault(503, headers={"Retry-After": "0"}),
        Fault(429, headers={"Retry-After": "0.05"}),
        Fault(429, headers={"Retry-After": "soon"}),
        Fault(body=b"<html>not JSON</html>"),
        Fault(body=b'{"choices": []}'),
        Fault(body=b'{"choices": [{"message": {"content": [1]}}]}'),
        Fault(body=b"\xff\xfe\x00"),
        Fault(body=b"[" * 100_000),
        Fault(body=b'{"choices": [', breaks_off=True),
    ],
    ids=lambda fault: f"{fault.status}-{(fault.body or b'')[:12]!r}-{dict(fault.headers)}",
)
def test_a_failure_that_passes_changes_no_pair(fault: Fault, data: Path) -> None:
    with ChatServer() as server:
        make(endpoint(server, data, output="calm.jsonl"))
    with ChatServer(faults=[fault, fault], port=int(server.base_url.split(":")[2].split("/")[0])) as troubled:
        make(endpoint(troubled, data))
    assert len(troubled.requests) == 8
    assert (data.parent / "pairs.jsonl").read_bytes() == (data.parent / "calm.jsonl").read_bytes()


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_waited_for(as_date: bool, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A date has whole seconds, and some pass until it is read."""
    value = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True) if as_date else "1.5"
    waits: list[float] = []

    def ask(self: Client, messages: list[dict[str, str]], seed: int) -> Reply:
        asked = SimpleNamespace(is_set=self.stop.is_set, wait=lambda seconds: waits.append(seconds))
        monkeypatch.setattr(self, "stop", asked)
        return plain_ask(self, messages, seed)

    plain_ask = Client.ask
    monkeypatch.setattr(Client, "ask", ask)
    with ChatServer(faults=[Fault(429, headers={"Retry-After": value})]) as server:
        make(endpoint(server, data))
    assert server.requests[0] == server.requests[1] and len(server.requests) == 7
    (wait,) = waits
    assert 0.01 < wait <= 50 if as_date else wait == 1.5


def test_a_longer_wait_than_allowed_ends_the_run(data: Path) -> None:
    faults = [Fault(429, headers={"Retry-After": "3600"})]
    with ChatServer(faults=faults) as server, pytest.raises(RunFailure) as caught:
        make(endpoint(server, data))
    assert "answered 429 (it went wrong) and asks to wait 3600 seconds" in str(caught.value)
    assert "Raise pairs.longest_wait_seconds" in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("faults", "words", "kind", "said"),
    [
        ([Fault(500)] * 3, [], RunFailure, "answered 500 (it went wrong) (3 tries). See that it runs"),
        ([Fault(body=b"hello")] * 3, [], RunFailure, "as a chat-completions endpoint does: 'hello' (3 tries)"),
        ([Fault(seconds=1.0)] * 2, ["pairs.timeout_seconds=0.2", "pairs.retries=1"], RunFailure,
         "did not answer within 0.2 seconds (2 tries)"),
        ([Fault(drip=0.1)], ["pairs.timeout_seconds=0.5", "pairs.retries=0"], RunFailure,
         "did not answer within 0.5 seconds. See"),
        ([Fault(400)], [], UserError, "answered 400 (it went wrong). Check pairs.model"),
        ([Fault(404)], [], UserError, "answered 404 (it went wrong). Check pairs.base_url"),
        ([Fault(302, headers={"Location": "http://127.0.0.1:1/"})], [], UserError, "it redirects elsewhere"),
        ([Fault(403)], [], UserError, "answered 403 (it went wrong). Put a key into an environment variable"),
    ],
)  # fmt: skip
def test_a_failure_that_stays_is_one_line_and_loses_nothing(
    faults: list[Fault], words: list[str], kind: type[Exception], said: str, data: Path
) -> None:
    with ChatServer() as calm:
        make(endpoint(calm, data, output="calm.jsonl"))
    port = int(calm.base_url.split(":")[2].split("/")[0])
    with ChatServer(port=port) as server:
        answered = server.answer

        def two_then_faults(messages: Any, request: Any) -> str:
            if len(server.requests) == 2:
                server.faults.extend(faults)
            return answered(messages, request)

        server.answer = two_then_faults
        with pytest.raises(kind) as caught:
            make(endpoint(server, data, *words))
        assert said in str(caught.value) and "\n" not in str(caught.value)
        assert str(caught.value).startswith(f"{server.base_url}/chat/completions: ")
        asked = len(server.requests)
        assert not (data.parent / "pairs.jsonl").exists()
        server.faults.clear()
        server.answer = answered
        make(endpoint(server, data))
        assert len(server.requests) == asked + 4  # of six rows two were done
    assert files_of(data.parent / "pairs.jsonl")[0] == files_of(data.parent / "calm.jsonl")[0]


def test_nobody_at_the_address_is_told(data: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RunFailure) as caught:
        make(endpoint(f"http://127.0.0.1:{port}/v1", data))
    assert "cannot be reached" in str(caught.value) and AGAIN in str(caught.value)


def test_empty_and_repeated_answers_are_lost_by_name(data: Path) -> None:
    replies = iter(["", "  ", "the  answer is 2.", "Other."])
    with ChatServer(lambda messages, request: next(replies, "More.")) as server:
        manifest = make(endpoint(server, data))
    assert manifest["count"] == 3
    assert manifest["lost"] == {EMPTY: 2, SAME: 1}


def test_an_answer_cut_by_the_limit_is_kept_and_noted(data: Path) -> None:
    cut = b'{"choices": [{"message": {"content": "It is"}, "finish_reason": "length"}]}'
    with ChatServer(faults=[Fault(body=cut)]) as server:
        manifest = make(endpoint(server, data))
    assert manifest["noted"] == {"answers cut at pairs.max_tokens, kept": 1}
    assert lines(data.parent / "pairs.jsonl")[0]["meta"]["parameters"]["finish"] == "length"


def test_the_key_goes_into_one_header_and_nowhere_else(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with ChatServer(key=KEY) as server:
        with pytest.raises(UserError) as caught:
            make(endpoint(server, data, "pairs.api_key_env=MY_KEY"), {"MY_KEY": "sk-wrong-9999"})
        assert "wrong key Bearer ***" in str(caught.value)  # the server's own words, which repeat it
        assert "the environment variable MY_KEY" in str(caught.value)
        make(endpoint(server, data, "pairs.api_key_env=MY_KEY"), {"MY_KEY": KEY})
    assert set(server.authorizations) == {"Bearer sk-wrong-9999", f"Bearer {KEY}"}
    written = b"".join(file.read_bytes() for file in data.parent.rglob("*") if file.is_file())
    said = "".join(capfd.readouterr())
    for secret in (KEY, "sk-wrong-9999"):
        assert secret.encode() not in written and secret not in said and secret not in str(caught.value)


@pytest.mark.parametrize(
    ("word", "said", "secret"),
    [
        ("pairs.api_key_env=sk-live-4444", "is the name of an environment variable, never the key itself", "sk-live"),
        ("pairs.base_url='http://me:hunter2@host/v1'", "holds more than an address", "hunter2"),
        ("pairs.base_url='http://host/v1?key=hunter2'", "holds more than an address", "hunter2"),
        ("pairs.base_url=host:8000/v1", "is no http address", "none"),
        ("pairs.base_url=null", "names no endpoint", "none"),
        ("pairs.instruction='{anwser}'", "there is no slot anwser. Did you mean `answer`?", "none"),
    ],
)
def test_a_wrong_address_or_key_is_refused_and_never_repeated(word: str, said: str, secret: str) -> None:
    with pytest.raises(UserError) as caught:
        pairs_run("pairs=endpoint", "pairs.base_url=http://127.0.0.1:1/v1", word)
    text = str(caught.value)
    assert text.startswith(word.partition("=")[0]) and said in text and secret not in text


def test_a_key_that_is_not_there_is_told() -> None:
    spec = spec_of("pairs=endpoint", "pairs.base_url=http://127.0.0.1:1/v1", "pairs.api_key_env=A")
    assert key_of(spec.model_copy(update={"api_key_env": None}), {}) is None
    assert key_of(spec, {"A": " x \n"}) == "x"
    for environment in ({}, {"A": " "}, {"A": "b\nc"}, {"A": "ключ"}):
        with pytest.raises(UserError, match="pairs.api_key_env=A: "):
            key_of(spec, environment)


def test_answers_under_way_are_kept_when_another_fails_for_good(data: Path) -> None:
    with ChatServer(faults=[Fault(400, seconds=0.3)]) as server:
        with pytest.raises(UserError):
            make(endpoint(server, data, "pairs.concurrency=3"))
        asked = len(server.requests)
        make(endpoint(server, data, "pairs.concurrency=3"))
    assert asked < 7
    assert len(server.requests) == 7  # the one that failed was asked again, none of the others


def test_many_at_once_write_the_same_file_as_one_after_the_other(data: Path) -> None:
    with ChatServer() as server:
        make(endpoint(server, data, "pairs.concurrency=6"))
        make(endpoint(server, data, output="slow.jsonl"))
    assert (data.parent / "pairs.jsonl").read_bytes() == (data.parent / "slow.jsonl").read_bytes()


def test_a_tiny_model_of_ours_writes_the_rejected_answers(data: Path, store: Path) -> None:
    words = ("pairs.instruction='{conversation}'", "pairs.max_tokens=12", "pairs.temperature=1.0", "pairs.model=tiny")
    with ChatServer(tiny_answerer(store / "models")) as server:
        make(endpoint(server, data, *words))
        make(endpoint(server, data, *words, output="again.jsonl"))
    pairs = lines(data.parent / "pairs.jsonl")
    assert len(pairs) >= 5 and len({pair["rejected"] for pair in pairs}) == len(pairs)
    assert (data.parent / "again.jsonl").read_bytes() == (data.parent / "pairs.jsonl").read_bytes()
