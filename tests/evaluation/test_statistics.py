"""Intervals against textbook numbers and against their own promise of 95%."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlhf.evaluation.statistics import Interval, bootstrap_mean, standard_error, wilson, wins


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


def test_standard_error_by_hand() -> None:
    """1, 2, 3, 4: variance with n - 1 is 5/3, so sqrt(5/3) / 2 = 0.6454972; of one value it is unknown."""
    assert standard_error([1, 2, 3, 4]) == pytest.approx(0.6454972, abs=1e-6)
    assert standard_error([1.0]) == math.inf


def test_wins_count_a_tie_as_half() -> None:
    assert wins([2.0, 1.0, 0.0], [1.0, 1.0, 1.0]) == [1.0, 0.5, 0.0]
