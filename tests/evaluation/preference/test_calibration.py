"""Calibration of hand-made probabilities, and scikit-learn's numbers on the same ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from rlhf.evaluation.preference.calibration import (
    Bin,
    brier,
    calibrated_error,
    calibrating_temperature,
    confidences,
    expected_calibration_error,
    outcomes,
    reliability,
)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def drawn(n: int, seed: int) -> np.ndarray:
    """Margins of a judge of whom most pairs are in the right order."""
    return np.random.default_rng(seed).normal(0.7, 1.5, n)


def test_confidence_is_that_of_the_preferred_answer() -> None:
    margins = [logit(0.8), logit(0.3), 0.0]
    assert confidences(margins) == pytest.approx([0.8, 0.7, 0.5])
    assert outcomes(margins) == [1.0, 0.0, 0.5]


def test_fixed_bins_by_hand() -> None:
    """Five bins of 0.1 from 0.5: two pairs in the first, one in the third, two in the last. ECE: (2 x |0.55 - 0.25| +
    1 x |0.75 - 1| + 2 x |0.97 - 0.5|) / 5 = (0.6 + 0.25 + 0.94) / 5.
    """
    found = reliability([0.5, 0.6, 0.75, 0.95, 0.99], [0.5, 0.0, 1.0, 1.0, 0.0], 5, "fixed")
    assert [one.n for one in found] == [2, 1, 2]
    assert [(one.low, one.high) for one in found] == [
        pytest.approx((0.5, 0.6)),
        pytest.approx((0.7, 0.8)),
        pytest.approx((0.9, 1.0)),
    ]
    assert [one.confidence for one in found] == pytest.approx([0.55, 0.75, 0.97])
    assert [one.accuracy for one in found] == [0.25, 1.0, 0.5]
    assert expected_calibration_error(found) == pytest.approx(1.79 / 5)


def test_adaptive_bins_hold_as_many_pairs_each() -> None:
    said = [0.51, 0.52, 0.53, 0.54, 0.96, 0.97, 0.98, 0.99]
    found = reliability(said, [1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0], 2, "adaptive")
    assert [(one.n, one.accuracy) for one in found] == [(4, 0.75), (4, 0.75)]
    assert [one.confidence for one in found] == pytest.approx([0.525, 0.975])


def test_equal_confidences_share_a_bin() -> None:
    """All quantiles are one value: one bin holds all, none is torn."""
    found = reliability([0.7] * 6, [1.0] * 3 + [0.0] * 3, 4, "adaptive")
    assert [(one.n, one.accuracy) for one in found] == [(6, 0.5)]


@pytest.mark.parametrize(("binning", "strategy"), [("fixed", "uniform"), ("adaptive", "quantile")])
def test_bins_are_those_of_scikit_learn(binning, strategy) -> None:
    """Five of ours from 0.5 to 1 are the upper five of ten from 0 to 1; quantiles are the same."""
    margins = drawn(400, 0)
    said, right = confidences(margins), outcomes(margins)
    accuracy, confidence = calibration_curve(right, said, n_bins=10 if binning == "fixed" else 5, strategy=strategy)
    found = reliability(said, right, 5, binning)
    assert [one.accuracy for one in found] == pytest.approx(list(accuracy))
    assert [one.confidence for one in found] == pytest.approx(list(confidence))


def test_brier_score_is_that_of_scikit_learn() -> None:
    """0.8 and 0.3 for what came true: (0.04 + 0.49) / 2. The library sees both orders of each pair."""
    assert brier([logit(0.8), logit(0.3)]) == pytest.approx(0.265)
    margins = drawn(200, 1)
    both = 1 / (1 + np.exp(-np.concatenate([margins, -margins])))
    assert brier(margins) == pytest.approx(brier_score_loss([1] * 200 + [0] * 200, both))
    assert brier([1e4, -1e4]) == pytest.approx(0.5)  # no overflow


def test_temperature_by_hand() -> None:
    """Three of four pairs right, all with margin 4: calibrated at sigmoid(4 / T) = 0.75, T = 4 / ln 3."""
    assert calibrating_temperature([4.0, 4.0, 4.0, -4.0]) == pytest.approx(4 / math.log(3))


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_temperature_is_that_of_a_logistic_regression(scale: float) -> None:
    """Fit to both orders of each pair without intercept or penalty, its one coefficient is 1 / T."""
    margins = drawn(300, 2)
    fit = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000)
    fit.fit(np.concatenate([margins, -margins])[:, None], [1] * 300 + [0] * 300)
    assert calibrating_temperature(scale * margins) == pytest.approx(scale / fit.coef_[0, 0], rel=1e-5)


def test_temperature_of_who_is_always_right_or_no_better_than_chance() -> None:
    assert calibrating_temperature([1.0, 0.0, 2.0]) == 0.0
    assert calibrating_temperature([1.0, -1.0]) == math.inf
    assert calibrating_temperature([0.0, 0.0]) == math.inf
    assert calibrating_temperature([-1.0, 0.5]) == math.inf


def test_a_calibrated_judge_stays_below_its_bound_and_a_boaster_does_not() -> None:
    """One bin, confidence 0.8, 100 pairs: right answers are binomial(100, 0.8), whose mean lies within 0.08 in
    96.7 of 100 draws and within 0.07 in 94.1 of them.
    """
    said = [0.8] * 100
    assert calibrated_error(said, 1, "fixed", 4000, 0) == pytest.approx(0.08)
    boasts = expected_calibration_error([Bin(0.5, 1.0, 0.8, 0.6, 100)])
    assert boasts > 0.08
