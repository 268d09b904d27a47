"""Goals: thresholds from a YAML file, and for each run whether it meets them, misses them, or whether that is not told.

A value with an interval that holds the threshold tells neither; a saving is asked of two runs that were both made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from rlhf.errors import UserError
from rlhf.report.record import JobRecord
from rlhf.report.savings import Missing, Ratio, find_savings, is_full, ratio_of
from rlhf.report.savings_sheet import less
from rlhf.report.seeds import Group, group_jobs
from rlhf.report.sheets import Sheet, SheetCell, SheetColumn, sheet
from rlhf.report.taken import Taken, taken
from rlhf.spec import Spec

MET, MISSED, NOT_MEASURED, NOT_TOLD = "met", "missed", "not measured", "not told"
TONES: Mapping[str, Any] = {MET: "good", MISSED: "bad", NOT_MEASURED: "soft", NOT_TOLD: "unclear"}
ABOUT = (
    "Not told: the interval of the number holds the threshold (of a saving of two seeds: one meets it, one misses it). "
    "Without an interval the number alone decides, and the cell says so."
)
ALONE = "nothing to save against: a full fine-tune, with no adapter beside it"
BASELINE = SheetCell("–", "others are compared with it", "soft")  # a full fine-tune that is asked for a saving


class Goal(Spec):
    """One threshold: `at_least` or `at_most` of a metric, or `saving_at_least` of a cost against the full fine-tune."""

    name: str = Field(min_length=1)
    metric: str = Field(min_length=1)
    at_least: float | None = None
    at_most: float | None = None
    saving_at_least: float | None = Field(default=None, lt=1)
    against: Literal["full"] | None = None

    @model_validator(mode="after")
    def _one_threshold(self) -> Goal:
        """Refuse a goal that asks for nothing, for two things, or for a saving over nobody knows what."""
        given = [self.at_least, self.at_most, self.saving_at_least]
        if sum(value is not None for value in given) != 1:
            raise ValueError("give one of at_least, at_most and saving_at_least")
        if (self.saving_at_least is None) != (self.against is None):
            raise ValueError("saving_at_least and against go together")
        return self

    @property
    def wanted(self) -> str:
        """The threshold in words."""
        if self.saving_at_least is not None:
            return f"at least {self.saving_at_least:.0%} less than {self.against}"
        return f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"


class Goals(Spec):
    """A file of goals."""

    goals: list[Goal] = Field(min_length=1)


@dataclass(frozen=True)
class Verdict:
    """What is known of one goal of one run."""

    goal: Goal
    run: str
    word: str
    told: str  # the number that decided


def read_goals(file: Path) -> list[Goal]:
    """Read a file of goals; raises `UserError` with the place in it that is wrong."""
    import yaml

    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        return Goals.model_validate(values).goals
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(str(file), " ".join(str(error).split()), "Mend the file, or name another") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        problem = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{file}, {place}", problem, "docs/cost.md shows how goals are written") from None


def verdicts(goals: Sequence[Goal], jobs: Sequence[JobRecord]) -> list[Verdict]:
    """Judge every goal of every group of seeds that finished; where none did, say so of every goal.

    A full fine-tune is not asked for a saving where others are compared with it.
    """
    groups = [group for group in group_jobs(jobs) if group.finished]
    if not groups:
        return [Verdict(goal, "no run", NOT_MEASURED, "no job has finished") for goal in goals]
    ratios = _ratios(jobs, [goal.metric for goal in goals if goal.saving_at_least is not None])
    found = []
    for group in groups:
        run = _name(group, groups)
        for goal in goals:
            numbers = tuple(job.number for job in group.jobs)
            if goal.saving_at_least is None:
                found.append(_of_value(goal, run, taken(group, goal.metric)))
            elif not is_full(group.jobs[0]):
                own = ratios.get(numbers, {}).get(goal.metric, Missing("no full fine-tune beside it"))
                found.append(_of_saving(goal, run, own))
            elif numbers not in ratios:
                found.append(_of_saving(goal, run, Missing(ALONE)))
    return found


def _ratios(jobs: Sequence[JobRecord], costs: Sequence[str]) -> dict[tuple[int, ...], dict[str, Ratio | Missing]]:
    """For each group that has a full fine-tune beside it, its ratios; none for that one; by numbers of jobs."""
    found: dict[tuple[int, ...], dict[str, Ratio | Missing]] = {}
    for savings in find_savings(jobs):
        found[tuple(job.number for job in savings.ways[0].group.jobs)] = {}
        for way in savings.ways[1:]:
            numbers = tuple(job.number for job in way.group.jobs)
            found[numbers] = {cost: ratio_of(savings.ways[0].group, way.group, cost) for cost in costs}
    return found


def _of_value(goal: Goal, run: str, value: Taken | None) -> Verdict:
    if value is None:
        return Verdict(goal, run, NOT_MEASURED, "")
    low, high = (value.low, value.high) if value.low is not None and value.high is not None else (value.value,) * 2
    told = f"{value.value:.4g}" + (f" [{low:.4g}, {high:.4g}]" if value.low is not None else ", no interval")
    threshold = goal.at_least if goal.at_least is not None else goal.at_most
    assert threshold is not None
    if goal.at_least is not None:
        sure, never = low >= threshold, high < threshold
    else:
        sure, never = high <= threshold, low > threshold
    return Verdict(goal, run, MET if sure else MISSED if never else NOT_TOLD, told)


def _of_saving(goal: Goal, run: str, ratio: Ratio | Missing) -> Verdict:
    if isinstance(ratio, Missing):
        return Verdict(goal, run, NOT_MEASURED, ratio.why if ratio.why != NOT_MEASURED else "")
    assert goal.saving_at_least is not None
    best, worst = 1 - ratio.low, 1 - ratio.high
    several = ratio.seeds > 1
    told = less(ratio.value) + (f" [{less(ratio.high)}, {less(ratio.low)}]" if several else ", one seed")
    word = MET if worst >= goal.saving_at_least else MISSED if best < goal.saving_at_least else NOT_TOLD
    return Verdict(goal, run, word, told)


def _name(group: Group, groups: Sequence[Group]) -> str:
    """A run as the table names it: with the settings that tell it from the others."""
    from rlhf.report.rows import varying

    job = group.jobs[0]
    own = [f"{key.rpartition('.')[2]}={job.value(key)}" for key in varying(groups) if job.value(key)]
    return " ".join([str(job.outcome["name"]).replace("-", " ", 1), *own])


def _key(goal: Goal) -> tuple[str, str, str]:
    """What tells a goal from the others: two may share a name."""
    return goal.name, goal.metric, goal.wanted


def goals_sheet(found: Sequence[Verdict]) -> Sheet:
    """A line per run, a column per goal."""
    goals = list(dict.fromkeys(_key(one.goal) for one in found))
    columns = [SheetColumn("", number=False)]
    columns += [SheetColumn(name, f"{metric}: {wanted}", number=False) for name, metric, wanted in goals]
    rows = []
    for run in dict.fromkeys(one.run for one in found):
        own = {_key(one.goal): one for one in found if one.run == run}
        cells = [SheetCell(one.word, one.told, TONES[one.word]) if (one := own.get(key)) else BASELINE for key in goals]
        rows.append((SheetCell(run), *cells))
    notes = [f"{name}: {metric} {wanted}" for name, metric, wanted in goals]
    return sheet("goals", "Goals", ABOUT, columns, rows, notes)
