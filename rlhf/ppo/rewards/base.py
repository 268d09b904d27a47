"""What the reward sources share: the scorer they all become, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from rlhf.data.rows import Row

# the remedy of a source that fails while its job runs
GO_ON = "run the same command again: it goes on from the last whole checkpoint"

# One finite number per answer: rows hold the prompts (`row.prompt`), answers are texts. Texts cross, never ids, so that
# any model may judge any other.
Scorer = Callable[[Sequence[Row], Sequence[str]], list[float]]


@dataclass(frozen=True)
class RewardParts:
    """What a job hands to its reward sources."""

    gold: Callable[[Row, str], float] | None  # the data set's known true reward
    stage: Callable[[str], Scorer] | None  # loads the reward model that was trained upstream, for the source named
    device: str  # cpu | cuda
    dtype: torch.dtype  # of the judges' weights
    batch_size: int  # answers that a judge reads at once
