"""Intervals against textbook numbers and against their own promise of 95%."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlhf.evaluation.comparison.statistics import (
    FEWEST,
    Interval,
    between,
    bootstrap_draws,
    bootstrap_mean,
    bootstrap_means,
    drawn_difference,
    holm,
    mean_over_seeds,
    paired_difference,
    paired_permutation,
    paired_permutations,
    shares_difference,
    sign_test,
    standard_error,
    wilson,
    wins,
)


def test_bootstrap_of_a_constant_has_no_width() -> None:
    assert bootstrap_mean([2.5] * 10, 500, 0) == Interval(2.5, 2.5, 2.5)


def test_bootstrap_is_about_two_standard_errors_wide_on_each_side() -> None:
    """For many values the percentile interval tends to mean +- 1.96 s / sqrt(n)."""
    values = np.random.default_rng(1).normal(3.0, 2.0, size=2000)
    found = bootstrap_mean(values, 4000, 0)
    half = 1.96 * values.std() / math.sqrt(2000)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_bootstrap_interval_holds_the_truth_about_95_times_in_100() -> None:
    """400 samples of 60 values: at a true coverage of 0.94 four standard errors are 0.047."""
    rng = np.random.default_rng(0)
    hits = 0
    for index in range(400):
        interval = bootstrap_mean(rng.exponential(1.0, size=60), 400, index)
        hits += interval.low <= 1.0 <= interval.high
    assert 0.88 < hits / 400 < 0.99


def test_bootstrap_is_fixed_by_its_seed() -> None:
    values = list(range(20))
    assert bootstrap_mean(values, 100, 1) == bootstrap_mean(values, 100, 1)
    assert bootstrap_mean(values, 100, 1) != bootstrap_mean(values, 100, 2)


def test_wilson_against_textbook_values() -> None:
    """Newcombe 1998 (Statistics in Medicine 17, 857), table I, method 3, 95%.

    81 of 263: 0.2553 to 0.3662; 15 of 148: 0.0624 to 0.1605; 0 of 20: 0 to 0.1611; 1 of 29: 0.0061 to 0.1718.
    """
    for successes, n, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]:
        found = wilson(successes, n)
        assert found.mean == successes / n
        assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert wilson(1, 29).low == pytest.approx(0.0061, abs=5e-5)
    assert wilson(1, 29).high == pytest.approx(0.1718, abs=5e-5)


def test_wilson_is_symmetric_and_stays_inside_0_and_1() -> None:
    none, all_of_them = wilson(0, 10), wilson(10, 10)
    assert none.low == pytest.approx(0.0, abs=1e-12)
    assert all_of_them.high == pytest.approx(1.0, abs=1e-12)
    assert all_of_them.low == pytest.approx(1 - none.high)


def test_paired_shares_against_published_intervals() -> None:
    """Of the R package contingencytables on Cavo et al. 2012 (6 and 16 of 161 patients changed): -0.1195 to -0.0032."""
    found = shares_difference(6, 16, 161)
    assert (found.mean, found.low, found.high) == pytest.approx((-0.0621, -0.1195, -0.0032), abs=5e-5)
    turned = shares_difference(16, 6, 161)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


@pytest.mark.parametrize("n", [8, 12, 20])
def test_intervals_of_paired_shares_hold_the_truth_by_exact_enumeration(n: int) -> None:
    """All outcomes of n pairs with their trinomial probabilities: 95% in the mean, never below 92%."""
    from scipy.stats import multinomial

    outcomes = [(wins, losses) for wins in range(n + 1) for losses in range(n + 1 - wins)]
    ends = [shares_difference(*outcome, n) for outcome in outcomes]
    counts = [(wins, losses, n - wins - losses) for wins, losses in outcomes]
    held = []
    for won in (0.001, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9):
        for lost in (0.001, 0.02, 0.05, 0.09, 0.2, 0.3):
            if won + lost < 1 or won + lost == 1:
                chances = multinomial.pmf(counts, n, [won, lost, max(0.0, 1 - won - lost)])
                inside = [end.low <= won - lost <= end.high for end in ends]
                held.append(float(chances[inside].sum()))
    assert min(held) > 0.92
    assert 0.95 < sum(held) / len(held) < 0.99


def test_ties_count_half_where_all_differ_alike() -> None:
    assert paired_difference([1.0] * 8, [0.5] * 8, 100, 0) == shares_difference(4, 0, 8)
    assert paired_difference([1.0, 0.0] * 4, [0.0, 1.0] * 4, 100, 0) == shares_difference(4, 4, 8)
    mixed = paired_difference([1.0, 0.5] * 4, [0.5, 0.5] * 4, 100, 0)  # varies: its bootstrap
    assert mixed == bootstrap_mean([0.5, 0.0] * 4, 100, 0)


def test_standard_error_by_hand() -> None:
    """1, 2, 3, 4: variance with n - 1 is 5/3, so sqrt(5/3) / 2 = 0.6454972; of one value it is unknown."""
    assert standard_error([1, 2, 3, 4]) == pytest.approx(0.6454972, abs=1e-6)
    assert standard_error([1.0]) == math.inf


def test_wins_count_a_tie_as_half() -> None:
    assert wins([2.0, 1.0, 0.0], [1.0, 1.0, 1.0]) == [1.0, 0.5, 0.0]


def test_two_seeds_have_the_interval_of_the_cauchy_distribution() -> None:
    """Student's t with 1 degree of freedom is Cauchy's: its 97.5% point is tan(0.475 pi) = 12.7062.

    Of 1 and 3: mean 2, standard deviation sqrt 2, standard error 1, so 2 -+ 12.7062.
    """
    over = mean_over_seeds([1.0, 3.0])
    assert over.mean == 2.0
    assert over.high - 2 == pytest.approx(math.tan(0.475 * math.pi), rel=1e-12)
    assert 2 - over.low == pytest.approx(math.tan(0.475 * math.pi), rel=1e-12)


def test_three_seeds_have_the_closed_form_of_two_degrees_of_freedom() -> None:
    """With 2 degrees of freedom the quantile is 2 (p - 1/2) sqrt(2 / (4 p (1 - p))): 4.30265 at 0.975.

    Of 0, 3, 6: mean 3, standard deviation 3, standard error sqrt 3.
    """
    p = 0.975
    quantile = 2 * (p - 0.5) * math.sqrt(2 / (4 * p * (1 - p)))
    assert quantile == pytest.approx(4.30265, abs=1e-5)
    assert mean_over_seeds([0.0, 3.0, 6.0]).high == pytest.approx(3 + quantile * math.sqrt(3), rel=1e-9)


def test_draws_of_a_mean_spread_as_its_own_bootstrap() -> None:
    """Both draw resamples of the same law; with 4000 of them the ends agree to a few hundredths of the width."""
    values = np.random.default_rng(3).exponential(2.0, size=80)
    mean = bootstrap_mean(list(values), 4000, 1)
    low, high = between(bootstrap_draws(lambda places: float(values[places].mean()), 80, 4000, 2))
    assert low == pytest.approx(mean.low, abs=0.06 * (mean.high - mean.low))
    assert high == pytest.approx(mean.high, abs=0.06 * (mean.high - mean.low))


def test_draws_without_a_value_are_left_out() -> None:
    assert between([math.nan, 3.0, math.inf, 3.0]) == (3.0, 3.0)
    with pytest.raises(ValueError, match="finite on no resample"):
        between([math.nan, math.inf])


def test_a_difference_is_resampled_in_pairs() -> None:
    """Theirs is ours less 1 on every question: the difference is 1 on each resample, whatever the spread of ours."""
    ours = np.random.default_rng(0).normal(0, 100, size=30)
    assert paired_difference(list(ours), list(ours - 1), 200, 0) == Interval(*[pytest.approx(1.0)] * 3)
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1.0, 2.0], [1.0], 10, 0)


def test_a_difference_of_draws_agrees_with_the_paired_t_test() -> None:
    """For means of 400 questions the bootstrap, the normal approximation and Student's paired test are one."""
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(11)
    ours = rng.normal(0, 3, size=400)
    theirs = ours - rng.normal(0.1, 1, size=400)
    draws = [bootstrap_draws(lambda places, own=own: float(own[places].mean()), 400, 2000, 4) for own in (ours, theirs)]
    low, high, p = drawn_difference(*draws, 400)
    expected = ttest_rel(ours, theirs)
    interval = expected.confidence_interval()
    assert p == pytest.approx(expected.pvalue, rel=0.25)
    assert low == pytest.approx(interval.low, abs=0.02)
    assert high == pytest.approx(interval.high, abs=0.02)


