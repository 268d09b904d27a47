"""The lines of the report page: groups of jobs over seeds, the controls they are read against, and what is best."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rlhf.evaluation.comparison.compare import Difference
from rlhf.report.best import JUDGED, Ranked, mark_best, on_other_scales
from rlhf.report.compared import (
    Beside,
    beside_start,
    compare_lines,
    control_key,
    controls_with_scores,
    interval_of,
    number_of_tests,
)
from rlhf.report.outcome import asked
from rlhf.report.pareto import front
from rlhf.report.record import JobRecord
from rlhf.report.seeds import Estimate, Group, estimate, group_jobs
from rlhf.report.shown import (
    COLUMNS,
    GOLD,
    KL,
    LOSS,
    PIPELINE_TIME,
    PIPELINE_USD,
    REWARD,
    WIN_RATE,
    Shown,
)
from rlhf.report.words import given
from rlhf.tracking.masking import mask_words

SEED_KEY = "seed"
AXES_MORE_IS_BETTER = (REWARD, GOLD, WIN_RATE)


@dataclass
class Line:
    """One line: a policy's group of seeds, or a control that several groups may share."""

    label: str
    role: str  # policy | failed | interrupted | not started | base | start | sft
    jobs: tuple[int, ...]  # their numbers
    params: dict[str, str]
    cells: dict[str, Estimate] = field(default_factory=dict)  # metric -> estimate
    each: dict[str, list[float | None]] = field(default_factory=dict)  # metric -> one value per finished job
    seeds: tuple[str, ...] = ()  # of the finished jobs
    planned: int = 1  # jobs of the group, finished or not
    commands: tuple[str, ...] = ()
    controls: list[int] = field(default_factory=list)  # places of the lines to read it against, the start last
    n: int = 0  # held-out prompts (of a reward model: pairs) that its quality was measured on; 0 where unknown
    tests: dict[str, Difference] = field(default_factory=dict)  # by metric that compares, corrected over the table
    best: set[str] = field(default_factory=set)  # metrics in which it is clearly best
    front: bool = False
    note: str = ""


@dataclass(frozen=True)
class _Control:
    """A control as one job measured it."""

    metrics: Mapping[str, float]
    beside: Beside
    n: int


@dataclass(frozen=True)
class Lines:
    """The whole table: settings that vary, columns that some line has, lines; policies first, best first."""

    params: dict[str, str]  # key -> title
    columns: tuple[Shown, ...]
    lines: tuple[Line, ...]
    front_axes: tuple[Shown, ...]  # cost, reward and KL, as far as all policies have them
    judges_differ: bool
    tested: int  # p values that were corrected together
    untested: int  # comparisons that are told by their intervals alone
    ranked: tuple[Ranked, ...]  # who leads in which column, and by how much before whom; places of finished lines
    apart: tuple[str, ...]  # titles of columns whose values are on several scales: none is called best


