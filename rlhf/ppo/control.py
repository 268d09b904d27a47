"""The KL coefficient: fixed, or steered so that the KL per response comes to a target."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rlhf.ppo_spec import KLSpec

LARGEST_ERROR = 0.2  # Ziegler et al. 2019 (arXiv 1909.08593, section 2.2): no measurement counts for more


class KLControl(nn.Module):
    """What a nat of KL costs. A module, so that checkpoints of the learner hold coefficient and target."""

    coefficient: Tensor  # () float64
    target: Tensor | None  # () float64, nats per response once the ramp is over; None: the coefficient is fixed
    seen: Tensor  # () float64, responses that the policy has learned from

    def __init__(self, spec: KLSpec) -> None:
        super().__init__()
        self.horizon = spec.horizon
        self.ramp = spec.ramp
        self.register_buffer("coefficient", torch.tensor(spec.coefficient, dtype=torch.float64))
        target = None if spec.target is None else torch.tensor(spec.target, dtype=torch.float64)
        self.register_buffer("target", target)
        self.register_buffer("seen", torch.tensor(0.0, dtype=torch.float64))

    @property
    def value(self) -> float:
        """Reward per nat, as the next step is to use it."""
        return float(self.coefficient)

    @property
    def aim(self) -> float | None:
        """KL per response that the newest step was compared with: the target, or where it is on the ramp."""
        if self.target is None:
            return None
        return float(self.target) * (min(1.0, float(self.seen) / self.ramp) if self.ramp else 1.0)

    def update(self, kl_per_response: float, responses: int) -> None:
        """Steer by the KL that `responses` samples of the newest step show; without a target nothing changes.

        coefficient *= 1 + clip(KL / target - 1, -0.2, 0.2) x responses / horizon (Ziegler et al. 2019). A step counts
        for one horizon at most, so that the coefficient stays above 0; a KL that is not a number changes nothing. Over
        the first `ramp` responses the target rises from 0 to its value: measured against the whole of it, the KL of a
        policy that has hardly moved would ask for a lower coefficient step after step, and overshoot when it arrives.
        """
        if self.target is None or math.isnan(kl_per_response):
            return
        self.seen.add_(responses)
        assert self.aim is not None
        error = min(max(kl_per_response / self.aim - 1, -LARGEST_ERROR), LARGEST_ERROR)
        self.coefficient.mul_(1 + error * min(1.0, responses / self.horizon))

    def tighten(self, factor: float, seen: float) -> None:
        """Charge more after a rollback to weights that had learned from `seen` responses.

        The target falls by the factor by which the coefficient rises: steered to the old one, it would come down again.
        """
        self.coefficient.mul_(factor)
        if self.target is not None:
            self.target.div_(factor)
        self.seen.fill_(seen)
