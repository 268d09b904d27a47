"""A reward function that gives no numbers: told before anything is trained, or in the middle, where PPO goes on."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from rlhf.errors import RunFailure, UserError
from rlhf.job import execute
from tests.bench import PPO_WORDS, run_of, toy

FAILING = """
from pathlib import Path
calls = []
def failing(prompts, answers):
    calls.append(len(answers))
    if len(calls) >= 6 and not Path(__file__).with_name("mended").exists():
        FAIL
    return [float(len(answer)) for answer in answers]
"""
WORDS = (*PPO_WORDS, "method=ppo", "model=tiny_gpt2", "method.starts_from=base", "method.prompts_per_step=4")
WORDS += ("evaluation.judge=none", "evaluation.max_new_tokens=4", "evaluation.bootstrap=10")
WORDS += tuple(f"++method.trainer.{key}={value}" for key, value in {"max_steps": 5, "save_steps": 1}.items())


@pytest.mark.parametrize(
    ("fail", "told"),
    [
        ("raise TimeoutError('no answer')", "failed (TimeoutError: no answer at "),
        ("return [float('nan')] * len(answers)", "returned nan"),
    ],
    ids=["raises", "nan"],
)
def test_the_same_command_goes_on_after_a_late_failure(
    fail: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = f"failing_rewards_{abs(hash(fail))}"
    (tmp_path / f"{module}.py").write_text(FAILING.replace("FAIL", fail))
    source = f"method.rewards={{own: {{kind: function, weight: 1.0, name: '{module}:failing'}}}}"
    run = run_of(*WORDS, source, store=tmp_path / "stages")
    with pytest.raises(RunFailure, match="goes on from the last whole checkpoint") as caught:
        execute(run, tmp_path / "first", [], None, Console(file=io.StringIO()))
    assert told in str(caught.value)
    kept = [int(folder.name.partition("-")[2]) for folder in tmp_path.glob("stages/ppo-*.partial/checkpoints/*")]
    assert kept

    (tmp_path / "mended").touch()  # beside the module, whose bytes stay, as a service that answers again
    said = io.StringIO()
    outcome = execute(run, tmp_path / "second", [], None, Console(file=said))
    assert outcome["status"] == "finished" and f"ppo: resumed from step {max(kept)}" in said.getvalue()
    assert list(tmp_path.glob("stages/*.partial")) == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("[1.0]", "returned 1 value for 4 answers. Let it return one finite number per answer."),
        (
            "1.0",
            "returned float, not numbers (TypeError: 'float' object is not iterable). Let it"
            " return one finite number per answer.",
        ),
        (
            "['1'] * len(answers)",
            "returned text where numbers were expected. Let it return one finite number per answer.",
        ),
        ("[float('nan')] * len(answers)", "returned nan. Let it return one finite number per answer."),
        (
            "[1 / 0 for _ in answers]",
            "failed (ZeroDivisionError: division by zero at MODULE.py:1; --debug shows the traceback). "
            "Mend what fails.",
        ),
    ],
    ids=["too few", "nothing", "texts", "nan", "raises"],
)
def test_what_a_function_returns_is_looked_at_before_the_stages_below_are_trained(
    value: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = f"wrong_rewards_{abs(hash(value))}"
    (tmp_path / f"{module}.py").write_text(f"def wrong(prompts, answers): return {value}\n")
    source = f"+method.rewards.own={{kind: function, weight: 1.0, name: '{module}:wrong'}}"
    run = run_of("method=ppo", "model=tiny_gpt2", source, store=tmp_path / "stages")
    said = io.StringIO()
    with pytest.raises(UserError) as caught:  # exit code 2: nothing is trained that could go on
        execute(run, tmp_path / "job", [], None, Console(file=said))
    assert str(caught.value) == f"method.rewards.own: {module}:wrong {told.replace('MODULE', module)}"
    assert list(tmp_path.glob("stages/*-tiny_gpt2-*")) == [] and "sft on" not in said.getvalue()


def test_the_first_call_gets_prompts_and_answers_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "seen_rewards.py").write_text(SEEING)
    source = "method.rewards={own: {kind: function, weight: 1.0, name: 'seen_rewards:seeing'}}"
    run = run_of("method=ppo", "model=tiny_gpt2", source, store=tmp_path / "stages")
    with pytest.raises(UserError, match="enough was seen"):
        execute(run, tmp_path / "job", [], None, Console(file=io.StringIO()))
    rows = toy(run).train[:4]
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen == [[list(row.prompt) for row in rows], [row.completion for row in rows]]


SEEING = """
import json
from pathlib import Path
def seeing(prompts, answers):
    Path(__file__).with_name("seen.json").write_text(json.dumps([prompts, answers]))
    raise RuntimeError("enough was seen")
"""
