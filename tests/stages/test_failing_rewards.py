"""A reward source that fails in the middle of PPO: the same command goes on from the last whole checkpoint."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from rlhf.errors import RunFailure
from rlhf.job import execute
from tests.bench import PPO_WORDS, run_of

FAILING = """
from pathlib import Path
calls = []
def failing(prompts, answers):
    calls.append(len(answers))
    if len(calls) >= 5 and not Path(__file__).with_name("mended").exists():
        FAIL
    return [float(len(answer)) for answer in answers]
"""
WORDS = (*PPO_WORDS, "method=ppo", "model=tiny_gpt2", "method.starts_from=base", "method.prompts_per_step=4")
WORDS += ("evaluation.judge=none", "evaluation.max_new_tokens=4", "evaluation.bootstrap=10")
WORDS += tuple(f"++method.trainer.{key}={value}" for key, value in {"max_steps": 5, "save_steps": 1}.items())


@pytest.mark.parametrize(
    ("fail", "told"),
    [
        ("raise TimeoutError('no answer')", "failed (TimeoutError: no answer)"),
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
