"""What one step of PPO learns from: a batch of prompts with sampled responses and everything known about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf.data.rows import Row


@dataclass(frozen=True)
class Experience:
    """One rollout of this process, in the order of its prompts. Axes: batch = prompts, width = longest response.

    Per-token tensors are float32, responses begin at column 0, and entries outside `mask` are 0. Log-probs belong to
    softmax(logits / temperature), the distribution that was sampled from.
    """

    rows: Sequence[Row]
    prompt_ids: Sequence[list[int]]
    response_ids: Sequence[list[int]]  # up to and including the first stop token
    texts: Sequence[str]  # what the reward reads: decoded up to the stop token
    finished: Tensor  # (batch,) bool: ended by itself within the token limit
    mask: Tensor  # (batch, width) bool: a sampled token, the stop token included
    logp_generated: Tensor  # (batch, width) as generation drew each token
    logp_old: Tensor  # (batch, width) under the sampling policy, by the forward that trains
    logp_reference: Tensor  # (batch, width) under the frozen start
    entropy: Tensor  # (batch, width) of the sampling policy's next-token distribution, nats
    values: Tensor  # (batch, width) critic before the update, at the state that each token was sampled in
    scores: Tensor  # (batch,) as the reward sources gave them, before normalisation
    sources: Mapping[str, Tensor]  # (batch,) each source's own score, by its name; `scores` is their weighted sum
    gold: Tensor | None  # (batch,) true reward, where it is known
    seconds: Mapping[str, float]  # by phase: generate, score

    @property
    def lengths(self) -> Tensor:
        """Tokens per response: (batch,)."""
        return self.mask.sum(dim=1)


def response_mask(response_ids: Sequence[Sequence[int]], device: torch.device | str) -> Tensor:
    """Return (batch, width) bool, true on the tokens of right-padded responses."""
    lengths = torch.tensor([len(row) for row in response_ids], device=device)
    width = max(1, int(lengths.max()))
    return torch.arange(width, device=device) < lengths[:, None]
