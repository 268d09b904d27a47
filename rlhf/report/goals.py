"""Goals: thresholds from a YAML file, and for each run whether it meets them, misses them, or whether that is not told.

A value with an interval that holds the threshold tells neither; a saving is asked of two runs that were both made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from rlhf.errors import UserError, mendable
from rlhf.report.ratios import Missing, Ratio
from rlhf.report.record import JobRecord
from rlhf.report.savings import find_savings, is_full, ratio_of
from rlhf.report.savings_sheet import less
from rlhf.report.seeds import Group, group_jobs
from rlhf.report.sheets import Sheet, SheetCell, SheetColumn, sheet
from rlhf.report.taken import Taken, taken
from rlhf.spec import Spec
from rlhf.suggest import did_you_mean

MET, MISSED, NOT_MEASURED, NOT_TOLD = "met", "missed", "not measured", "not told"
TONES: Mapping[str, Any] = {MET: "good", MISSED: "bad", NOT_MEASURED: "soft", NOT_TOLD: "unclear"}
ABOUT = (
    "Not told: the interval of the number holds the threshold (of a saving of two seeds: one meets it, one misses it). "
    "Without an interval the number alone decides, and the cell says so."
)
HOW = "See docs/cost.md for how goals are written"
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


def read_goals(file: Path, measured: Iterable[str] = ()) -> list[Goal]:
    """Read a file of goals; raises `UserError` with the place in it that is wrong.

    A goal may name a metric of the package, or one of those that the jobs of the report have `measured`.
    """
    import yaml

    try:
        with file.open(encoding="utf-8") as opened:  # by its name, which YAML's errors then hold
            values = yaml.safe_load(opened)
        goals = Goals.model_validate({} if values is None else values).goals
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(str(file), " ".join(str(error).split()), "Mend the file, or name another") from None
    except yaml.YAMLError as error:
        told = mendable(error) or UserError(str(file), "not YAML", "Mend the file, or name another")
        raise told from None
    except ValidationError as error:
        raise _explained(file, error) from None
    for place, goal in enumerate(goals):
        _refuse_unknown(f"{file}, goals.{place}.metric", goal.metric, measured)
    return goals


def _explained(file: Path, error: ValidationError) -> UserError:
    """What to tell of a file that pydantic refuses; a key that nobody knows comes first, as others lack for it."""
    found = error.errors()
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    kind, parts = first["type"], first["loc"]
    place = f"{file}, {'.'.join(str(part) for part in parts)}" if parts else str(file)
    if kind == "extra_forbidden":
        known = Goal.model_fields if len(parts) > 1 else Goals.model_fields
        return UserError(place, "unknown key", did_you_mean(str(parts[-1]), known))
    if parts == ("goals",):
        none = kind in ("missing", "too_short") or first["input"] is None
        where = place if kind == "too_short" else str(file)
        return UserError(
            where, "holds no goals" if none else "`goals` is no list of goals", f"Give at least 1 item. {HOW}"
        )
    if kind == "missing":
        return UserError(place, "has no value", f"Give it one. {HOW}")
    if kind == "model_type":
        return UserError(place, "is no mapping of keys and values", HOW)
    problem = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    problem += "" if kind == "value_error" else f", got {first['input']!r}"
    return UserError(place, problem, HOW)


def _refuse_unknown(place: str, name: str, measured: Iterable[str]) -> None:
    """Raise `UserError` where there is no metric of that name."""
    from rlhf.evaluation.described import describe, groups  # imports all suites

    if name in measured or describe(name) is not None:
        return
    known = {metric.name for metrics in groups().values() for metric in metrics} | set(measured)
    raise UserError(place, f"there is no metric `{name}`", did_you_mean(name, known))


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
    told += f", n {value.n}" if value.n else ""
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
    told = less(ratio.value) + (f" [{less(ratio.low)}, {less(ratio.high)}]" if several else ", one seed")
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
