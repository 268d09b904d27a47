"""Means with intervals, so that a difference is never shown without its noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A mean and the ends of its 95% interval."""

    mean: float
    low: float
    high: float


def bootstrap_mean(values: Sequence[float], resamples: int, seed: int) -> Interval:
    """Mean of `values` with its 95% percentile-bootstrap interval (Efron 1979); give paired differences for a gain."""
    import numpy as np

    data = np.asarray(values, dtype=float)
    rng = np.random.default_rng(seed)
    means = data[rng.integers(0, len(data), size=(resamples, len(data)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(data.mean()), float(low), float(high))


def wilson(successes: float, n: int) -> Interval:
    """Share successes/n with its 95% Wilson score interval (Wilson 1927); exact enough down to small n."""
    z = 1.959964
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return Interval(share, centre - half, centre + half)


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean; infinite for fewer than two values."""
    import numpy as np

    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("inf")


def wins(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """1 where our score is higher, 0.5 on a tie, 0 where it is lower."""
    return [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in zip(ours, theirs, strict=True)]
