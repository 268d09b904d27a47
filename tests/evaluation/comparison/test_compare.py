"""Comparisons with a baseline against tests by hand and by scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from rlhf.evaluation.comparison.compare import baseline_of, clearly_best, compare, difference, differences
from rlhf.evaluation.comparison.pooled import Line, Measured
from rlhf.evaluation.comparison.statistics import bootstrap_draws


def line(name: str, role: str = "policy") -> Line:
    return Line(name, role, f"the {name}", (name,), ())


def measured(*each: float | None, seeds: tuple[float, ...] = (), draws: tuple[float, ...] = ()) -> Measured:
    values = [value for value in each if value is not None] or list(seeds) or [0.0]
    mean = sum(values) / len(values)
    return Measured(mean, len(values), None, None, each, draws, seeds or (mean,), "")


def whole(value: float, questions: int, draws: Sequence[float]) -> Measured:
    """A metric of a set of `questions` answers with 900 tokens."""
    return Measured(value, 900, None, None, (), tuple(draws), (value,), "", questions)


AGREED = measured(seeds=(2.0, 2.0, 2.0))
YES_8_OF_10 = measured(*[1.0] * 8, *[0.0] * 2)
NO = measured(*[0.0] * 10)


def test_yes_and_no_are_compared_by_the_sign_test() -> None:
    """8 questions won and none lost: 2 / 2^8. Of the interval 9/12 and 1/12 are the shares won and lost."""
    found = difference(YES_8_OF_10, NO, 300, 300, 0)
    assert (found.value, found.n, found.test) == (0.8, 10, "sign test")
    assert found.p == pytest.approx(2 / 2**8)
    half = 1.959964 * math.sqrt((9 / 12 + 1 / 12 - (8 / 12) ** 2) / 12)
    assert (found.low, found.high) == (pytest.approx(8 / 12 - half), 1.0)


def test_shares_that_never_differ_are_not_sure_to_be_the_same() -> None:
    """0 of 10 on both sides: one question won and one lost of 12, so 0 -+ 1.96 sqrt((2/12) / 12)."""
    half = 1.959964 * math.sqrt(2 / 12 / 12)
    for each in (NO, measured(*[0.5] * 10)):  # an even share of all: ties
        found = difference(each, each, 300, 300, 0)
        assert (found.value, found.low, found.high) == (0.0, pytest.approx(-half), pytest.approx(half))


def test_scores_are_compared_by_permutations() -> None:
    """Differences 1, 2, 3: two of eight signs are as extreme."""
    found = difference(measured(3.0, 4.0, 5.0), measured(2.0, 2.0, 2.0), 100, 100, 0)
    assert (found.value, found.p, found.test) == (2.0, 0.25, "paired permutation")


def test_only_questions_that_both_have_a_value_for_count() -> None:
    """The first two questions are lost to one side each; of the others the differences are 1 and 3."""
    found = difference(measured(9.0, None, 1.0, 3.0), measured(None, 9.0, 0.0, 0.0), 100, 100, 0)
    assert (found.value, found.n) == (2.0, 2)
    nothing = difference(measured(1.0, None), measured(None, 1.0), 100, 100, 0)
    assert (nothing.n, nothing.p, nothing.clear, nothing.told) == (0, None, None, "not tested")


def test_a_metric_of_the_whole_set_is_compared_by_its_draws() -> None:
    own = np.random.default_rng(2).normal(size=50)
    ours = bootstrap_draws(lambda places: float(own[places].mean()) + 1, 50, 200, 0)
    theirs = bootstrap_draws(lambda places: float(own[places].mean()), 50, 200, 0)
    found = difference(whole(1.0, 50, ours), whole(0.0, 50, theirs), 9, 9, 0)
    assert (found.value, found.test, found.n) == (1.0, "paired bootstrap", 50)
    assert (found.low, found.high) == (pytest.approx(1), pytest.approx(1))
    assert found.p == pytest.approx(1 / 201)  # no p value that 200 resamples can't tell


@pytest.mark.parametrize("questions", range(1, 8))
def test_a_metric_of_a_set_of_few_questions_is_not_tested(questions: int) -> None:
    """However many tokens it is taken over. A single question draws itself every time: without spread, but no proof."""
    own = np.random.default_rng(questions).normal(size=questions)
    ours = bootstrap_draws(lambda places: float(own[places].mean()) + 1, questions, 200, 0)
    theirs = bootstrap_draws(lambda places: float(own[places].mean()), questions, 200, 0)
    found = difference(whole(1.0, questions, ours), whole(0.0, questions, theirs), 9, 9, 0)
    assert (found.low, found.high, found.p, found.test, found.n) == (None, None, None, "", questions)
    assert (found.clear, found.told) == (None, "too few questions")
    lines, values = [line("a"), line("b")], {"a": whole(1.0, questions, ours), "b": whole(0.0, questions, theirs)}
    assert clearly_best(lines, values, "higher", 1, 200, 0) is None


def test_one_question_that_both_answer_is_no_test() -> None:
    found = difference(measured(1.0, None), measured(0.25, 3.0), 100, 100, 0)
    assert (found.value, found.n, found.low, found.p, found.told) == (0.75, 1, None, None, "too few questions")


def test_without_anything_in_pairs_no_test_is_claimed() -> None:
    found = difference(measured(seeds=(2.0,)), measured(seeds=(1.0,)), 9, 9, 0)
    assert (found.value, found.low, found.p, found.test, found.clear) == (1.0, None, None, "", None)


def test_seeds_alone_are_compared_by_students_test() -> None:
    """Against scipy: three seeds with one value, and three with four others (Welch 1947)."""
    from scipy.stats import ttest_1samp, ttest_ind

    ours, theirs = (1.0, 2.0, 4.0), (0.0, 0.5, 1.0, 0.3)
    one = difference(measured(seeds=ours), measured(seeds=(0.5,)), 9, 9, 0)
    assert one.p == pytest.approx(ttest_1samp(ours, 0.5).pvalue)
    assert one.test == "t over seeds"
    both = difference(measured(seeds=ours), measured(seeds=theirs), 9, 9, 0)
    expected = ttest_ind(ours, theirs, equal_var=False)
    assert both.p == pytest.approx(expected.pvalue)
    assert (both.low, both.high) == pytest.approx(tuple(expected.confidence_interval()))
    turned = difference(measured(seeds=(0.5,)), measured(seeds=ours), 9, 9, 0)
    assert (turned.value, turned.p) == (pytest.approx(-one.value), pytest.approx(one.p))
    assert difference(AGREED, measured(seeds=(1.0,)), 9, 9, 0).p is None  # three times the same may be one model


@pytest.mark.parametrize("others", [(1.0, 3.0), (2.0,), (2.0, 2.0), (1.9, 2.1, 2.0)])
def test_seeds_that_agree_beside_others_have_a_p_value(others: tuple[float, ...]) -> None:
    """Three seeds of 2 exactly against a mean of 2: no difference, and nothing that is not a number."""
    for pair in ((AGREED, measured(seeds=others)), (measured(seeds=others), AGREED)):
        found = difference(*pair, 9, 9, 0)
        assert (found.value, found.test) == (0.0, "t over seeds")
        assert found.p == pytest.approx(1.0)
        assert found.low is not None and found.high is not None and found.low <= 0.0 <= found.high
    values = {"base": measured(seeds=others), "a": AGREED}
    (told,) = compare([line("base", "base"), line("a")], {"m": values}, line("base", "base"), 9, 0)
    assert (told.p_holm, told.told) == (pytest.approx(1.0), "no clear difference")


def test_a_difference_over_questions_must_hold_over_seeds_as_well() -> None:
    """All 20 questions are better by about 1, but the three seeds by 4, 0 and -1: standard error sqrt(7/3).

    With 2 degrees of freedom p = 1 - t / sqrt(t^2 + 2), t = 1 / sqrt(7/3).
    """
    each = [1.0 + 0.01 * place for place in range(20)]
    ours = Measured(1.0, 20, None, None, tuple(each), (), (4.0, 0.0, -1.0), "seeds")
    found = difference(ours, measured(*[0.0] * 20), 300, 4000, 0)
    assert found.p == pytest.approx(1 - (3 / 7) ** 0.5 / (3 / 7 + 2) ** 0.5)
    assert found.low is not None and found.low < 0
    assert found.test == "paired permutation, t over seeds"


def test_p_values_of_a_call_are_one_family() -> None:
    """Three comparisons: 2/256 x 3 for the smallest, then 0.25 x 2, then 1."""
    values = {"base": NO, "a": YES_8_OF_10, "b": measured(*[1.0] * 3, *[0.0] * 7), "c": NO, "random": YES_8_OF_10}
    lines = [line("base", "base"), line("a"), line("b"), line("c"), line("random", "random")]
    found = {one.speaker: one for one in compare(lines, {"m": values}, lines[0], 300, 0)}
    assert set(found) == {"a", "b", "c"}
    assert [found[name].p_holm for name in "abc"] == pytest.approx([3 * 2 / 256, 0.5, 1.0])
    assert [found[name].clear for name in "abc"] == [True, False, False]
    assert found["c"].told == "no clear difference"


def test_an_interval_off_zero_is_not_enough() -> None:
    """5 of 5 questions won: p = 1/16, though the interval, 5/7 -+ 1.96 sqrt((7/7 - (5/7)^2) / 7), leaves out 0."""
    found = compare(
        [line("base", "base"), line("a")],
        {"m": {"base": measured(*[0.0] * 5), "a": measured(*[1.0] * 5)}},
        line("base", "base"),
        100,
        0,
    )
    assert found[0].low == pytest.approx(5 / 7 - 1.959964 * math.sqrt((1 - (5 / 7) ** 2) / 7))
    assert (found[0].p_holm, found[0].clear) == (2 / 2**5, False)


def test_true_nulls_are_called_clear_one_time_in_twenty_at_most() -> None:
    """100 tables of 3 policies that answer as the baseline does: 5 with a clear difference expected at most."""
    rng = np.random.default_rng(1)
    lines = [line("base", "base"), *(line(name) for name in "abc")]
    called = 0
    for seed in range(100):
        values = {one.name: measured(*rng.normal(size=30)) for one in lines}
        called += any(one.clear for one in compare(lines, {"m": values}, lines[0], 200, seed))
    assert called <= 13


def test_the_baseline() -> None:
    lines = [line("reference", "reference"), line("sft", "sft"), line("base", "base")]
    pooled = Line("a", "policy", "a", ("a", "a2"), ("1", "2"))
    assert baseline_of(lines, None) == lines[2]
    assert baseline_of([*lines[:2], pooled], None) == lines[1]
    assert baseline_of([*lines, pooled], "a2") == pooled
    assert baseline_of(lines[:1], None) is None
    with pytest.raises(ValueError, match="'b'.*reference, sft, base"):
        baseline_of(lines, "b")


def test_the_best_is_not_told_by_seeds_of_one_side_alone() -> None:
    """One run of a rival is no exact value: the three others may differ from it by its own noise."""
    lines = [line("a"), line("b")]
    several, other = measured(seeds=(1.0, 1.01, 1.02)), measured(seeds=(1.2,))
    assert difference(several, other, 9, 9, 0).clear is None and difference(several, other, 9, 9, 0).p is not None
    assert clearly_best(lines, {"a": several, "b": other}, "lower", 1, 9, 0) is None
    others = measured(seeds=(1.2, 1.21, 1.22))
    assert clearly_best(lines, {"a": several, "b": others}, "lower", 1, 9, 0) == lines[0]


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_no_number_is_not_tested(wrong: float) -> None:
    for ours in (measured(*[wrong] * 9), measured(wrong, *range(8)), measured(seeds=(wrong, 1.0, 2.0))):
        for pair in ((ours, measured(*[0.0] * 9)), (measured(*[0.0] * 9), ours)):
            for found in (difference(*pair, 9, 9, 0), *differences([pair], 9, 9, 0)):
                assert (found.p, found.clear) == (None, None)


def test_the_best_is_clear_only_against_every_other() -> None:
    lines = [line("base", "base"), line("a"), line("b"), line("random", "random")]
    values = {"base": NO, "a": YES_8_OF_10, "b": NO, "random": measured(*[1.0] * 10)}
    assert clearly_best(lines, values, "higher", 2, 100, 0) == lines[1]
    assert clearly_best(lines, values, "lower", 2, 100, 0) is None  # base and b are equal
    assert clearly_best(lines, values, "higher", 20, 100, 0) is None  # 2/256 x 20 > 0.05
    assert clearly_best(lines[:1], values, "higher", 1, 100, 0) is None
