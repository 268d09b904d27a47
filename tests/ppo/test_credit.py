"""Credit against closed forms, brute-force sums and numbers worked by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlhf.ppo.credit import Moments, generalized_advantages, moments, shaped_scores, spread, token_rewards, whiten

Ragged = tuple[Tensor, Tensor, Tensor]


@st.composite
def ragged(draw: st.DrawFn) -> Ragged:
    """(rewards, values, mask) of responses of 1 to 7 tokens; values outside the mask are noise that must not count."""
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    noise = torch.randn(2, *mask.shape, generator=generator, dtype=torch.float64)
    return torch.where(mask, noise[0], 0.0), noise[1], mask


def brute_force(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """A_t = sum over k >= 0 of (gamma lam)^k delta_(t+k), each response on its own and written out as two loops."""
    found = torch.zeros_like(rewards)
    for row in range(len(rewards)):
        length = int(mask[row].sum())
        r, v = rewards[row, :length].tolist(), [*values[row, :length].tolist(), 0.0]
        deltas = [r[t] + gamma * v[t + 1] - v[t] for t in range(length)]
        for t in range(length):
            found[row, t] = sum((gamma * lam) ** k * deltas[t + k] for k in range(length - t))
    return found


@given(ragged(), st.floats(0.5, 1.0), st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_advantages_are_the_discounted_sum_of_errors(rows: Ragged, gamma: float, lam: float) -> None:
    rewards, values, mask = rows
    advantages, returns = generalized_advantages(rewards, values, mask, gamma=gamma, lam=lam)
    torch.testing.assert_close(advantages, brute_force(rewards, values, mask, gamma, lam), rtol=0, atol=1e-12)
    torch.testing.assert_close(returns, torch.where(mask, advantages + values, 0.0), rtol=0, atol=1e-12)


@given(ragged())
@settings(max_examples=40, deadline=None)
def test_at_lambda_one_advantages_are_the_rest_of_the_rewards_minus_the_value(rows: Ragged) -> None:
    rewards, values, mask = rows
    advantages, returns = generalized_advantages(rewards, values, mask, gamma=1.0, lam=1.0)
    rest = rewards.flip(1).cumsum(1).flip(1)  # rewards are 0 after the end
    torch.testing.assert_close(advantages, torch.where(mask, rest - values, 0.0), rtol=0, atol=1e-12)
    torch.testing.assert_close(returns, torch.where(mask, rest, 0.0), rtol=0, atol=1e-12)


@given(ragged(), st.floats(0.5, 1.0))
@settings(max_examples=40, deadline=None)
def test_at_lambda_zero_advantages_are_one_step_errors(rows: Ragged, gamma: float) -> None:
    rewards, values, mask = rows
    advantages, _ = generalized_advantages(rewards, values, mask, gamma=gamma, lam=0.0)
    known = torch.where(mask, values, 0.0)
    following = torch.nn.functional.pad(known[:, 1:], (0, 1))
    torch.testing.assert_close(
        advantages, torch.where(mask, rewards + gamma * following - known, 0.0), rtol=0, atol=1e-12
    )


def test_advantages_by_hand() -> None:
    """Rewards 0, 2 and values 1, 0.5 with gamma 1, lam 1/2: delta = (0 + 0.5 - 1, 2 - 0.5) = (-0.5, 1.5).

    A = (-0.5 + 0.5 x 1.5, 1.5) = (0.25, 1.5), returns A + V = (1.25, 2). The second row's critic says 9 behind its end.
    """
    rewards, values = torch.tensor([[0.0, 2.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.5], [3.0, 9.0]])
    mask = torch.tensor([[True, True], [True, False]])
    advantages, returns = generalized_advantages(rewards, values, mask, gamma=1.0, lam=0.5)
    assert advantages.tolist() == [[0.25, 1.5], [-2.0, 0.0]]
    assert returns.tolist() == [[1.25, 2.0], [1.0, 0.0]]


@given(ragged())
@settings(max_examples=40, deadline=None)
def test_a_ragged_row_is_credited_as_if_it_were_alone(rows: Ragged) -> None:
    rewards, values, mask = rows
    together, _ = generalized_advantages(rewards, values, mask, gamma=1.0, lam=0.95)
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        cut = slice(row, row + 1), slice(0, length)
        alone, _ = generalized_advantages(rewards[cut], values[cut], mask[cut], gamma=1.0, lam=0.95)
        assert torch.equal(together[cut], alone)


@given(ragged())
@settings(max_examples=40, deadline=None)
def test_whitened_entries_have_mean_0_and_variance_1_under_the_mask(rows: Ragged) -> None:
    values, _, mask = rows
    if mask.sum() < 2:
        return
    found = whiten(values, mask, moments(values, mask))
    assert found[mask].mean().item() == pytest.approx(0.0, abs=1e-9)
    variance = values[mask].var(correction=0).item()
    assert found[mask].var(correction=0).item() == pytest.approx(variance / (variance + 1e-8), rel=1e-9)
    assert (found[~mask] == 0).all()


def test_whitening_by_hand_keeps_the_mean_where_asked() -> None:
    """1, 3, 5 (and a masked 100): mean 3, variance 8/3; (1 - 3) / sqrt(8/3) = -1.2247449."""
    values = torch.tensor([[1.0, 3.0], [5.0, 100.0]])
    mask = torch.tensor([[True, True], [True, False]])
    of = moments(values, mask)
    assert of.values.tolist() == [3.0, 9.0, 35.0]
    assert (of.mean.item(), of.variance.item()) == pytest.approx((3.0, 8 / 3))
    assert whiten(values, mask, of).flatten().tolist() == pytest.approx([-1.2247449, 0.0, 1.2247449, 0.0])
    kept = whiten(values, mask, of, shift_mean=False)
    assert kept.flatten().tolist() == pytest.approx([3 - 1.2247449, 3.0, 3 + 1.2247449, 0.0])


def test_entries_that_do_not_differ_are_whitened_to_zero() -> None:
    values = torch.full((2, 3), 0.1)
    mask = torch.ones(2, 3, dtype=torch.bool)
    of = moments(values, mask)
    assert spread(of).item() >= 1e-4 - 1e-12
    assert whiten(values, mask, of).abs().max().item() < 1e-3


@given(ragged(), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_moments_of_two_processes_add_up_to_those_of_one(rows: Ragged, cut: int) -> None:
    values, _, mask = rows
    parts = [moments(values[part], mask[part]).values for part in (slice(0, cut), slice(cut, None))]
    both, whole = Moments(parts[0] + parts[1]), moments(values, mask)
    torch.testing.assert_close(both.values, whole.values, rtol=0, atol=1e-12)
    halves = torch.cat([whiten(values[part], mask[part], both) for part in (slice(0, cut), slice(cut, None))])
    torch.testing.assert_close(halves, whiten(values, mask, whole), rtol=0, atol=1e-9)


def test_moments_of_nothing_are_finite() -> None:
    nothing = moments(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.bool))
    assert (nothing.mean.item(), nothing.variance.item()) == (0.0, 0.0)


def test_the_score_lands_on_the_last_token_of_each_response() -> None:
    """At coefficient 0 nothing else is rewarded: responses of 3, 1 and 2 tokens."""
    mask = torch.arange(3) < torch.tensor([3, 1, 2])[:, None]
    same = torch.zeros(3, 3)
    found = token_rewards(torch.tensor([5.0, -7.0, 2.0]), same, same, mask, 0.0)
    assert found.tolist() == [[0.0, 0.0, 5.0], [-7.0, 0.0, 0.0], [0.0, 2.0, 0.0]]


def test_token_rewards_by_hand() -> None:
    """At 0.5: -0.5 x (log p - log q), so a token likelier than under the reference costs; 4 on the last one."""
    logp, reference = torch.tensor([[-1.0, -2.0, -0.5]]), torch.tensor([[-2.0, -1.0, -3.0]])
    mask = torch.tensor([[True, True, False]])
    found = token_rewards(torch.tensor([4.0]), logp, reference, mask, 0.5)
    assert found.tolist() == [[-0.5, 0.5 + 4.0, 0.0]]


@given(ragged(), st.floats(0.0, 2.0))
@settings(max_examples=40, deadline=None)
def test_rewards_of_a_response_sum_to_its_score_minus_the_price_of_its_kl(rows: Ragged, coefficient: float) -> None:
    logp, reference, mask = rows
    scores = torch.linspace(-1, 2, len(mask), dtype=torch.float64)
    found = token_rewards(scores, logp, reference, mask, coefficient)
    k1 = (torch.where(mask, logp, 0.0) - torch.where(mask, reference, 0.0)).sum(dim=1)
    torch.testing.assert_close(found.sum(dim=1), scores - coefficient * k1, rtol=0, atol=1e-12)
    assert (found[~mask] == 0).all()


def test_scores_are_normalised_then_clipped_then_fined() -> None:
    """Mean 10, deviation 2: 14, 30, 4, 30 -> 2, 10, -3, 10 -> clipped at 2.5 -> 2, 2.5, -2.5, 2.5; the last two did not
    end and pay 1 each: fined before clipping they would stay at -2.5 and 2.5, and before normalising pay only 0.5."""
    scores, finished = torch.tensor([14.0, 30.0, 4.0, 30.0]), torch.tensor([True, True, False, False])
    found = shaped_scores(scores, finished, mean=10.0, std=2.0, clip=2.5, missing_eos_penalty=1.0)
    assert found.tolist() == [2.0, 2.5, -3.5, 1.5]
    plain = shaped_scores(scores, finished, mean=0.0, std=1.0, clip=None, missing_eos_penalty=0.0)
    assert plain.tolist() == scores.tolist()
