"""What an evaluation says, before it has a form: per suite one table of cells, with flags, comparisons and notes.

Terminal, Markdown, CSV and page are made from the same cells, so they can't disagree. `rlhf.report.evaluation_table`
tells what the data is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rlhf.evaluation.comparison.compare import Difference, baseline_of, clearly_best, compare
from rlhf.evaluation.comparison.pooled import CONTROLS, Line, Measured, measurements, pooled
from rlhf.evaluation.comparison.verdicts import Flag, flags, unheld
from rlhf.evaluation.described import describe
from rlhf.evaluation.metrics import Metric
from rlhf.report.shown import plain

ORDER = ("reference", "base", "start", "sft", "policy", *CONTROLS[1:])
LABEL = 40  # characters of a speaker's label
MOST = 8  # decimals, beyond which powers of ten are shorter
ARROWS = {"higher": "↑", "lower": "↓", None: ""}


@dataclass(frozen=True)
class Column:
    """A metric as a column. `footnote` counts the flagged ones of its suite from 1; None where it has no flag."""

    metric: Metric
    title: str  # its name without the suite's, or the family that all columns are of
    footnote: int | None

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return ARROWS[self.metric.better]


@dataclass(frozen=True)
class Cell:
    """One number: `difference` is that to the baseline, None for controls and for the baseline itself."""

    measured: Measured
    difference: Difference | None
    best: bool

    @property
    def texts(self) -> list[str]:
        """Return the value and, where it has an interval, its ends as they are written."""
        own = self.measured
        return written(own.value) if own.low is None or own.high is None else written(own.value, own.low, own.high)

    @property
    def unclear(self) -> bool:
        """Whether it was compared and is no clear difference."""
        return self.difference is not None and self.difference.clear is False


def written(value: float, *ends: float) -> list[str]:
    """A value and the ends of its interval, all with the same decimals: as `plain` has them or more.

    A value below a tenth has three significant digits, and an interval's width two: 0.00312 of [0.00290, 0.00335].
    """
    numbers = [value, *ends]
    size = abs(value)
    usual = 3 if size < 10 else 1
    needed = _decimals(value, 3) if size < 0.1 else 0
    if ends:
        needed = max(needed, _decimals(max(ends) - min(ends), 2))
    if needed <= usual or size >= 10_000 or not all(map(math.isfinite, numbers)):
        return [plain(number) for number in numbers]
    return [f"{number:.{needed}f}" if needed <= MOST else f"{number:.3g}" for number in numbers]


def _decimals(number: float, digits: int) -> int:
    """Decimals that show so many significant digits of a number; 0 of none."""
    if number == 0 or not math.isfinite(number):
        return 0
    return digits - 1 - math.floor(math.log10(abs(number)))


@dataclass(frozen=True)
class SuiteTable:
    """A suite: one line of cells per speaker, in the order of the columns; None where a speaker has no number."""

    name: str
    columns: tuple[Column, ...]
    lines: tuple[tuple[Line, tuple[Cell | None, ...]], ...]
    baseline: Line | None
    flags: tuple[Flag, ...]
    notes: tuple[str, ...]
    compared: int  # p values that were corrected together
    unheld: tuple[str, ...]  # titles of columns of too few questions to hold nonsense against
    finest: float  # the smallest p value that the resamples can tell

    def numbers(self, place: int) -> list[Cell]:
        """Return the cells of a column that hold a number."""
        return [cell for _, cells in self.lines if (cell := cells[place]) is not None]

    def n(self, place: int) -> str:
        """Return what a column's values are taken over: `128`, or `90 to 128` where lines differ."""
        counts = [cell.measured.n for cell in self.numbers(place)]
        return f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"

    @property
    def untested(self) -> list[str]:
        """Titles of columns in which lines were to be compared and none could be, for want of values in pairs."""
        return [title for title, few in self._without_test() if not few]

    @property
    def too_few(self) -> list[str]:
        """Titles of columns in which none could be compared since they have too few questions."""
        return [title for title, few in self._without_test() if few]

    def _without_test(self) -> Iterator[tuple[str, bool]]:
        for place, column in enumerate(self.columns):
            compared = [cell.difference for cell in self.numbers(place) if cell.difference is not None]
            if compared and all(one.clear is None for one in compared):
                yield column.title, any(one.few for one in compared)

    @property
    def held(self) -> bool:
        """Whether nonsense was held against a metric."""
        directed = [column.title for column in self.columns if column.metric.better is not None]
        return any(line.nonsense for line, _ in self.lines) and bool({*directed} - {*self.unheld})

    @property
    def drawn(self) -> bool:
        """Whether a difference was told by resamples."""
        gaps = [cell.difference for _, cells in self.lines for cell in cells if cell is not None]
        return any(one is not None and "bootstrap" in one.test for one in gaps)

    @property
    def pooled(self) -> bool:
        """Whether a line is the mean of several runs."""
        return any(len(line.runs) > 1 for line, _ in self.lines)


