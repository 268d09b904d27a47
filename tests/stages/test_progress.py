"""What is seen of training where output is no terminal."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from rich.console import Console
from transformers import TrainerControl, TrainerState, TrainingArguments

from rlhf.stages.progress import Lines


def of_ppo(step: int) -> dict[str, float]:
    """What PPO logs: `loss` is its policy's loss and the critic's together, and no number to be watched."""
    return {"loss": 7.0, "policy/loss": -step / 100, "reward/score": 1.0, "kl/k1_policy_to_reference": 0.25}


def printed(
    seconds_per_step: float,
    steps: int,
    *,
    resumed: int = 0,
    terminal: bool = False,
    logged: Callable[[int], dict[str, float]] = of_ppo,
) -> list[str]:
    """The lines of a training that logs after each step."""
    out, now, state = io.StringIO(), [0.0], TrainerState(max_steps=steps, global_step=resumed)
    given: Any = (TrainingArguments(), state, TrainerControl())
    lines = Lines("ppo", Console(file=out, width=100, force_terminal=terminal), lambda: now[0])
    lines.on_train_begin(*given)
    for step in range(resumed + 1, steps + 1):
        now[0] += seconds_per_step
        state.global_step = step
        lines.on_step_end(*given)
        lines.on_log(*given, logs=logged(step))
        lines.on_log(*given, logs={"eval_loss": 9.0})
    return out.getvalue().splitlines()


def test_a_line_at_each_tenth_of_the_steps_with_the_time_left() -> None:
    lines = printed(1.0, 100)
    assert lines[0] == "  ppo 10/100, reward 1.000, KL 0.250, policy loss -0.090, 2 min left"
    assert lines[-1] == "  ppo 90/100, reward 1.000, KL 0.250, policy loss -0.890, 10 s left"
    assert len(lines) == 9


def test_quick_steps_are_told_every_five_seconds_and_slow_ones_every_minute() -> None:
    assert [line.split(",")[0] for line in printed(0.125, 100)] == ["  ppo 40/100", "  ppo 80/100"]
    assert printed(0.01, 100) == []
    slow = printed(61.0, 40)
    assert len(slow) == 39 and slow[0].endswith("1/40, 40 min left")
    assert printed(3600.0, 4)[0] == "  ppo 1/4, 3.0 h left"


def test_a_resumed_training_counts_its_own_seconds() -> None:
    told = "  ppo 12/20, reward 1.000, KL 0.250, policy loss -0.110, 80 s left"
    assert printed(10.0, 20, resumed=10)[0] == told


def test_a_method_whose_loss_is_its_objective_shows_it() -> None:
    lines = printed(1.0, 100, logged=lambda step: {"loss": step / 100, "grad_norm": 1.0})
    assert lines[0] == "  ppo 10/100, loss 0.090, 2 min left"


def test_a_terminal_has_its_bar_instead() -> None:
    assert printed(10.0, 20, terminal=True) == []