def build_lines(jobs: Sequence[JobRecord]) -> Lines:
    """Make the table of a report from its jobs."""
    # 1. groups over seeds, with what they were compared with
    groups = group_jobs(jobs)
    params = _titles(groups)
    policies = [_policy(group, params) for group in groups]
    controls, of, starts = _controls(groups)
    beside = [[beside_start(job.outcome) for job in group.finished] for group in groups]
    tests = compare_lines([*beside, *starts])
    for line, own in zip([*policies, *controls], tests, strict=True):
        line.tests = own
        _widen(line)

    # 2. one order: finished by reward, then what has no numbers, then controls
    judges = {judges_of(group) for group in groups if group.finished}
    order = _ranking(policies, len(judges) > 1)
    lines = [policies[place] for place in order] + controls
    for line, place in zip(lines, order, strict=False):
        line.controls = [len(policies) + at for at in of[place]]

    # 3. what is clearly best, and the front
    columns = tuple(shown for shown in COLUMNS if any(shown.metric.name in line.cells for line in lines))
    finished = [line for line in lines if line.role == "policy"]
    scored = [beside[place] for place in order if policies[place].role == "policy"]
    apart = on_other_scales(groups, params, len(judges) > 1)
    ranked = mark_best(finished, scored, [shown for shown in columns if shown.metric.better and shown not in apart])
    axes = _front_axes(finished, len(judges) > 1)
    if axes:
        points = [[_less_is_better(shown, line) for shown in axes] for line in finished]
        for line, on_front in zip(finished, front(points), strict=True):
            line.front = on_front
    untested = sum(
        shown.null is not None and cell.low is not None and shown.metric.name not in line.tests
        for line in lines
        for shown in columns
        if (cell := line.cells.get(shown.metric.name))
    )
    told = tuple(shown.title for shown in columns if shown in apart - {*JUDGED} and shown.metric.better)
    return Lines(
        params, columns, tuple(lines), axes, len(judges) > 1, number_of_tests(tests), untested, tuple(ranked), told
    )


def varying(groups: Sequence[Group]) -> list[str]:
    """Settings in which the groups differ, in the order in which they were given; never the seed."""
    jobs = [group.jobs[0] for group in groups]
    keys = dict.fromkeys(key for job in jobs for key in job.settings if key != SEED_KEY)
    return [key for key in keys if len({job.value(key) for job in jobs}) > 1]


def _titles(groups: Sequence[Group]) -> dict[str, str]:
    keys = varying(groups)
    short = [key.rpartition(".")[2] for key in keys]
    taken = {shown.title for shown in COLUMNS} | {"run", "seeds", "n"}
    return {
        key: name if short.count(name) == 1 and name not in taken else key
        for key, name in zip(keys, short, strict=True)
    }


def _policy(group: Group, params: Mapping[str, str]) -> Line:
    first, finished = group.jobs[0], group.finished
    own = {key: first.value(key) or "" for key in params}
    role = "policy" if finished else str(first.outcome["status"])
    line = Line(str(first.outcome["name"]).replace("-", " ", 1), role, tuple(job.number for job in group.jobs), own)
    line.planned = len(group.jobs)
    line.commands = tuple(command_of(job) for job in group.jobs)
    line.seeds = tuple(job.value(SEED_KEY) or "" for job in finished)
    line.n = min((asked(job.outcome) for job in finished), default=0)
    line.note = "; ".join(dict.fromkeys(str(job.outcome["error"]) for job in group.jobs if not job.finished))
    _measure(line, [job.outcome["metrics"] for job in finished])
    return line


def _measure(line: Line, measured: Sequence[Mapping[str, float]]) -> None:
    for shown in COLUMNS:
        name = shown.metric.name
        if (found := estimate(shown, [dict(metrics) for metrics in measured])) is not None:
            line.cells[name] = found
            line.each[name] = [metrics.get(name) for metrics in measured]


def _widen(line: Line) -> None:
    """Let the interval of a comparison of several seeds hold the noise over prompts as well as that between seeds."""
    for name, own in line.tests.items():
        cell = line.cells.get(name)
        if cell is not None and cell.kind == "seeds" and cell.low is not None and cell.high is not None:
            low, high = interval_of(own)
            wider = replace(cell, low=min(low, cell.low), high=max(high, cell.high))
            line.cells[name] = replace(wider, kind="seeds and prompts")


def command_of(job: JobRecord) -> str:
    """The command line that runs this one job again; passwords and tokens are masked, as in the tracker."""
    return shlex.join(mask_words(["rlhf", *given(job.outcome["words"])]))


