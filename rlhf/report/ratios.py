"""Ratios of two runs' costs over seeds, with what is known of their noise."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from statistics import fmean, geometric_mean

from rlhf.evaluation.comparison.compare import LEVEL, ROUNDING
from rlhf.evaluation.comparison.statistics import holm_of_each, mean_over_seeds

ENOUGH = 3  # seeds that give an interval; Student's t of two is wider than any saving


@dataclass(frozen=True)
class Ratio:
    """A cost over the baseline's: the geometric mean over seeds, each against the same seed.

    `low` and `high` are the 95% Student-t interval of the mean log ratio of `ENOUGH` seeds or more, of fewer the range.
    `p` is Student's, that the two cost the same, None of fewer seeds and where all are alike; `p_holm` the same,
    corrected for the number of ratios beside it.
    """

    value: float
    low: float
    high: float
    seeds: int
    p: float | None = None
    p_holm: float | None = None

    @property
    def is_range(self) -> bool:
        """Whether the ends are those of two seeds, which are no interval."""
        return 1 < self.seeds < ENOUGH

    @property
    def within_noise(self) -> bool:
        """Whether the interval (of two seeds the range) holds 1, or p is not small; of one seed nothing is known."""
        holds = self.low <= 1.0 <= self.high
        return self.seeds > 1 and (holds or (self.p_holm is not None and self.p_holm >= LEVEL))


@dataclass(frozen=True)
class Missing:
    """Why there is no ratio, in a few words."""

    why: str


def over_seeds(ratios: Sequence[float]) -> Ratio:
    """One ratio per seed as one: geometric mean with its interval, see `Ratio`."""
    n = len(ratios)
    if min(ratios) <= 0:  # a cost of nothing has no logarithm
        return Ratio(fmean(ratios), min(ratios), max(ratios), n)
    if n < ENOUGH:
        return Ratio(geometric_mean(ratios), min(ratios), max(ratios), n)
    logs = [log(ratio) for ratio in ratios]
    found = mean_over_seeds(logs)
    return Ratio(exp(found.mean), exp(found.low), exp(found.high), n, _p_of_none(logs))


def _p_of_none(logs: Sequence[float]) -> float | None:
    """P value that log ratios have a mean of 0: Student's t, paired by seed. None where they are all alike."""
    from scipy.stats import ttest_1samp

    if max(logs) - min(logs) <= ROUNDING:  # a size in bytes: nothing about it is left to chance
        return None
    return float(ttest_1samp(logs, 0.0).pvalue)


def correct(tables: Sequence[MutableMapping[str, Ratio | Missing]]) -> None:
    """Fill in `p_holm` of all ratios: one family, where a cost that only repeats another (money, time) counts once."""
    tests = {
        (place, cost): ((place, f"{one.value:.9g}", f"{one.p:.9g}"), one.p)
        for place, table in enumerate(tables)
        for cost, one in table.items()
        if isinstance(one, Ratio) and one.p is not None
    }
    for (place, cost), adjusted in holm_of_each(tests).items():
        one = tables[place][cost]
        assert isinstance(one, Ratio), "as found above"
        tables[place][cost] = replace(one, p_holm=adjusted)
