"""Functions, gold rewards, the weighted sum of sources, and what a fingerprint must know of them."""

from __future__ import annotations

import json
import math
import signal
import sys
from pathlib import Path
from sysconfig import get_path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from rlhf.errors import RunFailure, UserError
from rlhf.fingerprint import file_sizes
from rlhf.ppo import builtin
from rlhf.ppo.rewards import Combined, RewardParts, build_rewards, build_scorer, identities
from rlhf.ppo.sources.functions import FIRST_READ, look_in
from tests.bench import run_of
from tests.ppo.sources import ANSWERS, PARTS, ROWS, SPEC, refusal, spec


def test_builtin_functions_by_hand() -> None:
    """Seven words with "no thank you" and "thank you no" said twice: of five triples two have been said before."""
    answers = ["no thank you No thank you no", "one two", ""]
    assert builtin.length_penalty([], answers) == [-7.0, -2.0, 0.0]
    assert builtin.repetition_penalty([], answers) == pytest.approx([-0.4, 0.0, 0.0])
    scorer = build_scorer("own", spec("function", name="rlhf.ppo.builtin:length_penalty"), PARTS)
    assert scorer(ROWS, ANSWERS) == [-5.0, -1.0, 0.0, -13.0, -2.0, -5.0]


OWN = """
import asyncio, math, os, signal, sys, numpy as np, torch
def words(prompts, answers):
    prompts[0][0]["content"] = "changed"
    return np.array([len(prompt) + len(answer) for prompt, answer in zip(prompts, answers)])
def tensor(prompts, answers): return torch.zeros(len(answers))
def generator(prompts, answers): return (1 for _ in answers)
def short(prompts, answers): return [1.0]
def nothing(prompts, answers): return None
def texts(prompts, answers): return "123456"
def listed(prompts, answers): return ["1"] * len(answers)
def nan(prompts, answers): return [0.0] * (len(answers) - 1) + [math.nan]
def broken(prompts, answers): return 1 / 0
def leaving(prompts, answers): sys.exit(3)
def interrupted(prompts, answers): os.kill(os.getpid(), signal.SIGUSR1)
def one(answers): return answers
number = 5
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's in the folder where the command runs."""
    monkeypatch.setattr(sys, "path", list(sys.path))  # what the import adds goes again
    monkeypatch.chdir(tmp_path)
    name = f"own_rewards_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    (tmp_path / f"{name}_importing.py").write_text("import not_installed_anywhere")
    (tmp_path / f"{name}_wrong.py").write_text("def f(:")
    return name


def test_the_users_folder_is_looked_in_after_what_is_installed_and_before_this_project() -> None:
    installed = get_path("purelib")
    for path, expected in (
        (["/lib", installed, "/checkout"], ["/lib", installed, "/mine", "/checkout"]),
        (["/checkout", "/lib", installed], ["/checkout", "/lib", installed, "/mine"]),
        (["/lib", installed], ["/lib", installed, "/mine"]),
        (["/mine", installed, "/checkout"], ["/mine", installed, "/checkout"]),
    ):
        look_in("/mine", path, checkout="/checkout")
        assert path == expected


def test_a_function_of_the_users_is_found_where_the_command_runs(module: str) -> None:
    scorer = build_scorer("own", spec("function", name=f"{module}:words"), PARTS)
    truth = [float(len(row.prompt) + len(answer)) for row, answer in zip(ROWS, ANSWERS, strict=True)]
    assert scorer(ROWS, ANSWERS) == truth
    assert ROWS[0].prompt[0]["content"] == "where is my order"  # the data is not theirs to change
    for name, value in (("tensor", 0.0), ("generator", 1.0)):
        assert build_scorer("own", spec("function", name=f"{module}:{name}"), PARTS)(ROWS, ANSWERS) == [value] * 6


