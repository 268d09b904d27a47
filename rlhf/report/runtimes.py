"""How the jobs of a report ended, and how long they took, model by model."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rlhf.report.cells import duration
from rlhf.report.models import model_of
from rlhf.report.record import JobRecord
from rlhf.report.sheets import NOTHING, Sheet, SheetCell, SheetColumn, sheet

ABOUT = "Wall clock of whole jobs: stages that were reused took no time in them, sampling and measuring did."


def runtimes_sheets(jobs: Sequence[JobRecord]) -> list[Sheet]:
    """A line per model and method: jobs by how they ended, and the time of those that finished, as bars.

    None of one job alone, which the headline tells all of.
    """
    groups: dict[tuple[str, str], list[JobRecord]] = {}
    for job in jobs:
        groups.setdefault((model_of(job), str(job.outcome["name"]).partition("-")[0]), []).append(job)
    means = {key: fmean(found) for key, own in groups.items() if (found := _seconds(own))}
    if not means or len(jobs) < 2:
        return []
    longest = max(means.values())
    columns = [SheetColumn("model", number=False), SheetColumn("method", number=False), SheetColumn("finished")]
    columns += [SheetColumn("not finished", number=False), SheetColumn("time per job", number=False)]
    columns += [SheetColumn("all jobs")]
    rows = [_row(key, own, means.get(key), longest) for key, own in groups.items()]
    return [sheet("runtimes", "Jobs and runtimes", ABOUT, columns, rows, ())]


def _row(key: tuple[str, str], jobs: Sequence[JobRecord], mean: float | None, longest: float) -> list[SheetCell]:
    times = _seconds(jobs)
    ends: dict[str, int] = {}
    for job in jobs:
        if not job.finished:
            ends[str(job.outcome["status"])] = ends.get(str(job.outcome["status"]), 0) + 1
    several = f"{duration(min(times))} to {duration(max(times))}" if len(times) > 1 else ""
    took = SheetCell(duration(mean), several, bar=mean / longest) if mean is not None else NOTHING
    told = ", ".join(f"{count} {status}" for status, count in ends.items())
    return [
        SheetCell(key[0]),
        SheetCell(key[1].upper()),
        SheetCell(f"{sum(job.finished for job in jobs)} of {len(jobs)}"),
        SheetCell(told, tone="bad") if told else NOTHING,
        took,
        SheetCell(duration(sum(times))) if times else NOTHING,
    ]


def _seconds(jobs: Sequence[JobRecord]) -> list[float]:
    found = [job.outcome.get("seconds") for job in jobs if job.finished]
    return [float(seconds) for seconds in found if seconds is not None]