def suite_tables(data: Mapping[str, Any]) -> list[SuiteTable]:
    """Return a table per suite that found a number, in the data's order."""
    lines = sorted(_briefly(pooled(data["speakers"])), key=lambda line: ORDER.index(line.role))
    baseline = baseline_of(lines, data.get("baseline"))
    settings = data["settings"]
    resamples, seed = int(settings["bootstrap"]), int(settings["seed"])
    made = []
    for name, suite in data["suites"].items():
        found = measurements(lines, {metric: data["metrics"][metric] for metric in suite["metrics"]})
        if not found:
            continue
        own = [line for line in lines if any(line.name in values for values in found.values())]
        differences = compare(own, found, baseline, resamples, seed) if baseline else []
        raised = flags(own, found, resamples, seed)
        columns = _columns(name, list(found), raised)
        by_place = {(one.metric, one.speaker): one for one in differences}
        best = _best(own, columns, found, resamples, seed)
        cells = tuple(
            (line, tuple(_cell(line, column, found[column.metric.name], by_place, best) for column in columns))
            for line in own
        )
        tested = sum(one.p is not None for one in differences)
        bare = unheld(own, found)
        few = tuple(column.title for column in columns if column.metric.name in bare)
        finest, notes = 1 / (resamples + 1), tuple(suite["notes"])
        made.append(SuiteTable(name, columns, cells, baseline, tuple(raised), notes, tested, few, finest))
    return made


def _briefly(lines: Sequence[Line]) -> list[Line]:
    """Return lines with labels that fit a table, as long as these still tell them apart."""
    labels = [line.label if len(line.label) <= LABEL else f"{line.label[: LABEL - 1].rstrip()}…" for line in lines]
    if len(set(labels)) < len({line.label for line in lines}):
        return list(lines)
    return [replace(line, label=label) for line, label in zip(lines, labels, strict=True)]


def _columns(suite: str, names: Sequence[str], raised: Sequence[Flag]) -> tuple[Column, ...]:
    flagged = [flag.metric for flag in raised]
    families = {name.partition("/")[0] for name in names}
    shared = families.pop() if len(families) == 1 else suite
    made = []
    for name in names:
        metric = describe(name) or Metric(name, "", "", "", None)
        footnote = flagged.index(name) + 1 if name in flagged else None
        title = name.removeprefix(f"{shared}/")
        made.append(Column(metric if metric.name == name else _named(metric, name), title, footnote))
    return tuple(made)


def _named(metric: Metric, name: str) -> Metric:
    return replace(metric, name=name)


def _best(
    lines: Sequence[Line],
    columns: Sequence[Column],
    found: Mapping[str, Mapping[str, Measured]],
    resamples: int,
    seed: int,
) -> dict[str, str]:
    """Name of the clearly best line by metric; where nonsense does well, best means nothing."""
    directed = [column.metric for column in columns if column.metric.better is not None and column.footnote is None]
    family = len(directed) * (sum(not line.control for line in lines) - 1)
    best = {}
    for metric in directed:
        won = clearly_best(lines, found[metric.name], str(metric.better), family, resamples, seed)
        if won is not None:
            best[metric.name] = won.name
    return best


def _cell(
    line: Line,
    column: Column,
    values: Mapping[str, Measured],
    differences: Mapping[tuple[str, str], Difference],
    best: Mapping[str, str],
) -> Cell | None:
    measured = values.get(line.name)
    if measured is None:
        return None
    name = column.metric.name
    return Cell(measured, differences.get((name, line.name)), best.get(name) == line.name)
