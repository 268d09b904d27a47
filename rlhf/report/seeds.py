"""Jobs that differ only in their seed, taken together: means with intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlhf.evaluation.comparison.compare import Difference
from rlhf.evaluation.comparison.statistics import mean_over_seeds
from rlhf.report.compared import unclear as may_be_none
from rlhf.report.record import JobRecord
from rlhf.report.shown import Shown


@dataclass(frozen=True)
class Estimate:
    """A number with what is known of its noise. `kind` names the interval's source; empty where there is none."""

    value: float
    low: float | None
    high: float | None
    n: int  # seeds
    kind: str  # seeds | seeds and prompts | prompts | ""


@dataclass(frozen=True)
class Group:
    """Jobs that differ only in `seed`; one job where no other is alike."""

    jobs: tuple[JobRecord, ...]

    @property
    def finished(self) -> list[JobRecord]:
        """Those with numbers."""
        return [job for job in self.jobs if job.finished]


def group_jobs(jobs: Sequence[JobRecord]) -> list[Group]:
    """Put jobs together that differ only in their seed. A job that was repeated counts once, the newest attempt."""
    found: dict[tuple[Any, ...], dict[str | None, JobRecord]] = {}
    for job in jobs:
        rest = tuple(sorted((key, value) for key, value in job.settings.items() if key != "seed"))
        other = tuple(sorted(word for word in job.outcome["words"] if "=" not in word))
        found.setdefault((job.outcome["name"], rest, other), {})[job.value("seed")] = job
    return [Group(tuple(alike.values())) for alike in found.values()]


def estimate(shown: Shown, measured: Sequence[dict[str, float]]) -> Estimate | None:
    """Take one metric over the runs of several seeds: the mean of those that have it, with the noise between them.

    One run alone, or several with the very same value, bring the interval over prompts or pairs that was measured in
    them (of several: from the lowest end to the highest). A value that is not finite makes the mean so, without one.
    An interval ends where the metric's range does.
    """
    having = [metrics for metrics in measured if metrics.get(shown.metric.name) is not None]
    values = [float(metrics[shown.metric.name]) for metrics in having]
    if not values:
        return None
    if len(set(values)) == 1:  # one run, or one model measured again: no noise between seeds to go by
        names = [end.name for end in shown.interval or ()]
        inside = [metrics[name] for metrics in having for name in names if metrics.get(name) is not None]
        if not inside:
            return Estimate(values[0], None, None, len(values), "")
        return Estimate(values[0], min(inside), max(inside), len(values), "prompts")
    if not all(map(math.isfinite, values)):
        return Estimate(sum(values), None, None, len(values), "")
    over = mean_over_seeds(values)
    return Estimate(over.mean, *shown.metric.within(over.low, over.high), len(values), "seeds")


def ends(cell: Estimate) -> list[float]:
    """The ends of its interval; empty where there is none."""
    return [end for end in (cell.low, cell.high) if end is not None]


def unclear(shown: Shown, cell: Estimate, test: Difference | None) -> bool:
    """Whether it compares two models and may be no difference, by its interval or its corrected `test`."""
    if shown.null is None or cell.low is None or cell.high is None:
        return False
    return may_be_none(cell.low, cell.high, shown.null, test)
