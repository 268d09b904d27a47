"""PPO's losses against literal formulas, numbers worked by hand and sums over everything a small policy can answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlhf.kl import k1, k2, k3
from rlhf.ppo.credit import generalized_advantages, token_rewards
from rlhf.ppo.loss import policy_loss, reference_loss, value_loss

DOUBLE = torch.float64


@dataclass(frozen=True)
class Batch:
    """Ragged responses; outside the mask everything is noise."""

    logp: Tensor
    old: Tensor
    advantages: Tensor
    values: Tensor
    values_old: Tensor
    returns: Tensor
    mask: Tensor

    @property
    def tokens(self) -> float:
        return float(self.mask.sum())


def batch(seed: int, lengths: tuple[int, ...] = (3, 1, 5, 2)) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    noise = torch.randn(6, *mask.shape, generator=generator, dtype=DOUBLE)
    old = -1 - noise[0].abs()
    return Batch(old + 0.4 * noise[1], old, noise[2], noise[3], noise[3] + 0.4 * noise[4], noise[5], mask)


def literal_policy_loss(of: Batch, logp: Tensor, clip: float) -> Tensor:
    """-min(rho A, clip(rho) A) of one token after the other, in plain arithmetic."""
    terms = []
    for row, column in of.mask.nonzero().tolist():
        ratio = torch.exp(logp[row, column] - of.old[row, column])
        rho = ratio.item()
        advantage = of.advantages[row, column]
        limited = min(max(rho, 1 - clip), 1 + clip)
        free, bounded = ratio * advantage, limited * advantage
        terms.append(-(free if free.item() <= bounded.item() else bounded))
    return torch.stack(terms).sum() / of.tokens


def literal_value_loss(of: Batch, values: Tensor, clip: float) -> Tensor:
    terms = []
    for row, column in of.mask.nonzero().tolist():
        value, old, target = values[row, column], of.values_old[row, column], of.returns[row, column]
        moved = (value - old).item()
        near = value if abs(moved) <= clip else old + math.copysign(clip, moved)
        errors = ((value - target) ** 2, (near - target) ** 2)
        terms.append(0.5 * (errors[0] if errors[0].item() >= errors[1].item() else errors[1]))
    return torch.stack(terms).sum() / of.tokens


def with_gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Tensor]:
    leaf = at.clone().requires_grad_(True)
    loss = function(leaf)
    return loss.detach(), torch.autograd.grad(loss, leaf)[0]


def assert_same(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(found[1], expected[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["policy", "value"])
@given(seed=st.integers(0, 2**31), clip=st.floats(0.05, 0.5))
@settings(max_examples=30, deadline=None)
def test_loss_and_gradient_are_those_of_the_literal_formula(kind: str, seed: int, clip: float) -> None:
    of = batch(seed)
    same: dict[str, Any] = {"mask": of.mask, "clip": clip, "tokens": of.tokens}
    ours, literal, at = {
        "policy": (lambda x: policy_loss(x, of.old, of.advantages, **same)[0], literal_policy_loss, of.logp),
        "value": (lambda x: value_loss(x, of.values_old, of.returns, **same)[0], literal_value_loss, of.values),
    }[kind]
    assert_same(with_gradient(ours, at), with_gradient(lambda x: literal(of, x, clip), at))


def test_policy_loss_by_hand() -> None:
    """Clip 0.2; ratios 1.5, 0.5, 1.5, 0.5 with advantages 1, 1, -1, -1: losses -1.2, -0.5, 1.5, 0.8.

    The first and last are clipped. Sum 0.6; over 4 tokens 0.15. Ratio 1 on average, half the tokens clipped, and
    KL(old, new) by k3 = (1.5 - 1 - ln 1.5 + 0.5 - 1 - ln 0.5) / 2 = 0.1438410. A fifth token is outside the mask.
    """
    old = torch.full((1, 5), -3.0)
    logp = old + torch.tensor([[1.5, 0.5, 1.5, 0.5, 9.0]]).log()
    advantages = torch.tensor([[1.0, 1.0, -1.0, -1.0, 50.0]])
    mask = torch.tensor([[True, True, True, True, False]])
    logp.requires_grad_(True)
    loss, metrics = policy_loss(logp, old, advantages, mask, clip=0.2, tokens=4.0)
    assert loss.item() == pytest.approx(0.15)
    assert metrics["policy/ratio"].item() == pytest.approx(1.0)
    assert metrics["policy/clip_fraction"].item() == pytest.approx(0.5)
    assert metrics["kl/k3_old_to_new"].item() == pytest.approx(0.1438410, abs=1e-6)
    loss.backward()
    assert logp.grad is not None
    assert logp.grad[0].tolist() == pytest.approx(
        [0.0, -0.5 / 4, 1.5 / 4, 0.0, 0.0]
    )  # -A rho / tokens where not clipped


def test_value_loss_by_hand() -> None:
    """Old values 0, clip 0.2, return 1: value 0.1 is near and errs by 0.9; value 0.9 counts as 0.2 and errs by 0.8.

    Value -0.5 is worse than its clipped -0.2 and counts itself, 1.5. 0.5 x (0.81 + 0.64 + 2.25) / 3 = 0.6166667.
    """
    values, mask = torch.tensor([[0.1, 0.9, -0.5, 7.0]]), torch.tensor([[True, True, True, False]])
    old, returns = torch.zeros(1, 4), torch.ones(1, 4)
    loss, metrics = value_loss(values, old, returns, mask, clip=0.2, tokens=3.0)
    assert loss.item() == pytest.approx(0.6166667)
    assert metrics["value/clip_fraction"].item() == pytest.approx(1 / 3)
    free, metrics = value_loss(values, old, returns, mask, clip=None, tokens=3.0)
    assert free.item() == pytest.approx(0.5 * (0.81 + 0.01 + 2.25) / 3)
    assert metrics["value/clip_fraction"].item() == 0.0


def test_at_ratio_one_the_gradient_is_that_of_reinforce() -> None:
    of = batch(3)

    def ours(logp: Tensor) -> Tensor:
        return policy_loss(logp, of.logp, of.advantages, of.mask, clip=0.2, tokens=of.tokens)[0]

    _, gradient = with_gradient(ours, of.logp)
    reinforce = torch.where(of.mask, -of.advantages, 0.0) / of.tokens
    torch.testing.assert_close(gradient, reinforce, rtol=0, atol=1e-12)


def test_noise_outside_the_mask_reaches_neither_loss_nor_gradient() -> None:
    of = batch(4)
    for fill in (0.0, 1e4, -1e4):
        logp, values = (torch.where(of.mask, x, fill).requires_grad_(True) for x in (of.logp, of.values))
        loss = policy_loss(logp, of.old, of.advantages, of.mask, clip=0.2, tokens=of.tokens)[0]
        loss = loss + value_loss(values, of.values_old, of.returns, of.mask, clip=0.2, tokens=of.tokens)[0]
        loss = loss + reference_loss(logp, of.old, of.mask, tokens=of.tokens)[0]
        gradients = torch.autograd.grad(loss, [logp, values])
        found = loss.detach(), *(gradient[~of.mask].abs().sum() for gradient in gradients)
        if fill == 0.0:
            expected = found[0]
        torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-12)
        assert found[1:] == (0.0, 0.0)


@given(st.integers(0, 2**31), st.permutations(range(4)), st.integers(0, 4))
@settings(max_examples=30, deadline=None)
def test_microbatches_add_up_to_the_whole(seed: int, order: list[int], cut: int) -> None:
    """Any split in any order, each part cut to its own longest response: losses, metrics and gradients are sums."""
    of = batch(seed)
    logp, values = of.logp.clone().requires_grad_(True), of.values.clone().requires_grad_(True)

    def losses(rows: list[int]) -> dict[str, Tensor]:
        width = int(of.mask[rows].sum(dim=1).max()) if rows else 0
        mask = of.mask[rows, :width]
        old, advantages = of.old[rows, :width], of.advantages[rows, :width]
        policy, metrics = policy_loss(logp[rows, :width], old, advantages, mask, clip=0.2, tokens=of.tokens)
        value, more = value_loss(
            values[rows, :width],
            of.values_old[rows, :width],
            of.returns[rows, :width],
            mask,
            clip=0.2,
            tokens=of.tokens,
        )
        penalty, _ = reference_loss(logp[rows, :width], old, mask, tokens=of.tokens)
        return {"loss": policy + 0.1 * value + 0.3 * penalty, **metrics, **more}

    whole = losses(list(range(4)))
    parts = [losses(rows) for rows in (order[:cut], order[cut:])]
    for name, value in whole.items():
        exact = name == "loss"  # shares are counted in float32
        torch.testing.assert_close(sum(part[name] for part in parts), value, rtol=0, atol=1e-12 if exact else 1e-6)
    expected = torch.autograd.grad(whole["loss"], [logp, values])
    for part in parts:
        part["loss"].backward()
    for leaf, gradient in zip((logp, values), expected, strict=True):
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad, gradient, rtol=0, atol=1e-12)


def test_a_ratio_that_would_overflow_stays_finite() -> None:
    logp = torch.tensor([[0.0, -400.0]], requires_grad=True)
    old, mask = torch.tensor([[-400.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool)
    loss, _ = policy_loss(logp, old, torch.tensor([[-1.0, 1.0]]), mask, clip=0.2, tokens=2.0)
    loss.backward()
    assert logp.grad is not None and bool(torch.isfinite(loss)) and bool(torch.isfinite(logp.grad).all())


class Tree:
    """A policy over every response of up to three of the tokens a, b and stop, as a table of logits per prefix."""

    LONGEST, STOP, TOKENS = 3, 2, 3

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(11)
        others = [token for token in range(self.TOKENS) if token != self.STOP]
        self.responses = [[*start, self.STOP] for n in range(self.LONGEST) for start in product(others, repeat=n)]
        self.responses += [list(row) for row in product(others, repeat=self.LONGEST)]
        prefixes = [list(row) for n in range(self.LONGEST) for row in product(others, repeat=n)]
        lengths = torch.tensor([len(row) for row in self.responses])
        self.mask = torch.arange(self.LONGEST) < lengths[:, None]
        self.state = torch.zeros(self.mask.shape, dtype=torch.long)
        self.action = torch.zeros(self.mask.shape, dtype=torch.long)
        for index, row in enumerate(self.responses):
            for place, token in enumerate(row):
                self.state[index, place], self.action[index, place] = prefixes.index(row[:place]), token
        shape = len(prefixes), self.TOKENS
        self.logits = torch.randn(*shape, generator=generator, dtype=DOUBLE)
        self.reference_logits = torch.randn(*shape, generator=generator, dtype=DOUBLE)
        self.scores = torch.randn(len(self.responses), generator=generator, dtype=DOUBLE)
        self.values = torch.randn(self.mask.shape, generator=generator, dtype=DOUBLE)

    def logp(self, logits: Tensor) -> Tensor:
        """(responses, tokens), 0 outside the mask."""
        return torch.where(self.mask, torch.log_softmax(logits, dim=-1)[self.state, self.action], 0.0)

    def exact_kl(self, logits: Tensor) -> Tensor:
        """KL(policy, reference) over whole responses: sum over all of p(y) (log p(y) - log q(y))."""
        p, q = self.logp(logits).sum(dim=1), self.logp(self.reference_logits).sum(dim=1)
        return (p.exp() * (p - q)).sum()

    def gradient(self, of: Callable[[Tensor], Tensor]) -> Tensor:
        return with_gradient(of, self.logits)[1]

    def expected_gradient(self, loss_of_one: Callable[[Tensor, int], Tensor]) -> Tensor:
        """E over responses drawn from the policy of the gradient of a loss on that one response."""
        weights = self.logp(self.logits).sum(dim=1).exp()
        return torch.stack(
            [weight * self.gradient(lambda x, i=i: loss_of_one(x, i)) for i, weight in enumerate(weights)]  # type: ignore[misc]
        ).sum(dim=0)


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree()


def test_the_tree_is_whole(tree: Tree) -> None:
    assert len(tree.responses) == 1 + 2 + 4 + 8
    assert tree.logp(tree.logits).sum(dim=1).exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def test_expected_gradient_of_the_reference_loss_is_that_of_the_exact_kl(tree: Tree) -> None:
    reference = tree.logp(tree.reference_logits)

    def ours(logits: Tensor, row: int) -> Tensor:
        pick = slice(row, row + 1)
        return reference_loss(tree.logp(logits)[pick], reference[pick], tree.mask[pick], tokens=1.0)[0]

    exact = tree.gradient(tree.exact_kl)
    torch.testing.assert_close(tree.expected_gradient(ours), exact, rtol=0, atol=1e-12)


def test_k2_token_by_token_would_have_another_gradient(tree: Tree) -> None:
    """It is right for the last token and wrong before: what a token does to the KL of later tokens is left out."""
    reference = tree.logp(tree.reference_logits)
    found = tree.expected_gradient(lambda logits, row: k2(tree.logp(logits)[row], reference[row]).sum())
    exact = tree.gradient(tree.exact_kl)
    deepest = tree.state[tree.mask.sum(dim=1) == Tree.LONGEST, Tree.LONGEST - 1].unique()
    torch.testing.assert_close(found[deepest], exact[deepest], rtol=0, atol=1e-12)
    assert (found[0] - exact[0]).abs().max() > 0.05


@pytest.mark.parametrize("kind", [k1, k3])
def test_k1_and_k3_as_losses_have_the_gradient_of_no_or_another_kl(tree: Tree, kind: Callable) -> None:
    """E[grad k1] is 0; E[grad k3] is that of KL(reference, policy)."""
    reference = tree.logp(tree.reference_logits).sum(dim=1)
    found = tree.expected_gradient(lambda logits, row: kind(tree.logp(logits)[row].sum(), reference[row]))

    def backwards(logits: Tensor) -> Tensor:
        return (reference.exp() * (reference - tree.logp(logits).sum(dim=1))).sum()

    expected = torch.zeros_like(found) if kind is k1 else tree.gradient(backwards)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert (found - tree.gradient(tree.exact_kl)).abs().max() > 0.05


@pytest.mark.parametrize("coefficient", [0.0, 0.7])
@pytest.mark.parametrize("values", ["none", "arbitrary"])
def test_with_k1_in_the_reward_the_first_gradient_is_that_of_the_exact_objective(
    tree: Tree, coefficient: float, values: str
) -> None:
    """J = E[score] - coefficient KL(policy, reference); at lam = 1 any critic is a baseline and changes nothing."""
    reference, old = tree.logp(tree.reference_logits), tree.logp(tree.logits)
    rewards = token_rewards(tree.scores, old, reference, tree.mask, coefficient)
    # a baseline may depend on the state alone
    table = torch.linspace(-2, 3, len(tree.logits), dtype=DOUBLE)[tree.state]
    baseline = table if values == "arbitrary" else torch.zeros_like(table)
    advantages, _ = generalized_advantages(rewards, baseline, tree.mask, gamma=1.0, lam=1.0)

    def ours(logits: Tensor, row: int) -> Tensor:
        pick = slice(row, row + 1)
        return policy_loss(tree.logp(logits)[pick], old[pick], advantages[pick], tree.mask[pick], clip=0.2, tokens=1.0)[
            0
        ]

    def objective(logits: Tensor) -> Tensor:
        p = tree.logp(logits).sum(dim=1).exp()
        return (p * tree.scores).sum() - coefficient * tree.exact_kl(logits)

    torch.testing.assert_close(tree.expected_gradient(ours), -tree.gradient(objective), rtol=0, atol=1e-12)


def test_score_and_k2_as_a_loss_have_the_gradient_of_the_exact_objective(tree: Tree) -> None:
    """The other permitted form: nothing but the score in the reward, and coefficient x reference_loss beside it."""
    reference, old = tree.logp(tree.reference_logits), tree.logp(tree.logits)
    rewards = token_rewards(tree.scores, old, reference, tree.mask, 0.0)
    advantages, _ = generalized_advantages(rewards, torch.zeros_like(old), tree.mask, gamma=1.0, lam=1.0)

    def ours(logits: Tensor, row: int) -> Tensor:
        pick = slice(row, row + 1)
        logp = tree.logp(logits)[pick]
        policy, _ = policy_loss(logp, old[pick], advantages[pick], tree.mask[pick], clip=0.2, tokens=1.0)
        return policy + 0.7 * reference_loss(logp, reference[pick], tree.mask[pick], tokens=1.0)[0]

    def objective(logits: Tensor) -> Tensor:
        return (tree.logp(logits).sum(dim=1).exp() * tree.scores).sum() - 0.7 * tree.exact_kl(logits)

    torch.testing.assert_close(tree.expected_gradient(ours), -tree.gradient(objective), rtol=0, atol=1e-12)


class Bandit:
    """Eight responses of one token: the optimum of E[r] - 0.5 KL is known, reference x exp(r / 0.5) / Z."""

    BETA = 0.5

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.reference = torch.log_softmax(torch.randn(8, generator=generator, dtype=DOUBLE), dim=0)
        self.score = torch.randn(8, generator=generator, dtype=DOUBLE)
        self.best = torch.log_softmax(self.reference + self.score / self.BETA, dim=0)
        self.mask = torch.ones(8, 1, dtype=torch.bool)

    def objective(self, logp: Tensor) -> float:
        return float((logp.exp() * (self.score - self.BETA * (logp - self.reference))).sum())

    def loss(self, logp: Tensor, form: str) -> Tensor:
        """Expected on-policy loss: each response once, weighted by its probability (as if sampled that often)."""
        old = logp.detach()
        reference, weights = self.reference[:, None], old.exp()
        price = self.BETA if form == "k1 in reward" else 0.0
        rewards = token_rewards(self.score, old[:, None], reference, self.mask, price)
        if form == "k3 in reward":
            rewards = rewards - self.BETA * k3(old[:, None], reference)
        advantages, _ = generalized_advantages(rewards, torch.zeros_like(rewards), self.mask, gamma=1.0, lam=0.95)
        total = logp.new_zeros(())
        for row in range(8):
            pick = slice(row, row + 1)
            now = logp[pick, None]
            loss, _ = policy_loss(now, old[pick, None], advantages[pick], self.mask[pick], clip=0.2, tokens=1.0)
            if form == "k2 as loss":
                loss = loss + self.BETA * reference_loss(now, reference[pick], self.mask[pick], tokens=1.0)[0]
            if form == "k3 as loss":
                loss = loss + self.BETA * k3(now, reference[pick]).sum()
            total = total + weights[row] * loss
        return total

    def learn(self, form: str) -> Tensor:
        """Adam on the expected gradient from the reference on, learning rate falling to 0; returns log-probs."""
        logits, steps = self.reference.clone().requires_grad_(True), 400
        optimizer = torch.optim.Adam([logits], lr=0.1)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / steps)
            optimizer.zero_grad()
            self.loss(torch.log_softmax(logits, dim=0), form).backward()
            optimizer.step()
        return torch.log_softmax(logits.detach(), dim=0)


@pytest.mark.parametrize("form", ["k1 in reward", "k2 as loss"])
def test_the_permitted_forms_end_at_the_exact_optimum(form: str) -> None:
    bandit = Bandit()
    best = bandit.objective(bandit.best)
    z = float(torch.logsumexp(bandit.reference + bandit.score / bandit.BETA, dim=0))
    assert best == pytest.approx(bandit.BETA * z)  # J* = beta log Z
    assert best - bandit.objective(bandit.reference) > 0.1
    learnt = bandit.learn(form)
    assert best - bandit.objective(learnt) < 1e-5
    torch.testing.assert_close(learnt.exp(), bandit.best.exp(), rtol=0, atol=5e-3)


@pytest.mark.parametrize("form", ["k3 in reward", "k3 as loss"])
def test_k3_ends_elsewhere(form: str) -> None:
    bandit = Bandit()
    assert bandit.objective(bandit.best) - bandit.objective(bandit.learn(form)) > 0.05
