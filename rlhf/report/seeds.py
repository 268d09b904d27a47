"""Jobs that differ only in their seed, taken together: means with intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlhf.evaluation.comparison.statistics import mean_over_seeds
from rlhf.report.record import JobRecord
from rlhf.report.shown import Shown


@dataclass(frozen=True)
class Estimate:
    """A number with what is known of its noise. `kind` names the interval's source; empty where there is none."""

    value: float
    low: float | None
    high: float | None
    n: int  # seeds
    kind: str  # seeds | prompts | ""


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
    return Estimate(over.mean, over.low, over.high, len(values), "seeds")


def clearly_best(estimates: Sequence[Estimate | None], better: str | None) -> int | None:
    """Place of the best value, where its interval does not reach the next best one's; None where that is not clear.

    A next best without an interval stands for itself. A best without an interval is never clear.
    """
    sign = {"higher": -1.0, "lower": 1.0}.get(better or "")
    known = [(place, e) for place, e in enumerate(estimates) if e is not None and math.isfinite(e.value)]
    if sign is None or len(known) < 2:
        return None
    ranked = sorted(known, key=lambda pair: sign * pair[1].value)
    (place, best), others = ranked[0], [e for _, e in ranked[1:]]
    if best.low is None or best.high is None:
        return None
    if better == "higher":
        clear = all(best.low > (e.value if e.high is None else e.high) for e in others)
    else:
        clear = all(best.high < (e.value if e.low is None else e.low) for e in others)
    return place if clear else None


def ends(cell: Estimate) -> list[float]:
    """The ends of its interval; empty where there is none."""
    return [end for end in (cell.low, cell.high) if end is not None]


def unclear(shown: Shown, cell: Estimate) -> bool:
    """Whether it compares two models and its interval holds "no difference"."""
    low, high = ends(cell) or (1.0, 0.0)
    return shown.null is not None and low <= shown.null <= high
