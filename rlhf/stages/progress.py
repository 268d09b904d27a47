"""How training is seen to go on: a bar in a terminal, a line now and then where output goes to a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

# what a trainer logs -> its word; PPO's loss is a sum with the critic's, so that it is the policy's own which is shown
SHOWN = {"reward/score": "reward", "kl/k1_policy_to_reference": "KL", "policy/loss": "policy loss"}
TENTH, LEAST, MOST = 0.1, 5.0, 60.0  # a line per tenth of the steps, but not within 5 seconds, and one per minute


def newest(logs: Mapping[str, Any]) -> str:
    """Return the numbers to show of what a trainer has just logged; nothing of an evaluation."""
    if "loss" not in logs:
        return ""
    shown = {key: word for key, word in SHOWN.items() if key in logs} or {"loss": "loss"}
    return ", ".join(f"{word} {logs[key]:.3f}" for key, word in shown.items())


class Bar(TrainerCallback):
    """A progress bar with the newest numbers, in a terminal."""

    def __init__(self, name: str, console: Console) -> None:
        self.progress = Progress(
            TextColumn("  {task.description:<8}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[newest]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task(name, total=None, newest="")

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start at the resumed step."""
        self.progress.start()
        self.progress.update(self.task, total=state.max_steps, completed=state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Advance by one optimiser step."""
        self.progress.update(self.task, completed=state.global_step)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict | None = None, **_: Any
    ) -> None:
        """Show the newest numbers of training."""
        if text := newest(logs or {}):
            self.progress.update(self.task, newest=text)

    def stop(self) -> None:
        """Take the bar off the screen, also after a failure."""
        self.progress.stop()


class Lines(TrainerCallback):
    """Lines for a log file: step, newest numbers and time left, at each tenth of the steps and each minute."""

    def __init__(self, name: str, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self.console, self.clock = name, console, clock
        self.newest = ""
        self.begun = self.told = (0, 0.0)  # step, time

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Count from the resumed step."""
        self.begun = self.told = (state.global_step, self.clock())

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict | None = None, **_: Any
    ) -> None:
        """Keep the newest numbers of training."""
        self.newest = newest(logs or {}) or self.newest

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Print a line where it is time for one; the end speaks for itself."""
        step, now = state.global_step, self.clock()
        steps, seconds = step - self.told[0], now - self.told[1]
        due = seconds >= MOST or (steps >= TENTH * state.max_steps and seconds >= LEAST)
        if self.console.is_terminal or step >= state.max_steps or not due:
            return
        left = (now - self.begun[1]) / (step - self.begun[0]) * (state.max_steps - step)
        told = f", {self.newest}" if self.newest else ""
        self.console.print(f"  {self.name} {step}/{state.max_steps}{told}, {_minutes(left)} left", highlight=False)
        self.told = (step, now)


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
