"""One metric of a group of seeds with its interval, whichever part of an outcome it lies in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rlhf.evaluation.comparison.statistics import mean_over_seeds
from rlhf.evaluation.cost.energy import SOURCES
from rlhf.evaluation.cost.meter import ENERGY_SOURCE
from rlhf.evaluation.described import describe
from rlhf.report.best import JUDGED
from rlhf.report.compared import SCORES, beside_start, compare_lines, interval_of
from rlhf.report.outcome import asked
from rlhf.report.record import JobRecord
from rlhf.report.seeds import Group
from rlhf.report.shown import COLUMNS, GOLD, GOLDEN_GAIN, KL

ASKED = {shown.metric.name for shown in (*JUDGED, GOLD, GOLDEN_GAIN, KL)}  # what is measured on the prompts
INTERVALS = {shown.metric.name: shown.interval for shown in COLUMNS if shown.interval}


@dataclass(frozen=True)
class Taken:
    """A value and its 95% interval (over seeds where there are several, else within the run), None where unknown.

    `n` is how many questions or pairs it was measured on, the fewest of any seed; 0 where that is not known.
    """

    value: float
    low: float | None
    high: float | None
    seeds: int
    n: int


def taken(group: Group, metric: str) -> Taken | None:
    """Take a metric over the seeds of a group; None where no run measured it."""
    having = [job for job in group.finished if _number(job.outcome["metrics"].get(metric)) is not None]
    values = [float(job.outcome["metrics"][metric]) for job in having]
    if not values:
        return None
    n = min(_asked(job, metric) for job in having)
    if len(set(values)) > 1:
        over = mean_over_seeds(values)
        wider = _over_prompts(having, metric)
        ends = min(wider[0], over.low), max(wider[1], over.high)
        known = describe(metric)
        return Taken(over.mean, *(known.within(*ends) if known else ends), len(values), n)
    low, high = _within(having[0], metric)
    return Taken(fmean(values), low, high, len(values), n)


def _over_prompts(jobs: Sequence[JobRecord], metric: str) -> tuple[float, float]:
    """The interval of a comparison over prompts, seeds taken together, as the comparison's line has it; else none."""
    if metric not in SCORES:
        return math.inf, -math.inf
    (tests,) = compare_lines([[beside_start(job.outcome) for job in jobs]])
    return interval_of(tests[metric]) if metric in tests else (math.inf, -math.inf)


def _within(job: JobRecord, metric: str) -> tuple[float | None, float | None]:
    """The interval that was measured in a run: its own ends, or those of its evaluation's suites."""
    if (names := INTERVALS.get(metric)) is not None:
        low, high = (job.outcome["metrics"].get(end.name) for end in names)
        return low, high
    found = _in_suites(job, metric)
    return _number(found.get("low")), _number(found.get("high"))


def _in_suites(job: JobRecord, metric: str) -> Mapping[str, Any]:
    """What the job's evaluation holds of its own policy in a metric; empty where no suite measured it."""
    by_speaker = (job.outcome.get("evaluation") or {}).get("metrics", {}).get(metric, {})
    rows = job.outcome["rows"]
    return (by_speaker.get(rows[-1]["name"]) or {}) if rows else {}


def _asked(job: JobRecord, metric: str) -> int:
    each = (job.outcome["rows"][-1] if job.outcome["rows"] else job.outcome).get("each") or {}
    if metric in each:
        return len(each[metric])
    if found := _in_suites(job, metric):
        return int(found.get("n") or 0)
    return asked(job.outcome) if metric in ASKED else 0


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def energy_told(jobs: Sequence[JobRecord]) -> list[str]:
    """Say in one sentence where the jobs' kWh come from: what was measured is not what was estimated."""
    found: dict[str, list[int]] = {}
    for job in jobs:
        if source := str(job.outcome.get(ENERGY_SOURCE) or ""):
            found.setdefault(SOURCES.get(source, source), []).append(job.number)
    if len(found) < 2:
        return [f"kWh: {told}." for told in found]
    each = "; ".join(
        f"{'jobs' if len(numbers) > 1 else 'job'} {', '.join(map(str, numbers))} {told}"
        for told, numbers in found.items()
    )
    return [f"kWh are not of one kind: {each}."]
