"""Judges on answers of known quality: scores, and a chat model behind a real server on loopback that is biased."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from rlhf.data.rows import Row
from rlhf.errors import RunFailure, UserError
from rlhf.evaluation.preference import metrics as names
from rlhf.evaluation.preference.judges import EndpointJudge, ScoreJudge, Verdicts, judge_messages, outcome, read_vote
from rlhf.evaluation.preference.wins import duel_table, win_scores
from rlhf.evaluation_spec import JudgeEndpoint
from tests.bench import run_of, user
from tests.pairs.server import ChatServer, Fault

KEY = "sk-very-secret-0123"
ROWS = [Row(user(f"Question {at}?"), str(at), completion="bad") for at in range(8)]
SETTINGS = run_of().evaluation.preference.endpoint.model_dump()
GOOD, BAD = ["good"] * 8, ["bad"] * 8
SHOWN = re.compile(r"Question (\d)\?.*Answer A:\s*(\w+)\s*Answer B:\s*(\w+)", re.DOTALL)


def spec_of(server: ChatServer | str, **values: Any) -> JudgeEndpoint:
    url = server if isinstance(server, str) else server.base_url
    fast = {"base_url": url, "backoff_seconds": 0.01, "retries": 1, "timeout_seconds": 5.0, "concurrency": 3}
    return JudgeEndpoint(**(SETTINGS | fast | values))


def honest(messages: list[dict[str, str]], request: Mapping[str, Any]) -> str:
    """Prefer the answer `good`, in words around a verdict."""
    _, first, second = SHOWN.search(messages[-1]["content"]).groups()  # type: ignore[union-attr]
    return "One is better.\n" + ("**Tie**" if first == second else "A" if first == "good" else "Verdict: B")


def biased(messages: list[dict[str, str]], request: Mapping[str, Any]) -> str:
    """Of questions 0 and 4 always take the first answer, else be honest."""
    at = int(SHOWN.search(messages[-1]["content"]).group(1))  # type: ignore[union-attr]
    return "A" if at % 4 == 0 else honest(messages, request)


@pytest.mark.parametrize(
    ("text", "vote"),
    [
        ("A", "first"),
        ("because of facts\n\n**B**\n", "second"),
        ("Verdict: tie.", "tie"),
        ("A is polite, B is rude.\nThe better answer is A.", "first"),
        ("[[B]]", "second"),
        ("[[A]]", "first"),
        ("Both are fine.\nFinal verdict: A", "first"),
        ("Verdict: Answer A", "first"),
        ("**Verdict:** B is better.", "second"),
        ("B is better.", "second"),
        ("Answer A is the better answer", "first"),
        ("Winner: Answer B", "second"),
        ("**A**", "first"),
        ("It's a tie.", "tie"),
        ("My final verdict is: [[tie]]", "tie"),
        ("$\\boxed{B}$", "second"),
        ("A is better than B", None),
        ("Verdict: A or B", None),
        ("A > B", None),
        ("B is not better.", None),
        ("Not A", None),
        ("A good answer", None),
        ("", None),
        ("Both have merits", None),
        ("A\nbut I am not sure", None),
        ("Answer A and answer B", None),
    ],
)
def test_a_vote_is_the_last_line(text: str, vote: str | None) -> None:
    assert read_vote(text) == vote


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [
        ("first", "second", 1.0),  # ours is preferred wherever it stands
        ("second", "first", 0.0),
        ("first", "first", 0.5),  # the first one is, whosever it is
        ("second", "second", 0.5),
        ("first", "tie", 0.5),
        ("tie", "tie", 0.5),
        (None, "second", None),  # of which nothing is known
        ("first", None, None),
    ],
)
def test_only_what_is_preferred_in_both_orders_wins(first: Any, second: Any, value: float | None) -> None:
    assert outcome(first, second) == value


def test_a_bias_for_the_first_answer_costs_wins_and_is_measured(tmp_path: Path) -> None:
    """Ours is better 8 times; of 2 questions the first answer is taken twice: 6 wins, 2 ties. Votes for the first
    answer: 6 + 2 x 2 of 16. The same answer was named in both orders 6 times of 8.
    """
    with ChatServer(biased) as server:
        verdicts = EndpointJudge(spec_of(server), tmp_path, {})(ROWS, GOOD, BAD)
    assert len(server.requests) == 16
    assert verdicts.outcomes == (0.5, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 1.0)
    scores = win_scores(verdicts, list(range(8)), 8, 500, 0)
    assert scores[names.WIN_RATE.name].value == 7 / 8
    assert scores[names.TIE_RATE.name].value == 2 / 8
    assert scores[names.SIGN_TEST.name].value == pytest.approx(binomtest(6, 6).pvalue) == pytest.approx(2 / 2**6)
    assert scores[names.SIGN_TEST.name].n == 6
    assert (scores[names.FIRST_SHARE.name].value, scores[names.FIRST_SHARE.name].n) == (10 / 16, 16)
    assert (scores[names.CONSISTENCY.name].value, scores[names.CONSISTENCY.name].n) == (6 / 8, 8)
    assert scores[names.UNCLEAR.name].value == 0.0


def test_answers_that_are_the_same_are_a_tie_that_nobody_is_asked_about(tmp_path: Path) -> None:
    with ChatServer(honest) as server:
        verdicts = EndpointJudge(spec_of(server), tmp_path, {})(ROWS, [" bad", *GOOD[1:]], BAD)
    assert len(server.requests) == 14
    assert verdicts.outcomes == (0.5, *[1.0] * 7) and len(verdicts.votes) == 7


def test_questions_with_a_reply_without_a_vote_are_left_out_and_counted(tmp_path: Path) -> None:
    with ChatServer(lambda messages, request: "I cannot say.") as server:
        verdicts = EndpointJudge(spec_of(server), tmp_path, {})(ROWS, GOOD, BAD)
    assert set(verdicts.outcomes) == {None}
    scores = win_scores(verdicts, list(range(8)), 8, 200, 0)
    assert scores.keys() == {names.UNCLEAR.name} and scores[names.UNCLEAR.name].value == 1.0
    assert duel_table({"x": verdicts.outcomes}, 200, 0).rows == ()


def test_one_unreadable_reply_of_the_two_leaves_its_question_out(tmp_path: Path) -> None:
    """Of 8 questions 2 are answered without a vote in one order: the other 6 are won."""

    def mute(messages: list[dict[str, str]], request: Mapping[str, Any]) -> str:
        at, first, _ = SHOWN.search(messages[-1]["content"]).groups()  # type: ignore[union-attr]
        return "Hard to say." if int(at) % 4 == 0 and first == "good" else honest(messages, request)

    with ChatServer(mute) as server:
        verdicts = EndpointJudge(spec_of(server), tmp_path, {})(ROWS, GOOD, BAD)
    scores = win_scores(verdicts, list(range(8)), 8, 200, 0)
    rate = scores[names.WIN_RATE.name]
    assert (rate.value, rate.n, rate.each) == (1.0, 6, (None, 1.0, 1.0, 1.0, None, 1.0, 1.0, 1.0))
    assert (scores[names.TIE_RATE.name].value, scores[names.SIGN_TEST.name].n) == (0.0, 6)
    (row,) = duel_table({"x": verdicts.outcomes}, 200, 0).rows
    assert row[:2] == ("x", 1.0) and row[4:8] == (6, 0, 0, 2)


def test_a_damaged_line_costs_its_own_reply_alone(tmp_path: Path) -> None:
    with ChatServer(honest) as server:
        judge = EndpointJudge(spec_of(server), tmp_path, {})
        judge(ROWS, GOOD, BAD)
        lines = judge.journal.file.read_bytes().splitlines(keepends=True)
        lines[2] = b"\x00\xff half of it\n"
        lines[5] = b'"ab"\n'  # JSON, and no pair
        judge.journal.file.write_bytes(b"".join(lines) + b'["torn')
        again = EndpointJudge(spec_of(server), tmp_path, {})
        assert set(again(ROWS, GOOD, BAD).outcomes) == {1.0}
        assert len(server.requests) == 16 + 2
        assert again.journal.damaged == 2
        assert judge.journal.file.read_bytes().splitlines(keepends=True)[:16] == lines
        assert again(ROWS, GOOD, BAD) and len(server.requests) == 18


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    """Not by the same judge, by a later one, or for the two speakers in the other order."""
    with ChatServer(honest) as server:
        spec = spec_of(server)
        first = EndpointJudge(spec, tmp_path, {})(ROWS, GOOD, BAD)
        again = EndpointJudge(spec, tmp_path, {})
        assert again(ROWS, GOOD, BAD) == first
        assert set(again(ROWS, BAD, GOOD).outcomes) == {0.0}
        assert len(server.requests) == 16
        EndpointJudge(spec.model_copy(update={"temperature": 0.5}), tmp_path, {})(ROWS[:1], GOOD[:1], BAD[:1])
        assert len(server.requests) == 18  # another way of answering


def test_what_was_answered_before_a_failure_or_a_kill_is_kept(tmp_path: Path) -> None:
    with ChatServer(honest) as server:
        spec = spec_of(server, concurrency=1, retries=0)

        def three_then_none(messages: Any, request: Any) -> str:
            if len(server.requests) == 3:
                server.faults.append(Fault(500))
            return honest(messages, request)

        server.answer = three_then_none
        judge = EndpointJudge(spec, tmp_path, {})
        with pytest.raises(RunFailure, match=r"evaluation\.preference\.endpoint\.base_url"):
            judge(ROWS, GOOD, BAD)
        kept = judge.journal.file.read_text(encoding="utf-8").splitlines()
        assert len(kept) == 3
        with judge.journal.file.open("a", encoding="utf-8") as stream:
            stream.write('["torn')  # as a kill leaves it
        server.answer = honest
        assert set(judge(ROWS, GOOD, BAD).outcomes) == {1.0}
        assert len(server.requests) == 4 + 13
        lines = judge.journal.file.read_text(encoding="utf-8").splitlines()
        assert lines[:3] == kept and len(lines) == 16 and all(json.loads(line) for line in lines)


def test_two_judges_at_once_pay_once(tmp_path: Path) -> None:
    with ChatServer(honest) as server, ThreadPoolExecutor(2) as pool:
        judges = [EndpointJudge(spec_of(server), tmp_path, {}) for _ in range(2)]
        found = list(pool.map(lambda judge: judge(ROWS, GOOD, BAD), judges))
    assert found[0] == found[1] and len(server.requests) == 16


def test_no_more_than_so_many_are_asked_at_once(tmp_path: Path) -> None:
    lock, under_way, most = threading.Lock(), 0, 0

    def slow(messages: Any, request: Any) -> str:
        nonlocal under_way, most
        with lock:
            under_way, most = under_way + 1, max(most, under_way + 1)
        time.sleep(0.02)
        with lock:
            under_way -= 1
        return honest(messages, request)

    with ChatServer(slow) as server:
        EndpointJudge(spec_of(server, concurrency=2), tmp_path, {})(ROWS, GOOD, BAD)
    assert most == 2


def test_the_key_is_read_from_the_environment_and_written_nowhere(tmp_path: Path) -> None:
    with ChatServer(honest, key=KEY) as server:
        judge = EndpointJudge(spec_of(server, api_key_env="OWN_KEY"), tmp_path, {"OWN_KEY": KEY})
        judge(ROWS[:2], GOOD[:2], BAD[:2])
        assert set(server.authorizations) == {f"Bearer {KEY}"}
        wrong = EndpointJudge(spec_of(server, api_key_env="OWN_KEY", seed=1), tmp_path, {"OWN_KEY": "sk-wrong-987"})
        with pytest.raises(UserError) as refused:
            wrong(ROWS[:1], GOOD[:1], BAD[:1])
        unset = EndpointJudge(spec_of(server, api_key_env="OWN_KEY", seed=2), tmp_path, {})
        with pytest.raises(UserError, match=r"endpoint\.api_key_env=OWN_KEY: the environment has no"):
            unset(ROWS[:1], GOOD[:1], BAD[:1])
    assert "sk-wrong-987" not in str(refused.value) and "OWN_KEY" in str(refused.value)
    assert all(KEY not in file.read_text(encoding="utf-8") for file in tmp_path.rglob("*") if file.is_file())


def test_the_instruction_shows_conversation_and_answers_in_their_order() -> None:
    spec = spec_of("http://127.0.0.1:1/v1", instruction="{conversation}|{first}|{second}", system="Judge.")
    row = Row((*user("Hi {first}"), {"role": "assistant", "content": "Yes?"}, *user("Well")), "g")
    told = judge_messages(spec, row, " one {second} ", "two")
    assert told == (
        {"role": "system", "content": "Judge."},
        {"role": "user", "content": "User: Hi {first}\nAssistant: Yes?\nUser: Well|one {second}|two"},
    )


def test_scores_decide_and_no_answer_is_scored_twice() -> None:
    scored: list[str] = []

    def length(pairs: Any) -> list[float]:
        scored.extend(text for _, text in pairs)
        return [float(len(text)) for _, text in pairs]

    judge = ScoreJudge(length)
    rows = ROWS[:3]
    assert judge(rows, ["aa", "b", ""], ["a", "b", "long"]) == Verdicts((1.0, 0.5, 0.0))
    assert judge.scores(rows, ["aa", "b", ""]) == [2.0, 1.0, 0.0]
    assert sorted(scored) == sorted(["aa", "b", "", "a", "long"])


def test_a_table_of_duels_by_hand() -> None:
    """Against `x` 6 wins and no loss, p = 2 / 64; against `y` 3 and 3, p = 1. Holm: twice the smaller one."""
    table = duel_table({"x": [1.0] * 6 + [0.5] * 2, "y": [1.0, 0.0] * 3}, 200, 0)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["against"] for row in rows] == ["x", "y"]
    assert [row["win rate"] for row in rows] == [7 / 8, 0.5]
    assert [(row["wins"], row["ties"], row["losses"]) for row in rows] == [(6, 2, 0), (3, 0, 3)]
    assert [row["p"] for row in rows] == pytest.approx([1 / 32, 1.0])
    assert [row["p, corrected"] for row in rows] == pytest.approx([1 / 16, 1.0])
