"""KL divergence between two policies, estimated from the policy's own samples."""

from __future__ import annotations

import torch
from torch import Tensor


def stepwise_kl(logits: Tensor, reference_logits: Tensor, temperature: float) -> Tensor:
    """KL(policy || reference) of the next-token distributions, summed over the whole vocabulary.

    Shapes (..., vocabulary) -> (...); nats; always >= 0. Both logits are divided by the sampling temperature. Computed
    in float32 whatever the model's precision.
    """
    logp = torch.log_softmax(logits.float() / temperature, dim=-1)
    reference_logp = torch.log_softmax(reference_logits.float() / temperature, dim=-1)
    return (logp.exp() * (logp - reference_logp)).sum(dim=-1).clamp_min(0.0)


def response_kl(step_kl: Tensor, mask: Tensor) -> Tensor:
    """KL(policy || reference) per response: the sum of its steps' exact KLs; shapes (batch, response) -> (batch,).

    Over responses drawn from the policy, its mean is an unbiased estimate of the KL between the two distributions over
    responses (chain rule; every step's KL is summed over the vocabulary instead of sampled, so the variance is lower
    than that of log-ratio estimators and no value is negative).
    """
    return (step_kl * mask).sum(dim=-1)


def k1(logp: Tensor, other_logp: Tensor) -> Tensor:
    """Estimate KL(p || q) from samples of p by log p - log q: unbiased, of either sign; any shape, nats.

    The names k1, k2, k3 are Schulman's (http://joschu.net/blog/kl-approx.html). As a penalty inside the reward it has
    the right optimum, p proportional to q exp(r / beta).
    """
    return logp - other_logp


def k2(logp: Tensor, other_logp: Tensor) -> Tensor:
    """Half the squared log-ratio: biased as a value, but its gradient in p is in expectation that of KL(p || q).

    That holds for log-probs of whole responses, not token by token: sum the log-ratios first.
    """
    return 0.5 * (logp - other_logp).square()


def k3(logp: Tensor, other_logp: Tensor) -> Tensor:
    """Estimate KL(p || q) from samples of p by q/p - 1 - log(q/p): unbiased, never negative.

    A monitor only: neither in the reward nor as a loss does it have p proportional to q exp(r / beta) as optimum.
    """
    ratio = other_logp - logp
    return (ratio.expm1() - ratio).clamp(min=0)  # rounding alone makes it negative