def test_draws_that_never_differ_are_as_sure_as_their_number_lets_them_be() -> None:
    """Of m resamples none says otherwise: 1 / (m + 1), as of random permutations."""
    ones, zeros = [1.0] * 99, [0.0] * 99
    assert drawn_difference(ones, ones, 8) == (0.0, 0.0, 1.0)
    assert drawn_difference(ones, zeros, 8) == (1.0, 1.0, 0.01)
    assert drawn_difference([1.0, math.nan], [0.0, 1.0], 8) == (1.0, 1.0, 0.5)
    wide = [1000 + 0.001 * place for place in range(999)]
    assert drawn_difference(wide, [0.0] * 999, 500)[2] == 0.001  # Student's would be far smaller


def test_draws_of_few_questions_tell_no_difference() -> None:
    for questions in range(FEWEST):
        with pytest.raises(ValueError, match=f"of {questions} questions"):
            drawn_difference([1.0, 2.0], [0.0, 1.5], questions)


def test_a_ratio_of_eight_questions_is_called_different_one_time_in_twenty_under_the_null() -> None:
    """300 pairs of speakers of the same law, sum over sum: 15 expected, standard deviation 3.8."""
    rng, called = np.random.default_rng(5), 0
    for seed in range(300):
        tops, below = rng.exponential(1.0, size=(2, 8)), rng.integers(1, 9, size=(2, 8))
        times = np.apply_along_axis(
            np.bincount, 1, np.random.default_rng(seed).integers(0, 8, size=(300, 8)), minlength=8
        )
        ours, theirs = ((times @ top) / (times @ under) for top, under in zip(tops, below, strict=True))
        called += drawn_difference(list(ours), list(theirs), 8)[2] < 0.05
    assert called <= 15 + 3 * 3.8