@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("nowhere:f", "own.name", "there is no module nowhere "),
        ("rlhf.nowhere:f", "own.name", "there is no module rlhf.nowhere "),
        ("MODULE_importing:f", "own.name", "imports not_installed_anywhere"),
        ("MODULE_wrong:f", "own.name", "SyntaxError"),
        ("MODULE:shrot", "own.name", "Did you mean `short`?"),
        ("MODULE:number", "own.name", "is int, not a function"),
        ("MODULE:one", "own.name", "(prompts, answers)"),
    ],
)
def test_names_of_no_usable_function_are_refused(name: str, place: str, words: str, module: str) -> None:
    error = refusal(spec("function", name=name.replace("MODULE", module)))
    assert error.place == f"method.rewards.{place}" and words in str(error)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("short", "returned 1 value for 6 answers"),
        ("nothing", "returned NoneType"),
        ("texts", "returned text"),
        ("listed", "returned text"),
        ("nan", "returned nan"),
        ("broken", "failed (ZeroDivisionError: division by zero at "),
        ("leaving", "failed (it calls sys.exit(3) at "),
    ],
)
def test_a_function_that_gives_no_scores_ends_the_run_which_can_go_on(name: str, words: str, module: str) -> None:
    with pytest.raises(RunFailure) as caught:
        build_scorer("own", spec("function", name=f"{module}:{name}"), PARTS)(ROWS, ANSWERS)
    assert caught.value.place == "method.rewards.own" and words in str(caught.value)
    assert caught.value.resumable and "from the last whole checkpoint" in caught.value.remedy
    assert "\n" not in str(caught.value)


def test_an_exit_that_a_signal_brings_is_not_the_functions(module: str) -> None:
    """SLURM takes its node back while the function runs, and the handler ends the process."""

    handlers: dict[str, Any] = {}  # of a file that pip installed, as submitit's is
    source = "def leave(number, frame): raise SystemExit(144)"
    exec(compile(source, str(Path(get_path("purelib")) / "handler.py"), "exec"), handlers)
    before = signal.signal(signal.SIGUSR1, handlers["leave"])
    try:
        with pytest.raises(SystemExit) as left:
            build_scorer("own", spec("function", name=f"{module}:interrupted"), PARTS)(ROWS, ANSWERS)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert left.value.code == 144


@pytest.mark.parametrize("name", ["length_penalty", "rlhf.ppo.builtin:", ":f", "a b:f", "a:f()", "a:b:c"])
def test_names_that_are_no_module_and_function_are_refused_at_the_door(name: str) -> None:
    with pytest.raises(ValidationError, match="module:function"):
        spec("function", name=name)


def test_gold_is_the_data_sets_own() -> None:
    parts = RewardParts(lambda row, answer: len(answer), None, "cpu", torch.float32, 3)
    assert build_scorer("own", spec("gold"), parts)(ROWS, ANSWERS) == [float(len(answer)) for answer in ANSWERS]
    assert refusal(spec("gold")).place == "method.rewards.own.kind"


def test_the_score_is_the_weighted_sum_and_sources_tell_their_own() -> None:
    """0.5 x word count penalty + 2 x gold: -2.5 + 2 and -0.5 + 4."""
    parts = RewardParts(lambda row, answer: float(ANSWERS.index(answer) + 1), None, "cpu", torch.float32, 3)
    short = spec("function", name="rlhf.ppo.builtin:length_penalty").model_copy(update={"weight": 0.5})
    gold = spec("gold").model_copy(update={"weight": 2.0})
    reward = build_rewards({"short": short, "gold": gold}, parts)
    assert reward(ROWS[:2], ANSWERS[:2]) == pytest.approx([-0.5, 3.5])
    assert reward.each(ROWS[:2], ANSWERS[:2]) == {"short": [-5.0, -1.0], "gold": [1.0, 2.0]}
    assert reward([], []) == []


def test_a_weight_of_zero_only_watches() -> None:
    reward = Combined({"one": (1.0, lambda r, a: [1.0] * len(a)), "watched": (0.0, lambda r, a: [9.0] * len(a))})
    assert reward(ROWS, ANSWERS) == [1.0] * 6
    assert reward.each(ROWS, ANSWERS) == {"one": [1.0] * 6, "watched": [9.0] * 6}


