"""Speakers compared with a baseline on the same questions: difference, interval, test, corrected for their number.

Where a metric has a value per question the questions are paired: shares of yes and no by the sign test, everything else
by a permutation test (both exact or seeded, see `statistics`). A metric of the whole set is compared by its paired
bootstrap, of `statistics.FEWEST` questions or more. Runs of three seeds or more must differ over seeds as
well: the interval is the one that holds both, the p value the larger of the two. All p values of one call are corrected
together (Holm 1979).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from rlhf.evaluation.comparison.pooled import SEEDS_OF_AN_INTERVAL, Line, Measured, Measurements
from rlhf.evaluation.comparison.statistics import (
    FEWEST,
    Interval,
    bootstrap_means,
    drawn_difference,
    holm,
    paired_difference,
    paired_permutation,
    paired_permutations,
    sign_test,
    wins,
)

Key = TypeVar("Key", bound=Hashable)

LEVEL = 0.05
ROUNDING = 1e-12  # of a value: what floats alone may differ by
FINEST = 200  # random permutations per comparison of the family, so that correction leaves room below LEVEL
MOST, COARSEST = 50_000, 80  # permutations from which on so many per comparison are enough
BY_SEEDS = "t over seeds"


@dataclass(frozen=True)
class Difference:
    """A speaker's value minus the baseline's in one metric.

    `n` is the number of questions that both have a value for. `p` and `p_holm` are None where nothing was tested, and
    `test` is empty there; `few` where that is because the questions are too few.
    """

    metric: str
    speaker: str
    baseline: str
    value: float
    low: float | None
    high: float | None
    n: int
    p: float | None
    p_holm: float | None
    test: str
    few: bool = False

    @property
    def clear(self) -> bool | None:
        """Whether it is a difference: its interval leaves out 0 and the corrected p value is below 0.05.

        None where nothing was tested.
        """
        if self.low is None or self.high is None or self.p_holm is None:
            return None
        return not self.low <= 0 <= self.high and self.p_holm < LEVEL

    @property
    def told(self) -> str:
        """What it is called."""
        if self.clear is None:
            return "too few questions" if self.few else "not tested"
        return "clear difference" if self.clear else "no clear difference"


def baseline_of(speakers: Sequence[Line], wanted: str | None) -> Line | None:
    """Return the speaker that others are compared with: the one of that name, else the base model, else the first.

    A name may be that of any run pooled in it. Raises ValueError where no speaker has it.
    """
    answering = [speaker for speaker in speakers if not speaker.control]
    if wanted is not None:
        found = [speaker for speaker in speakers if wanted in (speaker.name, *speaker.runs)]
        if not found:
            raise ValueError(f"no speaker is named '{wanted}': there are {', '.join(one.name for one in speakers)}")
        return found[0]
    return next((speaker for speaker in answering if speaker.role == "base"), answering[0] if answering else None)


def compare(
    speakers: Sequence[Line], found: Measurements, baseline: Line, resamples: int, seed: int
) -> list[Difference]:
    """Compare all speakers that are no controls with `baseline` in every metric that both have.

    The p values of all of them are one family.
    """
    pairs = [
        (metric, speaker, values[speaker.name], values[baseline.name])
        for metric, values in found.items()
        for speaker in speakers
        if not speaker.control and speaker != baseline and speaker.name in values and baseline.name in values
    ]
    made = []
    for metric, speaker, ours, theirs in pairs:
        one = difference(ours, theirs, resamples, max(resamples, FINEST * len(pairs)), seed)
        made.append(replace(one, metric=metric, speaker=speaker.name, baseline=baseline.name))
    tested = [place for place, one in enumerate(made) if one.p is not None]
    for place, corrected in zip(tested, holm([one.p for one in made if one.p is not None]), strict=True):
        made[place] = replace(made[place], p_holm=corrected)
    return made


def clearly_best(
    lines: Sequence[Line], values: Mapping[str, Measured], better: str, family: int, resamples: int, seed: int
) -> Line | None:
    """Return the line without control that is better than every other one, each clearly; None where there is none.

    `family` is the number of such comparisons in the reader's sight: p values are multiplied by it (Bonferroni).
    """
    known = {line: values[line.name] for line in lines if not line.control and line.name in values}
    if len(known) < 2:
        return None
    best, rivals = leading(known, better, family, resamples, seed)
    return best if all(gap.clear for gap in rivals.values()) else None


def leading(
    values: Mapping[Key, Measured], better: str, family: int, resamples: int, seed: int
) -> tuple[Key, dict[Key, Difference]]:
    """Return which of two or more has the best value, and how each other one differs from it: leader minus rival.

    Their `p_holm` is p times `family` (Bonferroni). Nothing is tested by seeds of one side alone.
    """
    sign = 1.0 if better == "higher" else -1.0
    best = max(values, key=lambda key: sign * values[key].value)
    rivals = [key for key in values if key != best]
    pairs = [(values[best], values[key]) for key in rivals]
    found = {}
    for key, pair, gap in zip(
        rivals, pairs, differences(pairs, resamples, permutations(family, resamples), seed), strict=True
    ):
        if gap.p is not None and fair(gap, *pair):
            found[key] = replace(gap, p_holm=min(1.0, family * gap.p))
        else:
            found[key] = replace(gap, low=None, high=None, p=None, test="")
    return best, found


def permutations(family: int, resamples: int) -> int:
    """How many random permutations a test takes in a family of so many: correction must leave room below `LEVEL`."""
    return max(resamples, min(FINEST * family, MOST), COARSEST * family)


def fair(one: Difference, ours: Measured, theirs: Measured) -> bool:
    """Whether two trained models were compared by questions, or by enough seeds of both: one run is no exact value."""
    return one.test != BY_SEEDS or min(len(ours.seeds), len(theirs.seeds)) >= SEEDS_OF_AN_INTERVAL


def differences(pairs: Sequence[tuple[Measured, Measured]], resamples: int, drawn: int, seed: int) -> list[Difference]:
    """Compare pairs as `difference` does each, the random numbers drawn once for those of the same questions."""
    import numpy as np

    alike: dict[int, list[int]] = {}
    for place, (ours, theirs) in enumerate(pairs):
        if _scored(ours, theirs):
            alike.setdefault(len(ours.each), []).append(place)  # as many questions: of one table they are the same
    made: dict[int, Difference] = {}
    for n, places in alike.items():
        left, right = (np.array([pairs[place][side].each for place in places], dtype=float) for side in (0, 1))
        gaps = (left - right).T
        tests = paired_permutations(gaps, drawn, seed)
        for place, own, p in zip(places, bootstrap_means(gaps, resamples, seed), tests, strict=True):
            one = Difference("", "", "", own.mean, own.low, own.high, n, p, None, "paired permutation")
            made[place] = _with_seeds(one, *pairs[place])
    return [
        made[place] if place in made else difference(*pair, resamples, drawn, seed) for place, pair in enumerate(pairs)
    ]


def _scored(ours: Measured, theirs: Measured) -> bool:
    """Whether both have scores of the same questions, all of them, that are more than yes or no."""
    values = (*ours.each, *theirs.each)
    paired = len(ours.each) == len(theirs.each) > 1
    known = paired and all(value is not None and math.isfinite(value) for value in values)
    return known and not {*values} <= {0.0, 0.5, 1.0}


def difference(ours: Measured, theirs: Measured, resamples: int, drawn: int, seed: int) -> Difference:
    """Compare two speakers in one metric, without names and uncorrected; random permutations are `drawn`."""
    return _with_seeds(_over_questions(ours, theirs, resamples, drawn, seed), ours, theirs)


def _with_seeds(one: Difference, ours: Measured, theirs: Measured) -> Difference:
    """Hold what was found over questions against the noise between seeds, where there are enough of them.

    Without questions, seeds that say the very same can't tell: they may be one model that was measured again.
    """
    over = _over_seeds(ours, theirs)
    if over is None:
        return one
    interval, p = over
    if math.isnan(p) or (one.p is None and not p):
        return replace(one, low=None, high=None, p=None, test="")
    if one.p is None or one.low is None or one.high is None:
        return replace(one, low=interval.low, high=interval.high, p=p, test=BY_SEEDS)
    low, high = min(one.low, interval.low), max(one.high, interval.high)
    return replace(one, low=low, high=high, p=max(one.p, p), test=f"{one.test}, {BY_SEEDS}")


def _over_questions(ours: Measured, theirs: Measured, resamples: int, drawn: int, seed: int) -> Difference:
    gap, n = ours.value - theirs.value, min(ours.counted, theirs.counted)
    if ours.each and len(ours.each) == len(theirs.each):
        both = [(a, b) for a, b in zip(ours.each, theirs.each, strict=True) if a is not None and b is not None]
        if not both:
            return Difference("", "", "", gap, None, None, 0, None, None, "")
        left, right = [a for a, _ in both], [b for _, b in both]
        if not all(math.isfinite(value) for value in (*left, *right)):
            return Difference("", "", "", gap, None, None, len(both), None, None, "")
        if len(both) < 2:
            return Difference("", "", "", left[0] - right[0], None, None, 1, None, None, "", few=True)
        interval = paired_difference(left, right, resamples, seed)
        if {*left, *right} <= {0.0, 1.0}:
            outcomes = wins(left, right)
            p, test = sign_test(outcomes.count(1.0), outcomes.count(0.0)), "sign test"
        else:
            p, test = paired_permutation([a - b for a, b in both], drawn, seed), "paired permutation"
        return Difference("", "", "", interval.mean, interval.low, interval.high, len(both), p, None, test)
    if ours.draws and len(ours.draws) == len(theirs.draws):
        if n < FEWEST:
            return Difference("", "", "", gap, None, None, n, None, None, "", few=True)
        low, high, p = drawn_difference(ours.draws, theirs.draws, n)
        return Difference("", "", "", gap, low, high, n, p, None, "paired bootstrap")
    return Difference("", "", "", gap, None, None, n, None, None, "")


def _over_seeds(ours: Measured, theirs: Measured) -> tuple[Interval, float] | None:
    """Interval and p value of the difference of means over seeds: Student's of one side's seeds, Welch's of both."""
    many, others = len(ours.seeds) >= SEEDS_OF_AN_INTERVAL, len(theirs.seeds) >= SEEDS_OF_AN_INTERVAL
    gap = ours.value - theirs.value
    if not (many or others):
        return None
    if not all(map(math.isfinite, (*ours.seeds, *theirs.seeds, gap))):
        return Interval(gap, math.nan, math.nan), math.nan
    varying = [seeds for seeds, counts in ((ours.seeds, many), (theirs.seeds, others)) if counts and not _alike(seeds)]
    if not varying:  # all seeds that are tested say the same: Student's t has nothing to divide by
        return Interval(gap, gap, gap), float(abs(gap) <= ROUNDING * abs(ours.value))
    from scipy.stats import ttest_1samp, ttest_ind  # half a second

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of one side whose seeds are alike: the other's spread counts
        if many and others:
            tested = ttest_ind(ours.seeds, theirs.seeds, equal_var=False)
        elif many:
            tested = ttest_1samp([value - theirs.value for value in ours.seeds], 0.0)
        else:
            tested = ttest_1samp([ours.value - value for value in theirs.seeds], 0.0)
        ends = tested.confidence_interval()
    return Interval(gap, float(ends.low), float(ends.high)), float(tested.pvalue)


def _alike(seeds: Sequence[float]) -> bool:
    return max(seeds) - min(seeds) <= ROUNDING * max(map(abs, seeds))
