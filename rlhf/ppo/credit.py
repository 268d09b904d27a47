"""From scores of whole responses to an advantage per token: pure functions of tensors.

Shapes: per-response (batch,), per-token (batch, width) with a bool mask of the same shape; 0 outside the mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf.kl import k1

WHITENING_EPSILON = 1e-8


@dataclass(frozen=True)
class Credit:
    """What the update learns from."""

    rewards: Tensor  # (batch, width) reward of each action, KL penalty included
    advantages: Tensor  # (batch, width) whitened over the tokens of the whole batch
    returns: Tensor  # (batch, width) what the critic is fitted to
    raw: Moments  # of the advantages before they were whitened

    @property
    def scale(self) -> Tensor:
        """What the advantages were divided by: ()."""
        return spread(self.raw)


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of squares of masked entries; those of several processes add up."""

    values: Tensor  # (3,) float64

    @property
    def mean(self) -> Tensor:
        """Mean of the entries; 0 of none."""
        return self.values[1] / self.values[0].clamp_min(1)

    @property
    def variance(self) -> Tensor:
        """Population variance of the entries."""
        return (self.values[2] / self.values[0].clamp_min(1) - self.mean.square()).clamp_min(0)


def moments(values: Tensor, mask: Tensor) -> Moments:
    """Count the masked entries and sum them and their squares, in float64."""
    kept = values.double()[mask]
    return Moments(torch.stack([kept.new_tensor(float(kept.numel())), kept.sum(), kept.square().sum()]))


def whiten(values: Tensor, mask: Tensor, of: Moments, *, shift_mean: bool = True) -> Tensor:
    """Bring masked entries to variance 1 and mean 0 (with `shift_mean=False`: to their own mean)."""
    mean, scale = of.mean.to(values), spread(of).to(values)
    whitened = (values - mean) / scale
    return torch.where(mask, whitened if shift_mean else whitened + mean, 0.0)


def spread(of: Moments) -> Tensor:
    """Standard deviation with the whitening's epsilon under the root."""
    return (of.variance + WHITENING_EPSILON).sqrt()


def shaped_scores(
    scores: Tensor, finished: Tensor, *, mean: float, std: float, clip: float | None, missing_eos_penalty: float
) -> Tensor:
    """Normalise scores by mean and standard deviation of the start's samples, clip, then fine what did not end.

    The fine is in units of the normalised score, so that one value serves every judge.
    """
    shaped = (scores - mean) / std
    if clip is not None:
        shaped = shaped.clamp(-clip, clip)
    return shaped - missing_eos_penalty * (~finished).to(shaped)


def token_rewards(scores: Tensor, logp: Tensor, reference_logp: Tensor, mask: Tensor, coefficient: float) -> Tensor:
    """Reward of each action: -coefficient x k1 on every token, and the response's score on its last one.

    The last token is the stop token of a response that ended by itself (TRL's PPO put the score one slot behind it).
    """
    penalties = -coefficient * k1(logp, reference_logp)
    last = mask.sum(dim=1, keepdim=True) - 1
    at_end = torch.zeros_like(penalties).scatter(1, last.clamp_min(0), scores[:, None].to(penalties))
    return torch.where(mask, penalties + at_end, 0.0)


def generalized_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Return (advantages, returns) by GAE (Schulman et al. 2016, arXiv 1506.02438); the value after the end is 0.

    delta_t = r_t + gamma V_(t+1) - V_t and A_t = delta_t + gamma lam A_(t+1); returns are A + V.
    """
    values = torch.where(mask, values, 0.0)
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    deltas = torch.where(mask, rewards + gamma * following - values, 0.0)
    advantages = torch.zeros_like(deltas)
    running = torch.zeros_like(deltas[:, 0])
    for step in range(deltas.shape[1] - 1, -1, -1):
        running = deltas[:, step] + gamma * lam * running
        advantages[:, step] = running
    return torch.where(mask, advantages, 0.0), torch.where(mask, advantages + values, 0.0)
