"""Preference losses against numbers worked by hand and gradients of the literal formula."""

from __future__ import annotations

import math

import pytest
import torch

from rlhf.losses import implicit_rewards, preference_loss

LN2 = 0.6931471805599453


def test_implicit_reward_is_beta_times_the_log_ratio() -> None:
    """Beta 0.1: (-10) - (-12) = 2 -> 0.2; (-7) - (-3) = -4 -> -0.4; an unmoved policy -> 0."""
    found = implicit_rewards(torch.tensor([-10.0, -7.0, -5.0]), torch.tensor([-12.0, -3.0, -5.0]), 0.1)
    assert found.tolist() == pytest.approx([0.2, -0.4, 0.0])


def test_loss_of_equal_rewards_is_ln_2_whatever_the_smoothing() -> None:
    """Sigmoid(0) = 1/2, so -log 1/2 = ln 2; smoothing mixes ln 2 with ln 2."""
    rewards = torch.tensor([0.0, 3.5, -20.0], dtype=torch.float64)
    for smoothing in (0.0, 0.1, 0.49):
        assert preference_loss(rewards, rewards, smoothing).tolist() == pytest.approx([LN2] * 3, abs=1e-15)


def test_loss_of_a_worked_pair() -> None:
    """Chosen 1.5, rejected 0.5: margin 1, sigmoid(1) = 1 / (1 + 0.36787944) = 0.73105858, -log of it 0.31326169.

    The other way round: sigmoid(-1) = 0.26894142, -log of it 1.31326169 (the margin 1 more).
    """
    chosen, rejected = torch.tensor([1.5, 0.5]), torch.tensor([0.5, 1.5])
    assert preference_loss(chosen, rejected).tolist() == pytest.approx([0.31326169, 1.31326169], abs=1e-6)


def test_label_smoothing_mixes_the_losses_of_both_labels() -> None:
    """At margin 1 and e = 0.2: 0.8 x 0.31326169 + 0.2 x 1.31326169 = 0.51326169."""
    found = preference_loss(torch.tensor([1.0]), torch.tensor([0.0]), 0.2)
    assert found.item() == pytest.approx(0.51326169, abs=1e-6)


def test_smoothed_loss_is_least_where_the_model_states_the_flip_rate() -> None:
    """With a share e of flipped labels the best margin is log((1 - e) / e): for e = 0.1, log 9 = 2.1972246."""
    margin = torch.tensor([math.log(9)], dtype=torch.float64, requires_grad=True)
    preference_loss(margin, torch.zeros(1, dtype=torch.float64), 0.1).sum().backward()
    assert margin.grad.item() == pytest.approx(0.0, abs=1e-12)


def test_dpo_gradient_is_that_of_the_paper() -> None:
    """Equation 7's gradient in log pi(chosen): -beta sigmoid(rejected reward - chosen reward); opposite for rejected.

    Against autograd of the formula as the paper writes it.
    """
    beta, generator = 0.3, torch.Generator().manual_seed(0)
    values = torch.randn(4, 8, generator=generator, dtype=torch.float64) * 10
    chosen, rejected = values[0].clone().requires_grad_(), values[1].clone().requires_grad_()
    ours = preference_loss(implicit_rewards(chosen, values[2], beta), implicit_rewards(rejected, values[3], beta))
    literal = -torch.log(1 / (1 + torch.exp(-beta * ((chosen - values[2]) - (rejected - values[3])))))
    assert torch.allclose(ours, literal, atol=1e-12)
    found = torch.autograd.grad(ours.sum(), [chosen, rejected])
    hoped = torch.autograd.grad(literal.sum(), [chosen, rejected])
    by_hand = -beta * torch.sigmoid(-beta * ((values[0] - values[2]) - (values[1] - values[3])))
    assert torch.allclose(found[0], hoped[0], atol=1e-12)
    assert torch.allclose(found[0], by_hand, atol=1e-12)
    assert torch.allclose(found[1], -by_hand, atol=1e-12)
    assert torch.allclose(found[1], hoped[1], atol=1e-12)


def test_extreme_margins_stay_finite() -> None:
    """-log sigmoid(-1000) = 1000 up to rounding, and -log sigmoid(1000) = 0; no overflow on the way."""
    assert preference_loss(torch.tensor([0.0, 1000.0]), torch.tensor([1000.0, 0.0])).tolist() == [1000.0, 0.0]
