"""What the reward sources share: the scorer they all become, what they are made of, and how an error names one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from rlhf.data.rows import Row

# One finite number per answer: rows hold the prompts (`row.prompt`), answers are texts. Texts cross, never ids, so that
# any model may judge any other.
Scorer = Callable[[Sequence[Row], Sequence[str]], list[float]]


@dataclass(frozen=True)
class RewardParts:
    """What a job hands to its reward sources."""

    gold: Callable[[Row, str], float] | None  # the data set's known true reward
    stage: Callable[[], Scorer] | None  # loads the reward model that was trained upstream
    device: str  # cpu | cuda
    dtype: torch.dtype  # of the judges' weights
    batch_size: int  # answers that a judge reads at once


def place(name: str, key: str | None = None) -> str:
    """Return the config key of source `name`, or of one of its settings."""
    return f"method.rewards.{name}" if key is None else f"method.rewards.{name}.{key}"


def one_line(error: BaseException) -> str:
    """Return the first 200 characters of what a library says, in one line, its type first."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
