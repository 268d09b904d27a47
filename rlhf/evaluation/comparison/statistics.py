"""Means with intervals and tests, so that a difference is never shown without its noise.

Every interval is 95% and every p value two-sided. Bootstraps and random permutations are fixed by their seed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from numpy.typing import NDArray

Key = TypeVar("Key", bound=Hashable)

CONFIDENCE = 0.95
Z = 1.959964  # standard errors of a normal variable either way that hold 95%
FEWEST = 8  # questions of which resamples say how far a metric of the whole set varies: of fewer, too little
ENUMERATED = 16  # differences up to which all 2^n signs are tried
BLOCK = 1 << 22  # random numbers held at once


@dataclass(frozen=True)
class Interval:
    """A mean and the ends of its 95% interval."""

    mean: float
    low: float
    high: float


def bootstrap_mean(values: Sequence[float], resamples: int, seed: int) -> Interval:
    """Mean of `values` with its 95% percentile-bootstrap interval (Efron 1979), which has no width where all are alike.

    `mean_interval` and `paired_difference` are for what may be shares.
    """
    import numpy as np

    data = np.asarray(values, dtype=float)
    rng = np.random.default_rng(seed)
    means = data[rng.integers(0, len(data), size=(resamples, len(data)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(data.mean()), float(low), float(high))


def mean_interval(values: Sequence[float], resamples: int, seed: int) -> Interval:
    """Mean of `values` with its 95% interval: Wilson's of zeros and ones, else the percentile bootstrap.

    A bootstrap of n zeros would be certain that it is 0. Halves are ties: where all are, Wilson's stands in as well,
    which is too wide rather than too narrow of values between 0 and 1.
    """
    if {*values} <= {0.0, 1.0} or {*values} == {0.5}:
        return wilson(sum(values), len(values))
    return bootstrap_mean(values, resamples, seed)


def bootstrap_draws(statistic: Callable[[NDArray], float], n: int, resamples: int, seed: int) -> list[float]:
    """A statistic of `n` questions on each of `resamples` resamples of them.

    `statistic` gets an array of places (n,), some of them repeated, and returns its value over those. The same n,
    `resamples` and seed draw the same places: what two speakers' answers to the same questions give is in pairs.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    return [float(statistic(rng.integers(0, n, size=n))) for _ in range(resamples)]


def between(draws: Sequence[float]) -> tuple[float, float]:
    """Ends of the middle 95% of `draws`, those that aren't finite left out. Raises ValueError where none is."""
    import numpy as np

    finite = np.asarray(draws, dtype=float)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        raise ValueError("the statistic is finite on no resample")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)


def paired_difference(ours: Sequence[float], theirs: Sequence[float], resamples: int, seed: int) -> Interval:
    """Mean of ours minus theirs, question by question, with its interval: the percentile bootstrap's.

    Of zeros and ones, and of zeros, halves and ones that all differ alike, it is that of `shares_difference`. Raises
    ValueError where the two differ in length.
    """
    gaps = [a - b for a, b in zip(ours, theirs, strict=True)]
    values = {*ours, *theirs}
    if values <= {0.0, 1.0} or (values <= {0.0, 0.5, 1.0} and len({*gaps}) == 1):
        return shares_difference(sum(gap for gap in gaps if gap > 0), -sum(gap for gap in gaps if gap < 0), len(gaps))
    return bootstrap_mean(gaps, resamples, seed)


def shares_difference(wins: float, losses: float, n: int) -> Interval:
    """Difference of two shares of the same n questions with its 95% interval, which has a width at 0 of n as well.

    `wins` are questions that only we have, `losses` those that only they have. It is Wald's interval after one of each
    is added to the questions (Bonett and Price 2012; recommended by Fagerland, Lydersen and Laake 2014).
    """
    won, lost = (wins + 1) / (n + 2), (losses + 1) / (n + 2)
    half = Z * ((won + lost - (won - lost) ** 2) / (n + 2)) ** 0.5
    return Interval((wins - losses) / n, max(-1.0, won - lost - half), min(1.0, won - lost + half))


def mean_over_seeds(values: Sequence[float]) -> Interval:
    """Mean of `values` with its 95% Student-t interval (n - 1 degrees of freedom); needs two values or more."""
    from statistics import fmean, stdev

    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, 0.5 + CONFIDENCE / 2)) * stdev(values) / len(values) ** 0.5
    mean = fmean(values)
    return Interval(mean, mean - half, mean + half)


def wilson(successes: float, n: int) -> Interval:
    """Share successes/n with its 95% Wilson score interval (Wilson 1927); exact enough down to small n."""
    share = successes / n
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * (share * (1 - share) / n + Z * Z / (4 * n * n)) ** 0.5
    low, high = min(share, centre - half), max(share, centre + half)  # rounding puts the ends of 0 and n of n inside
    return Interval(share, max(0.0, low), min(1.0, high))


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean; infinite for fewer than two values."""
    import numpy as np

    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("inf")


def wins(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """1 where our score is higher, 0.5 on a tie, 0 where it is lower."""
    return [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in zip(ours, theirs, strict=True)]


def sign_test(wins: int, losses: int) -> float:
    """P value that wins and losses are equally likely: exact binomial; ties are left out (Dixon and Mood 1946)."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5)))


