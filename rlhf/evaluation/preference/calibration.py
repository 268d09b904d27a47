"""Whether a judge's confidence in its preferences comes true: reliability bins, ECE, Brier score, temperature.

A reward model says with probability sigmoid(margin) that the first of two answers is preferred (Bradley and Terry
1952). Its confidence is the probability of the answer that it prefers, from 0.5 to 1, and so is its accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Binning = Literal["fixed", "adaptive"]


@dataclass(frozen=True)
class Bin:
    """The pairs whose confidence lies between two bounds (the upper one included): what was said and what came true."""

    low: float
    high: float
    confidence: float  # mean
    accuracy: float  # a tie is half right
    n: int


def confidences(margins: Sequence[float]) -> list[float]:
    """Return the probability of the preferred answer of each pair: sigmoid(|margin|)."""
    return [1 / (1 + math.exp(-abs(margin))) for margin in margins]


def outcomes(margins: Sequence[float]) -> list[float]:
    """Say of each margin of the chosen over the rejected answer whether the order is right: 1, 0, or 0.5 on a tie."""
    return [1.0 if margin > 0 else 0.5 if margin == 0 else 0.0 for margin in margins]


def reliability(confidence: Sequence[float], right: Sequence[float], bins: int, binning: Binning) -> tuple[Bin, ...]:
    """Return the bins that hold a pair, in order.

    Fixed bins are as wide as one another between 0.5 and 1; adaptive ones have their bounds at the quantiles of the
    confidence, so that each holds as many pairs (Nixon et al. 2019, arXiv 1904.01685).
    """
    import numpy as np

    said, true = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    edges = _edges(said, bins, binning)
    places = np.searchsorted(edges[1:-1], said)
    found = []
    for place in range(bins):
        inside = places == place
        if inside.any():
            means = float(said[inside].mean()), float(true[inside].mean())
            found.append(Bin(float(edges[place]), float(edges[place + 1]), *means, int(inside.sum())))
    return tuple(found)


def _edges(said: NDArray[np.float64], bins: int, binning: Binning) -> NDArray[np.float64]:
    import numpy as np

    parts = np.linspace(0, 1, bins + 1)
    return 0.5 + 0.5 * parts if binning == "fixed" else np.quantile(said, parts)


def expected_calibration_error(found: Sequence[Bin]) -> float:
    """Mean distance between confidence and accuracy of the bins, each weighted by its pairs (Naeini et al. 2015)."""
    pairs = sum(one.n for one in found)
    return sum(one.n * abs(one.confidence - one.accuracy) for one in found) / pairs


def calibrated_error(confidence: Sequence[float], bins: int, binning: Binning, resamples: int, seed: int) -> float:
    """The ECE below which a perfectly calibrated judge of these confidences stays 95 times in 100.

    So many pairs have an ECE above 0 by chance alone; their outcomes are drawn anew with the confidences as their
    probabilities (consistency resampling, Broecker and Smith 2007, doi 10.1175/WAF993.1).
    """
    import numpy as np

    said = np.asarray(confidence, dtype=float)
    places = np.searchsorted(_edges(said, bins, binning)[1:-1], said)
    expected = np.bincount(places, said, bins)
    rng = np.random.default_rng(seed)
    errors = np.empty(resamples)
    for at in range(resamples):  # one by one: all at once would take pairs x resamples of memory
        drawn = np.bincount(places[rng.random(len(said)) < said], minlength=bins)
        errors[at] = np.abs(expected - drawn).sum() / len(said)
    return float(np.quantile(errors, 0.95))


def brier(margins: Sequence[float]) -> float:
    """Mean squared distance of sigmoid(margin) from 1, its true value for chosen over rejected (Brier 1950)."""
    return sum((1 - _sigmoid(margin)) ** 2 for margin in margins) / len(margins)


def _sigmoid(value: float) -> float:
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    return math.exp(value) / (1 + math.exp(value)) if value > -700 else 0.0  # e^-700 is near the smallest float


def calibrating_temperature(margins: Sequence[float]) -> float:
    """The T at which sigmoid(margin / T) has the lowest loss on these pairs (Guo et al. 2017, arXiv 1706.04599).

    Above 1 the judge is too sure of itself, below 1 not sure enough. 0 where every pair is in the right order, so that
    more confidence is always better; infinite where the mean margin is not positive, so that none is best.
    """
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import expit

    margin = np.asarray(margins, dtype=float)
    if margin.mean() <= 0:
        return math.inf
    if margin.min() >= 0:
        return 0.0
    margin, unit = margin / np.abs(margin).max(), float(np.abs(margin).max())

    def slope(sharpness: float) -> float:  # of the mean loss; it only rises
        return float(-(margin * expit(-sharpness * margin)).mean())

    top = 1.0
    while slope(top) < 0:
        top *= 2
    return unit / float(brentq(slope, 0.0, top, xtol=1e-12))
