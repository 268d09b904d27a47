"""What style alone gives away of a set of preference pairs: single words, and the answers' length, by grouped folds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf.data.rows import Row
from rlhf.evaluation.comparison.statistics import Interval
from rlhf.evaluation.preference.baselines import bag_of_words_outcomes, length_rule_outcomes

LEAST = 4  # groups, below which there is nothing to learn from and nothing to tell


@dataclass(frozen=True)
class StyleLeak:
    """How often the chosen answer is told from the rejected one without reading the prompt; 0.5 is chance."""

    pairs: int
    groups: int
    folds: int
    bag_of_words: Interval  # a logistic regression on which words occur
    length_rule: Interval  # always the longer (or always the shorter) answer

    @property
    def worst(self) -> float:
        """The higher of the two accuracies."""
        return max(self.bag_of_words.mean, self.length_rule.mean)


def style_leak(rows: Sequence[Row], *, folds: int, seed: int, resamples: int) -> StyleLeak | None:
    """Measure rows with a chosen and a rejected answer by cross-validation; None where there are too few groups.

    Groups are dealt to `folds` folds of equal numbers, so that no group is in training and test. The 95% intervals are
    percentile bootstraps (Efron 1979) over groups: pairs of one prompt are no independent evidence.
    """
    groups = sorted({row.group for row in rows})
    if len(groups) < LEAST:
        return None
    random.Random(seed).shuffle(groups)
    fold_of = {group: at % min(folds, len(groups)) for at, group in enumerate(groups)}
    words: dict[str, list[float]] = {group: [] for group in groups}
    lengths: dict[str, list[float]] = {group: [] for group in groups}
    for fold in range(min(folds, len(groups))):
        train = [row for row in rows if fold_of[row.group] != fold]
        test = [row for row in rows if fold_of[row.group] == fold]
        for found, outcomes in (
            (words, bag_of_words_outcomes(train, test, seed)),
            (lengths, length_rule_outcomes(train, test)),
        ):
            for row, outcome in zip(test, outcomes, strict=True):
                found[row.group].append(outcome)
    intervals = (mean_over_groups(list(found.values()), resamples, seed) for found in (words, lengths))
    return StyleLeak(len(rows), len(groups), min(folds, len(groups)), *intervals)


def mean_over_groups(outcomes: Sequence[Sequence[float]], resamples: int, seed: int) -> Interval:
    """Mean over all outcomes, with the 95% interval of that mean when whole groups are drawn anew."""
    import numpy as np

    sums, sizes = np.array([sum(own) for own in outcomes]), np.array([len(own) for own in outcomes])
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for at in range(resamples):  # one by one: all at once would take groups x resamples of memory
        drawn = rng.integers(0, len(sums), size=len(sums))
        means[at] = sums[drawn].sum() / sizes[drawn].sum()
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(sums.sum() / sizes.sum()), float(low), float(high))
