"""A reward that says the same of every answer: the run names it as the cause, not the adapter or the learning rate."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from transformers import TrainerControl, TrainerState, TrainingArguments

from rlhf.errors import RunFailure
from rlhf.job import execute
from rlhf.stages.training import Guard
from rlhf.stages.watch import flat_rewards
from tests.bench import PPO_WORDS, run_of

WORDS = (*PPO_WORDS, "method=ppo", "model=tiny_gpt2", "method.starts_from=base", "method.prompts_per_step=4")
WORDS += ("evaluation.judge=gold", "evaluation.max_new_tokens=4", "evaluation.bootstrap=10")
WORDS += ("++method.trainer.max_steps=2", "++method.trainer.save_steps=1000")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The words for a reward function that scores every answer 3."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "flat_rewards.py").write_text("def flat(prompts, answers):\n    return [3.0] * len(answers)\n")
    return "method.rewards={own: {kind: function, weight: 1.0, name: 'flat_rewards:flat'}}"


def test_a_run_that_goes_on_says_at_its_end_that_all_scores_were_the_same(source: str, tmp_path: Path) -> None:
    """Fines for missing ends still teach something. The result says what it was trained on, and who judged it."""
    said = io.StringIO()
    outcome = execute(run_of(*WORDS, source, store=tmp_path / "a"), tmp_path / "b", [], None, Console(file=said))
    same = "at every logged step the reward gave all answers the same score (mean 3, standard deviation 0)"
    assert outcome["warnings"][0].startswith(same) and "adapter" not in " ".join(outcome["warnings"])
    kept = json.loads((tmp_path / "b" / "result.json").read_text())
    assert (kept["trained_on"], kept["judge"]) == ("own (function) x 1.0", "the gold reward (evaluation.judge=gold)")
    shown = said.getvalue().replace("\n", " ")
    assert "trained on: own (function) x 1.0" in shown and "answers scored by the judge: the gold reward" in shown


@pytest.mark.parametrize("more", [(), ("adapter=lora",)], ids=["full", "lora"])
def test_a_run_that_moves_nothing_ends_with_the_reward_as_the_cause(
    more: tuple[str, ...], source: str, tmp_path: Path
) -> None:
    words = (*WORDS, source, "method.missing_eos_penalty=0", "method.critic.coefficient=0", *more)
    with pytest.raises(RunFailure, match="no trainable weight has moved") as failure:
        execute(run_of(*words, store=tmp_path / "a"), tmp_path / "b", [], None, Console(file=io.StringIO()))
    assert "all answers were scored 3 (standard deviation 0)" in failure.value.remedy
    assert "method.rewards" in failure.value.remedy and "adapter.targets" not in failure.value.remedy


@pytest.mark.parametrize(("spread", "named"), [(0.0, "method.rewards"), (0.5, "adapter.targets")])
def test_a_gradient_of_zero_is_blamed_on_the_rewards_only_where_they_are_all_the_same(
    spread: float, named: str, tmp_path: Path
) -> None:
    logs = {"grad_norm": 0.0, "loss": 1.0, "reward/score": 3.0, "reward/score_std": spread}
    arguments, state = TrainingArguments(output_dir=str(tmp_path)), TrainerState(global_step=1)
    with pytest.raises(RunFailure, match="the gradient is exactly zero") as failure:
        Guard("ppo", flat_rewards).on_log(arguments, state, TrainerControl(), logs)
    assert named in failure.value.remedy