@pytest.mark.parametrize(
    ("scores", "words"), [([1.0, math.nan], "is nan"), ([math.inf, 0.0], "is inf"), ([1.0], "1 scores")]
)
def test_scores_that_are_no_numbers_stop_the_run(scores: list[float], words: str) -> None:
    with pytest.raises(RunFailure, match=words) as caught:
        Combined({"fine": (1.0, lambda r, a: [0.0, 0.0]), "own": (0.0, lambda r, a: scores)})(ROWS[:2], ANSWERS[:2])
    assert caught.value.place == "method.rewards.own" and caught.value.resumable


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("CUDA error:\nan illegal access"), "RuntimeError: CUDA error: an illegal access. Run the same"),
        (torch.OutOfMemoryError("out of memory. Tried 2 GiB\nmore"), "Tried 2 GiB. Lower evaluation.batch_size"),
    ],
)
def test_whatever_a_source_raises_becomes_one_line_with_its_cause(error: Exception, words: str) -> None:
    def judge(rows: object, answers: object) -> list[float]:
        raise error

    with pytest.raises(RunFailure) as caught:
        Combined({"own": (1.0, judge)})(ROWS, ANSWERS)
    assert caught.value.place == "method.rewards.own" and words in str(caught.value)
    assert caught.value.resumable and caught.value.__cause__ is error


@pytest.mark.parametrize("weight", ["nan", "inf"])
def test_weights_are_finite(weight: str) -> None:
    with pytest.raises(ValidationError, match="finite"):
        SPEC.validate_python({"kind": "gold", "weight": weight})


def test_identities_change_with_the_bytes_behind_a_source(module: str, tmp_path: Path) -> None:
    files = {
        "stage": tmp_path / "judge" / "model" / "config.json",
        "classifier": tmp_path / "classifier" / "config.json",
        "linear": tmp_path / "rows.csv",
        "function": tmp_path / f"{module}.py",
    }
    for file in files.values():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    files["stage"].write_text(json.dumps({"architectures": ["GPT2ForSequenceClassification"]}))
    (tmp_path / "judge" / "run.json").write_text(run_of("method=reward").model_dump_json())
    result = tmp_path / "judge" / "result.json"
    judge = {"revision": None, "label": None, "reads": "answer", "output": "logit"}
    rows = {"text": "text", "label": "label", "ridge": 1.0, "output": "score"}
    specs = {
        "stage": spec("stage", folder=str(tmp_path / "judge")),
        "classifier": spec("classifier", path=str(tmp_path / "classifier"), **judge),
        "linear": spec("linear", path=str(files["linear"]), **rows),
        "function": spec("function", name=f"{module}:short"),
    }
    unseen = {"gold": spec("gold"), "own": spec("stage", folder=None)}
    result.write_text(json.dumps({"sizes": file_sizes(tmp_path / "judge" / "model")}))
    before = identities(specs | unseen)
    assert before.keys() == specs.keys() and before == identities(specs)
    hub = [identities({"hub": spec("classifier", path="a/b", **judge | {"revision": mark})}) for mark in ("one", "two")]
    assert hub[0] != hub[1]
    for name, file in files.items():
        file.write_text(file.read_text() + "\n")
        result.write_text(json.dumps({"sizes": file_sizes(tmp_path / "judge" / "model")}))
        FIRST_READ.clear()  # as in another process
        after = identities(specs)
        assert {other for other in specs if after[other] != before[other]} == {name}
        before = after
    for wanted, key in (("stage", "folder"), ("linear", "path")):
        gone = specs[wanted].model_copy(update={key: str(tmp_path / "nowhere")})
        with pytest.raises(UserError) as caught:
            identities({"own": gone})
        assert caught.value.place == f"method.rewards.own.{key}"