def paired_permutation(differences: Sequence[float], resamples: int, seed: int) -> float:
    """P value of the mean of paired differences if each could as well have had the other sign (Fisher 1935).

    All 2^n signs are tried for up to 16 differences that aren't 0. Of more, `resamples` are drawn and the observed
    signs count as one of them, (k + 1) / (m + 1), so that p is never 0 (Phipson and Smyth 2010).
    """
    import numpy as np

    data = np.array([value for value in differences if value], dtype=float)  # 0 has no sign to turn
    if not len(data):
        return 1.0
    observed = abs(data.sum()) - 1e-12 * np.abs(data).sum()  # sums in another order differ by rounding
    if len(data) <= ENUMERATED:
        sums = np.zeros(1)
        for value in data:
            sums = np.concatenate([sums + value, sums - value])
        return float((np.abs(sums) >= observed).mean())
    # eight differences have 256 sums with any signs: one random byte chooses among them
    groups = np.pad(data, (0, -len(data) % 8)).reshape(-1, 8)
    signs = 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) - 1
    sums_of, places = groups @ signs.T, np.arange(len(groups))
    rng, extreme, left = np.random.default_rng(seed), 0, resamples
    while left:
        rows = min(left, max(1, BLOCK // len(groups)))
        drawn = rng.integers(0, 256, size=(rows, len(groups)), dtype=np.uint8)
        extreme += int((np.abs(sums_of[places, drawn].sum(axis=1)) >= observed).sum())
        left -= rows
    return (extreme + 1) / (resamples + 1)


def paired_permutations(differences: NDArray, resamples: int, seed: int) -> list[float]:
    """Do the same for many comparisons of the same questions, columns of `differences` (questions, comparisons).

    The signs are drawn once for all, which makes a large table a product of matrices.
    """
    import numpy as np

    data = np.asarray(differences, dtype=float)
    observed = np.abs(data.sum(axis=0)) - 1e-12 * np.abs(data).sum(axis=0)
    rng, extreme, left = np.random.default_rng(seed), np.zeros(data.shape[1], dtype=int), resamples
    while left:
        rows = min(left, max(1, BLOCK // max(data.shape)))
        drawn = rng.integers(0, 256, size=(rows, -(-len(data) // 8)), dtype=np.uint8)
        signs = 2.0 * np.unpackbits(drawn, axis=1, count=len(data)) - 1
        extreme += (np.abs(signs @ data) >= observed).sum(axis=0)
        left -= rows
    few = (data != 0).sum(axis=0) <= ENUMERATED
    return [
        paired_permutation(column.tolist(), resamples, seed) if all_tried else float(count + 1) / (resamples + 1)
        for column, count, all_tried in zip(data.T, extreme, few, strict=True)
    ]


def bootstrap_means(values: NDArray, resamples: int, seed: int) -> list[Interval]:
    """Do what `bootstrap_mean` does for each column of `values` (questions, comparisons), on the same resamples."""
    import numpy as np

    data = np.asarray(values, dtype=float)
    places = np.random.default_rng(seed).integers(0, len(data), size=(resamples, len(data)))
    counts = np.stack([np.bincount(row, minlength=len(data)) for row in places]).astype(float)
    low, high = np.percentile(counts @ data / len(data), [2.5, 97.5], axis=0)
    return [Interval(*map(float, ends)) for ends in zip(data.mean(axis=0), low, high, strict=True)]


def drawn_difference(ours: Sequence[float], theirs: Sequence[float], questions: int) -> tuple[float, float, float]:
    """Ends of the interval of ours minus theirs, and its p value, from draws on the same resamples of `questions`.

    The p value is Student's with questions - 1 degrees of freedom and the spread of the draws' differences, which is
    too small by (questions - 1) / questions in the square. It is never below 1 / (resamples + 1), as if the observed
    difference were one of them (Phipson and Smyth 2010): that many resamples can't tell a smaller one, least of all
    where none of them varies. Raises ValueError of fewer than `FEWEST` questions: under the null a ratio would be
    called different in 18% of pairs of two questions, and always in one.
    """
    import numpy as np
    from scipy.special import stdtr

    if questions < FEWEST:
        raise ValueError(f"draws of {questions} questions tell no difference; {FEWEST} are the fewest")
    differences = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    low, high = between(differences)
    differences = differences[np.isfinite(differences)]
    centre, spread = abs(float(differences.mean())), float(differences.std())
    floor = 1 / (len(differences) + 1)
    if spread <= 1e-12 * centre or spread == 0:
        return low, high, floor if centre else 1.0
    spread *= (questions / (questions - 1)) ** 0.5
    return low, high, max(floor, float(2 * stdtr(questions - 1, -centre / spread)))


def holm(pvalues: Sequence[float]) -> list[float]:
    """P values adjusted for their number, in their order: each may be held against 0.05 by itself (Holm 1979).

    The smallest of m is multiplied by m, the next by m - 1 and so on; none falls below one before it or passes 1.
    Raises ValueError where one of them is NaN, which has no place in that order.
    """
    if any(value != value for value in pvalues):
        raise ValueError(f"a p value is NaN: {list(pvalues)}")
    adjusted, highest = [0.0] * len(pvalues), 0.0
    for rank, place in enumerate(sorted(range(len(pvalues)), key=lambda place: pvalues[place])):
        highest = max(highest, min(1.0, (len(pvalues) - rank) * pvalues[place]))
        adjusted[place] = highest
    return adjusted


def holm_of_each(tests: Mapping[Key, tuple[Hashable, float]]) -> dict[Key, float]:
    """Adjusted p values of tests that may have several names: each has what tells it from others, and its p value."""
    unique = dict(tests.values())
    adjusted = dict(zip(unique, holm(list(unique.values())), strict=True))
    return {key: adjusted[test] for key, (test, _) in tests.items()}