def _controls(groups: Sequence[Group]) -> tuple[list[Line], list[list[int]], list[list[Beside]]]:
    """The controls of all groups, each once; for each group the places of its own; what each control is compared by."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}  # role and model -> control rows by seed, and their jobs
    wanted: list[list[tuple[tuple[str, str], frozenset[str]]]] = []
    scored = controls_with_scores([job.outcome for group in groups for job in group.finished])
    for group in groups:
        own: dict[tuple[str, str], dict[str, _Control]] = {}
        for job in group.finished:
            for row in job.outcome["rows"][:-1]:
                key = (str(row["role"]), str(job.outcome["name"]).partition("-")[2])
                told = control_key(row)
                outcome, at = scored[told]
                control = _Control(row["metrics"], beside_start(outcome, at), asked(outcome))
                own.setdefault(key, {})[told] = control
        wanted.append([(key, frozenset(rows)) for key, rows in own.items()])
        for key, rows in own.items():
            found.setdefault(key, []).append({"rows": rows, "jobs": [job.number for job in group.finished]})
    lines: list[Line] = []
    beside: list[list[Beside]] = []
    places: dict[tuple[tuple[str, str], frozenset[str]], int] = {}
    for key, sets in found.items():
        for entry in sorted(sets, key=lambda entry: -len(entry["rows"])):
            names = frozenset(entry["rows"])
            covering = [at for (other, more), at in places.items() if other == key and names <= more]
            if covering:
                places[(key, names)] = covering[0]
                lines[covering[0]].jobs = tuple(sorted({*lines[covering[0]].jobs, *entry["jobs"]}))
                continue
            places[(key, names)] = len(lines)
            controls = list(entry["rows"].values())
            line = Line(" ".join(key), key[0], tuple(entry["jobs"]), {}, planned=len(names))
            line.seeds, line.n = ("",) * len(names), min(control.n for control in controls)
            _measure(line, [_of_a_control(control.metrics) for control in controls])
            lines.append(line)
            beside.append([control.beside for control in controls])
    return lines, [[places[name] for name in names] for names in wanted], beside


def _of_a_control(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name != LOSS.metric.name}  # another objective's units


def judges_of(group: Group) -> tuple[str, ...]:
    """Who scored the group's answers: the reward stages that its jobs name, else what they say of their judge."""
    found = set()
    for job in group.finished:
        stages = [str(stage["name"]) for stage in job.outcome["upstream"] if stage.get("method") == "reward"]
        found |= set(stages) or {str(job.outcome["judge"])}
    return tuple(sorted(found))


def _ranking(policies: Sequence[Line], judges_differ: bool) -> list[int]:
    ranked = (GOLD, WIN_RATE, REWARD) if judges_differ else (REWARD, GOLD, WIN_RATE)
    names = [shown.metric.name for shown in ranked] + ["final/accuracy"]
    key = next((name for name in names if any(name in line.cells for line in policies)), names[0])

    def rank(place: int) -> tuple[int, float, int]:
        cell = policies[place].cells.get(key)
        known = cell is not None and math.isfinite(cell.value)
        state = 0 if policies[place].role == "policy" else 1
        return (state, -cell.value if cell is not None and known else math.inf, place)

    return sorted(range(len(policies)), key=rank)


def _front_axes(finished: Sequence[Line], judges_differ: bool) -> tuple[Shown, ...]:
    """Cost, reward and KL: of each the first kind that all finished policies have; none where they have no two."""
    rewards = (GOLD, WIN_RATE) if judges_differ else (REWARD, GOLD, WIN_RATE)
    chosen = []
    for kinds in ((PIPELINE_USD, PIPELINE_TIME), rewards, (KL,)):
        names = [(shown, shown.metric.name) for shown in kinds]
        full = [
            shown
            for shown, name in names
            if finished and all(name in line.cells and math.isfinite(line.cells[name].value) for line in finished)
        ]
        chosen += full[:1]
    return tuple(chosen) if len(chosen) > 1 else ()


def _less_is_better(shown: Shown, line: Line) -> float:
    value = line.cells[shown.metric.name].value
    return -value if shown in AXES_MORE_IS_BETTER else value