def test_the_sign_test_by_hand() -> None:
    """8 wins, 2 losses: 2 x (45 + 10 + 1) / 1024 = 0.109375; 5 and 0: 2 / 32; as many of both: 1; none at all: 1."""
    assert sign_test(8, 2) == pytest.approx(0.109375)
    assert sign_test(0, 5) == pytest.approx(0.0625)
    assert sign_test(4, 4) == pytest.approx(1.0)
    assert sign_test(0, 0) == 1.0


def test_the_sign_test_equals_scipys() -> None:
    from scipy.stats import binomtest

    for won, lost in ((0, 1), (3, 9), (61, 39), (200, 200), (7, 993)):
        assert sign_test(won, lost) == pytest.approx(binomtest(won, won + lost, 0.5).pvalue, rel=1e-9)


def test_permutations_of_three_differences_by_hand() -> None:
    """Of 1, 2, 3 all pluses (6) and all minuses are as extreme: 2 of 8. Of 3, 2, -1 (4) also 3, 2, 1 (6): 4 of 8."""
    assert paired_permutation([1.0, 2.0, 3.0], 10, 0) == 0.25
    assert paired_permutation([3.0, 2.0, -1.0], 10, 0) == 0.5
    assert paired_permutation([0.0, 0.0], 10, 0) == 1.0
    assert paired_permutation([], 10, 0) == 1.0
    assert paired_permutation([0.0, 1.0, 2.0, 0.0, 3.0], 10, 0) == 0.25  # 0 stays 0 with any sign


def test_permutations_equal_scipys_exact_test() -> None:
    """Tenths are no binary fractions, so that ties between their sums stand or fall by rounding."""
    from scipy.stats import permutation_test

    rng = np.random.default_rng(5)
    for values in (rng.normal(0.4, 1, size=10), rng.integers(-3, 4, size=9) / 10, rng.exponential(1, size=11)):
        theirs = permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert paired_permutation(list(values), 1, 0) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_random_signs_come_near_the_exact_test() -> None:
    """17 ones and 8 minus ones of +-1 differences: the exact p is the sign test's. Never 0, however few are drawn."""
    drawn = paired_permutation([1.0] * 17 + [-1.0] * 8, 20_000, 0)
    assert drawn == pytest.approx(sign_test(17, 8), abs=0.01)
    assert paired_permutation([1.0] * 60, 99, 0) == 0.01
    assert paired_permutation([1.0] * 17 + [-1.0] * 8, 500, 1) == paired_permutation([1.0] * 17 + [-1.0] * 8, 500, 1)


def test_many_comparisons_at_once_are_those_of_each() -> None:
    """Few differences are enumerated, to the same p; of many the sign test's is met within the noise of the draws."""
    few = np.array([[1.0, 3.0, 0.0], [2.0, 2.0, 0.0], [3.0, -1.0, 0.0]])
    assert paired_permutations(few, 10, 0) == [0.25, 0.5, 1.0]
    signs = np.array([[1.0] * 17 + [-1.0] * 8, [1.0] * 20 + [-1.0] * 5]).T
    found = paired_permutations(signs, 20_000, 0)
    assert found == pytest.approx([sign_test(17, 8), sign_test(20, 5)], abs=0.01)
    assert paired_permutations(np.ones((60, 2)), 99, 0) == [0.01, 0.01]
    scattered = np.random.default_rng(3).normal(0.2, 1, size=(40, 3))
    for column, own in zip(scattered.T, bootstrap_means(scattered, 300, 5), strict=True):
        alone = bootstrap_mean(list(column), 300, 5)
        assert (own.mean, own.low, own.high) == pytest.approx((alone.mean, alone.low, alone.high))


def test_permutations_reject_a_true_null_one_time_in_twenty() -> None:
    """400 samples of 30 differences around 0: 20 rejections expected, standard deviation 4.4."""
    rng = np.random.default_rng(7)
    rejected = sum(paired_permutation(list(rng.normal(0, 1, size=30)), 299, seed) <= 0.05 for seed in range(400))
    assert 6 <= rejected <= 36


def test_holms_procedure_by_hand() -> None:
    """0.005 x 4 = 0.02, 0.01 x 3 = 0.03, 0.03 x 2 = 0.06; 0.04 x 1 is less and lifted to that."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_what_is_no_p_value_is_not_corrected() -> None:
    with pytest.raises(ValueError, match="NaN"):
        holm([0.01, math.nan, 0.5])


def test_holm_keeps_its_promise_over_a_family() -> None:
    """Of 600 families of 8 true nulls at most 5% may hold a rejection: 30, with a standard deviation of 5.3."""
    rng = np.random.default_rng(0)
    assert sum(min(holm(list(rng.uniform(size=8)))) <= 0.05 for _ in range(600)) < 50
