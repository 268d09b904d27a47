"""The trials of a search as a table: what each drew, what it reached in the objectives, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.report.cells import duration
from rlhf.report.sheets import NOTHING, Sheet, SheetCell, SheetColumn, Tone, sheet
from rlhf.report.shown import plain

ABOUT = (
    "Best first: the trials that no other one beats are green, then the finished ones by the first objective. The best "
    "of many trials is flattered by chance: run it again with other seeds (add seed=1,2,3 to its command)."
)


def trials_sheets(searches: Sequence[Mapping[str, Any]], most: int | None = None) -> list[Sheet]:
    """A table per search that has begun a trial, of its `most` best trials or of all."""
    begun = [found for found in searches if found.get("trials")]
    return [_sheet(found, place, most) for place, found in enumerate(begun)]


def _sheet(found: Mapping[str, Any], place: int, most: int | None) -> Sheet:
    objectives = {str(objective["metric"]): str(objective["direction"]) for objective in found["objectives"]}
    trials = _ordered(found, next(iter(objectives.values())))
    columns = [SheetColumn("trial"), SheetColumn("job", "its place among the jobs of this report")]
    columns += [SheetColumn(metric, f"an objective: {direction} it") for metric, direction in objectives.items()]
    columns += [SheetColumn(key) for key in found["params"]]
    columns += [SheetColumn("time"), SheetColumn("ended", number=False)]
    rows = [_row(trial, len(objectives), list(found["params"]), trial["number"] in found["front"]) for trial in trials]
    left = len(rows) - len(rows[:most])
    notes = [f"{left} more on the page"] if left else []
    title = f"Trials of {found['study']}" if found.get("study") else "Trials"
    return sheet("trials" if not place else f"trials-{place + 1}", title, ABOUT, columns, rows[:most], notes)


def _ordered(found: Mapping[str, Any], direction: str) -> list[Mapping[str, Any]]:
    """The front as the search has it, then what finished by the first objective, then what did not."""
    front, sign = list(found["front"]), -1.0 if direction == "maximize" else 1.0

    def rank(trial: Mapping[str, Any]) -> tuple[int, float, int]:
        if trial["number"] in front:
            return (0, front.index(trial["number"]), 0)
        values = trial["values"]
        return (1 if values else 2, sign * values[0] if values else 0.0, trial["number"])

    return sorted(found["trials"], key=rank)


def _row(trial: Mapping[str, Any], objectives: int, params: Sequence[str], front: bool) -> tuple[SheetCell, ...]:
    tone: Tone = "good" if front else ""
    values = [SheetCell(plain(value), tone=tone) for value in trial["values"] or ()] or [NOTHING] * objectives
    drawn = [_drawn(trial["params"].get(key)) for key in params]
    job = NOTHING if trial["job"] is None else SheetCell(str(trial["job"] + 1))
    took = NOTHING if trial["seconds"] is None else SheetCell(duration(trial["seconds"]))
    state = str(trial["status"])
    if trial["repeats"] is not None:
        state = f"as trial {trial['repeats'] + 1}"
    ended = SheetCell(state, str(trial["reason"] or ""), "" if trial["values"] else "soft")
    return (SheetCell(str(trial["number"] + 1), tone=tone), job, *values, *drawn, took, ended)


def _drawn(value: Any) -> SheetCell:
    if value is None:
        return NOTHING
    return SheetCell(f"{value:.4g}" if isinstance(value, float) else str(value))
