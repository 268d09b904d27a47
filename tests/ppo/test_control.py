"""The KL coefficient by numbers worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from rlhf.ppo.control import KLControl
from rlhf.ppo_spec import KLSpec


def control(target: float | None = 6.0, horizon: float = 1000.0, coefficient: float = 0.1) -> KLControl:
    return KLControl(KLSpec(estimator="k1", coefficient=coefficient, target=target, horizon=horizon, max_update=None))


def test_without_a_target_it_stays() -> None:
    fixed = control(target=None)
    for kl in (0.0, 100.0, -3.0):
        fixed.update(kl, 64)
    assert fixed.value == 0.1


@pytest.mark.parametrize(
    ("kl", "expected"),
    [
        (6.0, 0.1),  # at the target
        (6.6, 0.1 * (1 + 0.1 * 0.064)),  # a tenth above it: e = 0.1, n / horizon = 0.064
        (5.4, 0.1 * (1 - 0.1 * 0.064)),
        (7.2, 0.10128),  # e = 0.2 exactly
        (600.0, 0.10128),  # and never more
        (4.8, 0.09872),
        (0.0, 0.09872),
        (-50.0, 0.09872),
        (math.inf, 0.10128),
        (math.nan, 0.1),  # nothing was measured
    ],
)
def test_one_update_by_hand(kl: float, expected: float) -> None:
    adaptive = control()
    adaptive.update(kl, 64)
    assert adaptive.value == pytest.approx(expected, rel=1e-12)


def test_updates_multiply() -> None:
    """64 responses in 1000, KL far above the target ten times: 0.1 x 1.0128^10 = 0.1135630."""
    adaptive = control()
    for _ in range(10):
        adaptive.update(100.0, 64)
    assert adaptive.value == pytest.approx(0.1135630, abs=1e-7)


def test_a_step_of_more_than_a_horizon_counts_for_one_and_leaves_the_coefficient_positive() -> None:
    """Without that bound 64 responses at horizon 10 would give 1 - 0.2 x 6.4 = -0.28: a reward for leaving."""
    adaptive = control(horizon=10.0)
    adaptive.update(0.0, 64)
    assert adaptive.value == pytest.approx(0.08)


def test_it_finds_the_coefficient_whose_kl_is_the_target() -> None:
    """A policy whose KL is 1 / coefficient: the target of 6 asks for 1/6."""
    adaptive = control(coefficient=0.02, horizon=640.0)
    for _ in range(300):
        adaptive.update(1 / adaptive.value, 64)
    assert adaptive.value == pytest.approx(1 / 6, rel=1e-3)


def test_a_rollback_multiplies_it() -> None:
    fixed = control(target=None)
    fixed.multiply(2.0)
    assert fixed.value == pytest.approx(0.2)


def test_it_travels_with_the_checkpoint_to_the_last_bit() -> None:
    learner, resumed = nn.ModuleDict({"control": control()}), nn.ModuleDict({"control": control(coefficient=9.0)})
    learner["control"].update(6.5, 61)
    resumed.load_state_dict(learner.state_dict())
    assert list(learner.state_dict()) == ["control.coefficient"]
    for module in (learner["control"], resumed["control"]):
        module.update(3.7, 64)
    assert learner["control"].value == resumed["control"].value
    assert learner["control"].coefficient.dtype == torch.float64
    assert not list(learner.parameters())
