"""The implicit reward of any policy against any reference, from literal softmaxes."""

from __future__ import annotations

import math

import pytest

from rlhf.data.rows import Row
from rlhf.errors import UserError
from rlhf.evaluation.live.implicit import ROLES, measure
from rlhf.evaluation.preference import metrics as names
from rlhf.evaluation.preference.implicit import ImplicitRewards, implicit_pairs, implicit_scores
from rlhf.evaluation_spec import ImplicitSpec
from tests.evaluation.preference.test_best_of_n import tools
from tests.evaluation.test_policy import ROWS, literal_logprobs, world

SPEC = ImplicitSpec(beta=0.3, pairs=2, batch_size=2)


@pytest.fixture(scope="module")
def bench():
    return world("tiny_gpt2")


def test_rewards_and_logprobs_are_those_of_literal_softmaxes(bench) -> None:
    _, codec, reference, policy = bench
    found = implicit_pairs(policy, reference, codec, ROWS, 0.3, 2)
    for at, row in enumerate(ROWS):
        for text, logp, reward in (
            (row.chosen, found.logp_chosen[at], found.chosen[at]),
            (row.rejected, found.logp_rejected[at], found.rejected[at]),
        ):
            ours, theirs = (sum(literal_logprobs(model, codec, row, text)) for model in (policy, reference))
            assert logp == pytest.approx(ours, abs=1e-3)
            assert reward == pytest.approx(0.3 * (ours - theirs), abs=1e-3)


def test_scores_by_hand() -> None:
    """Margins 2, 0, 1: accuracy 2.5 / 3, mean 1, standard error 1 / sqrt(3); losses -log sigmoid of each."""
    found = implicit_scores(ImplicitRewards([-5.0, -6.0, -7.0], [-8.0, -8.0, -8.0], [1.0, 0.5, 2.0], [-1.0, 0.5, 1.0]))
    assert found.keys() == {metric.name for metric in names.OF_IMPLICIT_REWARD}
    values = {name: score.value for name, score in found.items()}
    assert values[names.IMPLICIT_ACCURACY.name] == pytest.approx(2.5 / 3)
    assert values[names.IMPLICIT_MARGIN.name] == 1.0
    assert values[names.IMPLICIT_MARGIN_SE.name] == pytest.approx(1 / math.sqrt(3))
    margin = found[names.IMPLICIT_MARGIN.name]
    assert (margin.low, margin.high) == pytest.approx((1 - 1.959964 / math.sqrt(3), 1 + 1.959964 / math.sqrt(3)))
    assert values[names.IMPLICIT_CHOSEN.name] == pytest.approx(3.5 / 3)
    assert values[names.IMPLICIT_REJECTED.name] == pytest.approx(0.5 / 3)
    assert (values[names.LOGP_CHOSEN.name], values[names.LOGP_REJECTED.name]) == (-6.0, -8.0)
    losses = [math.log(1 + math.exp(-margin)) for margin in (2, 0, 1)]
    assert values[names.IMPLICIT_LOSS.name] == pytest.approx(sum(losses) / 3)


def test_a_single_pair_has_no_interval() -> None:
    found = implicit_scores(ImplicitRewards([-5.0], [-8.0], [1.0], [-1.0]))
    assert found[names.IMPLICIT_MARGIN.name].low is None
    assert names.IMPLICIT_MARGIN_SE.name not in found  # it would be infinite
    assert found[names.IMPLICIT_ACCURACY.name].low is not None


def with_pairs(reference, pairs):
    from dataclasses import replace

    return replace(tools(None), reference=reference, held_out=lambda shape: pairs[shape])


def test_any_model_with_a_reference_is_measured_on_evenly_spaced_pairs(bench) -> None:
    """Two of three pairs: the first and the second; the margin is that of `implicit_pairs` on those."""
    _, codec, reference, policy = bench
    found = measure(policy, codec, [], SPEC, with_pairs(lambda: reference, {"preference": ROWS}))
    margins = implicit_pairs(policy, reference, codec, ROWS[:2], 0.3, 2).margins
    assert found.scores[names.IMPLICIT_MARGIN.name].each == pytest.approx(margins)
    same = measure(policy, codec, [], SPEC, with_pairs(lambda: policy, {"preference": ROWS}))
    assert same.scores[names.IMPLICIT_LOSS.name].value == pytest.approx(math.log(2))
    assert same.scores[names.IMPLICIT_ACCURACY.name].value == 0.5
    assert "base" not in ROLES


def test_what_cannot_be_measured_is_left_out_with_a_reason(bench) -> None:
    _, codec, reference, policy = bench

    class Nowhere(dict):
        def __missing__(self, shape: str) -> list[Row]:
            raise UserError("dataset", f"it has no {shape} rows", "Take another")

    for given, reason in (
        (tools(None), "no reference"),
        (with_pairs(lambda: reference, Nowhere()), "it has no preference rows"),
        (with_pairs(lambda: reference, {"preference": []}), "no held-out pairs"),
    ):
        found = measure(policy, codec, [], SPEC, given)
        assert found.scores == {} and reason in found.notes[0]
