"""PPO's losses as pure functions: (tensors, floats) -> (loss, metrics).

Every sum over tokens is divided by `tokens`, the number of response tokens in the whole minibatch, so that losses,
metrics and gradients of its micro-batches (and processes) simply add up, whatever their size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlhf.evaluation.ppo import metrics as names
from rlhf.kl import k1, k2, k3

LOG_RATIO_BOUND = 20.0  # exp of more overflows in float16 and says nothing new

Metrics = dict[str, Tensor]  # scalars that add up over the micro-batches of a minibatch


def _total(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, values, 0.0).sum()


def policy_loss(
    logp: Tensor, logp_old: Tensor, advantages: Tensor, mask: Tensor, *, clip: float, tokens: float
) -> tuple[Tensor, Metrics]:
    """Clipped surrogate max(-A rho, -A clip(rho, 1 - clip, 1 + clip)) (Schulman et al. 2017, arXiv 1707.06347, eq. 7).

    All tensors (batch, width). At logp = logp_old its gradient is REINFORCE's with the same advantages.
    """
    log_ratio = (logp - logp_old).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
    ratio = log_ratio.exp()
    plain, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    loss = _total(torch.maximum(plain, clipped), mask) / tokens
    with torch.no_grad():
        metrics = {
            names.POLICY_RATIO.name: _total(ratio, mask) / tokens,
            names.POLICY_LOG_RATIO_SIZE.name: _total(log_ratio.abs(), mask) / tokens,
            names.POLICY_CLIP_FRACTION.name: _total((clipped > plain).float(), mask) / tokens,
            names.KL_OLD_TO_NEW.name: _total(k3(logp_old, logp), mask) / tokens,
        }
    return loss, metrics


def value_loss(
    values: Tensor, values_old: Tensor, returns: Tensor, mask: Tensor, *, clip: float | None, tokens: float
) -> tuple[Tensor, Metrics]:
    """Half the squared error, and no less than that of the value clipped to within `clip` of its old one."""
    plain = (values - returns).square()
    worst = plain
    if clip is not None:
        near = values_old + (values - values_old).clamp(-clip, clip)
        worst = torch.maximum(plain, (near - returns).square())
    loss = 0.5 * _total(worst, mask) / tokens
    with torch.no_grad():
        metrics = {names.VALUE_CLIP_FRACTION.name: _total((worst > plain).float(), mask) / tokens}
    return loss, metrics


def reference_loss(logp: Tensor, logp_reference: Tensor, mask: Tensor, *, tokens: float) -> tuple[Tensor, Metrics]:
    """KL(policy || reference) as a loss: k2 of whole responses, whose gradient on the policy's samples is the KL's.

    Token by token k2 would leave out how a token changes the states that follow it. Exact on the first pass over the
    samples; later passes see samples of a policy that is a little older.
    """
    log_ratio = torch.where(mask, k1(logp, logp_reference), 0.0).sum(dim=1)
    return k2(log_ratio, torch.zeros_like(log_ratio)).sum() / tokens, {}
