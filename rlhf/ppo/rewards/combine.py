"""The score of an answer: the weighted sum of what several sources say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from rlhf.data.rows import Row
from rlhf.errors import RunFailure
from rlhf.ppo.rewards.base import Scorer, place


class Combined:
    """A scorer that sums named scorers by their weights; a weight of 0 only watches."""

    def __init__(self, sources: Mapping[str, tuple[float, Scorer]]) -> None:
        self.sources = dict(sources)
        self.last_means: dict[str, float] = {}  # of each source's own scores (no weight) in the newest call

    def __call__(self, rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
        """Return one score per answer; raises `RunFailure` where a source gives something else than finite numbers."""
        assert len(rows) == len(answers)
        totals, means = [0.0] * len(answers), {}
        for name, (weight, scorer) in self.sources.items() if answers else ():
            scores = scorer(rows, answers)
            _refuse_unusable(name, scores, answers)
            means[name] = fmean(scores)
            totals = [total + weight * own for total, own in zip(totals, scores, strict=True)]
        self.last_means = means
        return totals


def combined(sources: Mapping[str, tuple[float, Scorer]]) -> Combined:
    """Return the scorer that gives the sum of weight x score over `sources` (name -> weight and scorer)."""
    return Combined(sources)


def _refuse_unusable(name: str, scores: Sequence[float], answers: Sequence[str]) -> None:
    if len(scores) != len(answers):
        problem = f"{len(scores)} scores came back for {len(answers)} answers"
        raise RunFailure(place(name), problem, "Return one score per answer, in their order")
    for score, answer in zip(scores, answers, strict=True):
        if not math.isfinite(score):
            problem = f"the score of {answer[:60]!r} is {score}, not a finite number"
            raise RunFailure(place(name), problem, "Try precision=fp32, or take this source out")
