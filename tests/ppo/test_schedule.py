"""Learning rates of PPO's steps: none of them is 0, worked by hand, and a resumed run goes on with the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf.ppo.trainer import PPOTrainer
from tests.ppo.tiny import learner_of, method, trainer_of

RATE = 1e-3
CASES = {  # settings -> factors of the four steps
    # rises by halves to step 2 and falls to 0 at step 5, which is never made: the points 1 to 4 of a schedule of five
    "linear": ({"lr_scheduler_type": "linear", "warmup_steps": 2}, [1 / 2, 1, 2 / 3, 1 / 3]),
    "share": ({"lr_scheduler_type": "linear", "warmup_steps": 0.05}, [1, 3 / 4, 2 / 4, 1 / 4]),  # a warm-up of one step
    "constant": ({"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 2}, [1 / 2, 1, 1, 1]),
    "cosine": ({"lr_scheduler_type": "cosine", "warmup_steps": 1}, [1, 0.8535534, 0.5, 0.1464466]),
    "none": ({"lr_scheduler_type": "linear", "warmup_steps": 0}, [1, 3 / 4, 2 / 4, 1 / 4]),
}


def training(folder: Path, **arguments: Any) -> tuple[PPOTrainer, list[list[float]]]:
    """A trainer of four steps, and where it keeps the rates of policy and critic as each step uses them."""
    asked = method("critic.learning_rate=5e-3", "epochs=1")
    trainer = trainer_of(learner_of("tiny_gpt2", asked), asked, folder, max_steps=4, logging_steps=1, **arguments)
    used: list[list[float]] = []

    def watch(trainer: PPOTrainer, *_: Any) -> None:
        assert trainer.optimizer is not None
        used.append([group["lr"] for group in trainer.optimizer.param_groups])

    trainer.watch = watch
    return trainer, used


@pytest.mark.parametrize("case", CASES)
def test_every_step_has_a_rate_and_the_log_tells_it(case: str, tmp_path: Path) -> None:
    arguments, factors = CASES[case]
    trainer, used = training(tmp_path, learning_rate=RATE, **arguments)
    trainer.train()
    logged = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]
    assert logged == [policy for policy, _ in used]
    assert logged == pytest.approx([RATE * factor for factor in factors], rel=1e-6)
    assert [critic for _, critic in used] == pytest.approx([5e-3 * factor for factor in factors], rel=1e-6)


def test_the_first_step_moves_the_policy(tmp_path: Path) -> None:
    trainer, _ = training(tmp_path, learning_rate=RATE, warmup_steps=2)
    before = {name: weight.detach().clone() for name, weight in trainer.learner.trained()}
    trainer.args.max_steps = 1
    trainer.train()
    assert all(not torch.equal(weight, before[name]) for name, weight in trainer.learner.trained())


def test_a_resumed_run_goes_on_with_the_same_rates_and_weights(tmp_path: Path) -> None:
    settings = {"learning_rate": RATE, "warmup_steps": 2, "save_strategy": "steps", "save_steps": 2}
    whole, rates = training(tmp_path / "whole", ignore_data_skip=True, **settings)
    whole.train()
    again, rest = training(tmp_path / "again", ignore_data_skip=True, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert rest == rates[2:]
    for (name, ours), (_, theirs) in zip(whole.learner.trained(), again.learner.trained(), strict=True):
        assert torch.equal(ours, theirs), name
