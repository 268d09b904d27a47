"""The KL coefficient by numbers worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from rlhf.ppo.control import KLControl
from rlhf.ppo_spec import KLSpec


def control(
    target: float | None = 6.0, horizon: float = 1000.0, coefficient: float = 0.1, ramp: float = 0.0
) -> KLControl:
    spec = {"estimator": "k1", "coefficient": coefficient, "target": target, "horizon": horizon, "ramp": ramp}
    return KLControl(KLSpec.model_validate(spec | {"max_update": None}))


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


def test_the_target_rises_from_0_over_the_ramp() -> None:
    """64 of 256 responses: the target is 1.5, then 3, 4.5, 6 and 6. A KL that follows it changes nothing."""
    following = control(ramp=256.0)
    for kl in (1.5, 3.0, 4.5, 6.0, 6.0):
        following.update(kl, 64)
        assert following.value == pytest.approx(0.1, rel=1e-12)
    ahead = control(ramp=256.0)
    ahead.update(1.65, 64)  # a tenth above 1.5
    assert ahead.value == pytest.approx(0.1 * (1 + 0.1 * 0.064), rel=1e-12)


def peak_and_end(ramp: float) -> tuple[float, float]:
    """KL of a policy that moves a tenth of the way per step to where its coefficient lets it: 0.5 / coefficient."""
    adaptive, kl, course = control(target=2.0, horizon=250.0, coefficient=0.15, ramp=ramp), 0.0, []
    for _ in range(100):
        adaptive.update(kl, 64)
        kl += 0.1 * (0.5 / adaptive.value - kl)
        course.append(kl)
    return max(course), course[-1]


def test_a_ramp_keeps_a_slow_policy_from_overshooting() -> None:
    peak, end = peak_and_end(ramp=1600.0)
    assert peak < 2.0 * 1.3 and end == pytest.approx(2.0, rel=0.2)
    assert peak_and_end(ramp=0.0)[0] > peak + 0.5


def test_it_finds_the_coefficient_whose_kl_is_the_target() -> None:
    """A policy whose KL is 1 / coefficient: the target of 6 asks for 1/6."""
    adaptive = control(coefficient=0.02, horizon=640.0)
    for _ in range(300):
        adaptive.update(1 / adaptive.value, 64)
    assert adaptive.value == pytest.approx(1 / 6, rel=1e-3)


def test_a_rollback_doubles_a_fixed_coefficient() -> None:
    fixed = control(target=None)
    fixed.tighten(2.0, 0.0)
    assert fixed.value == pytest.approx(0.2) and fixed.aim is None


def test_a_rollback_halves_the_target_and_goes_back_on_the_ramp() -> None:
    """128 responses in, the target of 6 stood at 3; back at 64 of 256 it stands at 6 / 2 / 4 and is at 3 in the end."""
    adaptive = control(ramp=256.0)
    for kl in (1.5, 3.0):
        adaptive.update(kl, 64)
    assert adaptive.aim == 3.0
    adaptive.tighten(2.0, 64.0)
    assert (adaptive.value, adaptive.aim) == (pytest.approx(0.2), 0.75)
    for kl in (1.5, 2.25, 3.0, 3.0):  # KLs on the new ramp: nothing drives the coefficient back down
        adaptive.update(kl, 64)
        assert adaptive.value == pytest.approx(0.2, rel=1e-12)


def test_it_travels_with_the_checkpoint_to_the_last_bit() -> None:
    learner = nn.ModuleDict({"control": control(ramp=256.0)})
    resumed = nn.ModuleDict({"control": control(coefficient=9.0, target=1.0, ramp=256.0)})
    learner["control"].update(6.5, 61)
    resumed.load_state_dict(learner.state_dict())
    assert list(learner.state_dict()) == ["control.coefficient", "control.target", "control.seen"]
    for module in (learner["control"], resumed["control"]):
        module.update(3.7, 64)
    assert learner["control"].value == resumed["control"].value
    assert learner["control"].coefficient.dtype == torch.float64
    assert not list(learner.parameters())
