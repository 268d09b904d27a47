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
