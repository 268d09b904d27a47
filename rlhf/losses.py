"""Preference losses as pure functions of tensors: the numbers that stand beside what TRL's trainers report."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def implicit_rewards(logps: Tensor, reference_logps: Tensor, beta: float) -> Tensor:
    """DPO's implicit reward beta * log(policy / reference) of whole responses, in nats; shapes (batch,) -> (batch,).

    Source: Rafailov et al. 2023 (arXiv 2305.18290), equation 5 up to the prompt's partition function.
    """
    return beta * (logps - reference_logps)


def preference_loss(chosen_rewards: Tensor, rejected_rewards: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Per-pair Bradley-Terry loss -log sigmoid(chosen - rejected), shapes (batch,) -> (batch,); ln 2 at equal rewards.

    With implicit rewards this is DPO (equation 7), with a reward model's scores its pairwise ranking loss. A label
    smoothing of e assumes that a share e of the preferences is flipped (conservative DPO, Mitchell 2023).
    """
    margin = chosen_rewards - rejected_rewards
    return -(1 - label_smoothing) * F.logsigmoid(margin) - label_smoothing * F.logsigmoid(-margin)
