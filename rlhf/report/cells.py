"""What a comparison of runs says, before it has a form: one line of cells each, best first, controls among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rlhf.evaluation import metrics as names
from rlhf.evaluation.comparison.compare import Difference
from rlhf.report.compared import unclear

Role = Literal[
    "base", "start", "sft", "policy", "failed", "pruned", "interrupted", "not started", "running or killed", "damaged"
]  # fmt: skip
INTERVALS_SHOWN = ("win rate", "gold gain", "accuracy")
UNCLEAR = "bright_black"  # style of a difference that may be none
CONTROLS = ("base", "start", "sft")  # rows that every other one is read against
UNFINISHED = ("failed", "pruned", "interrupted", "not started")  # how a job ended that has no numbers
WITHOUT_NUMBERS = (*UNFINISHED, "running or killed", "damaged")  # or there is no result of it, or none to be read


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One run. `note` is the reason where it failed, else a remark shown beside its name."""

    name: str
    role: Role
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    note: str
    judge: str  # whose scores its `reward` is the mean of; empty where none scored
    trained_on: str  # the weighted reward sources that taught it; empty where none did
    n: int  # held-out prompts (of a reward model: pairs) that its quality was measured on; 0 where that is not known
    tests: Mapping[str, Difference]  # by metric that compares: its paired test, corrected over the whole table


@dataclass(frozen=True, slots=True)
class Cell:
    """What a reader sees (`text`), what a program reads (`value`), and a rich style."""

    text: str
    value: str | float | None
    style: str


@dataclass(frozen=True, slots=True)
class Cells:
    """The whole table before it has a form: columns, then one line of cells per run."""

    columns: tuple[str, ...]
    lines: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    metric: names.Metric
    interval: tuple[names.Metric, names.Metric] | None  # of a comparison with the reference model
    null: float  # value of that comparison which says "no difference"
    compares: names.Metric | None = None  # what that comparison is called


_COLUMNS = (
    _Column("loss", names.FINAL_LOSS, None, 0.0),
    _Column("nll", names.FINAL_NLL, None, 0.0),
    _Column(
        "reward",
        names.FINAL_REWARD,
        (names.FINAL_REWARD_DIFFERENCE_LOW, names.FINAL_REWARD_DIFFERENCE_HIGH),
        0.0,
        names.FINAL_REWARD_DIFFERENCE,
    ),
    _Column("gold", names.FINAL_REWARD_GOLD, None, 0.0),
    _Column(
        "gold gain",
        names.FINAL_REWARD_GOLD_DIFFERENCE,
        (names.FINAL_REWARD_GOLD_DIFFERENCE_LOW, names.FINAL_REWARD_GOLD_DIFFERENCE_HIGH),
        0.0,
    ),
    _Column("accuracy", names.FINAL_ACCURACY, (names.FINAL_ACCURACY_LOW, names.FINAL_ACCURACY_HIGH), 0.5),
    _Column("by length", names.FINAL_ACCURACY_LENGTH_RULE, None, 0.0),
    _Column("by words", names.FINAL_ACCURACY_BAG_OF_WORDS, None, 0.0),
    _Column("KL", names.FINAL_KL, None, 0.0),
    _Column("win rate", names.FINAL_WIN_RATE, (names.FINAL_WIN_RATE_LOW, names.FINAL_WIN_RATE_HIGH), 0.5),
    _Column("USD", names.COST_USD, None, 0.0),
    _Column("time", names.COST_SECONDS, None, 0.0),
    _Column("memory", names.COST_PEAK_MEMORY_BYTES, None, 0.0),
)

MEASURED = {column.title for column in _COLUMNS}


def comparison_cells(rows: Sequence[ReportRow]) -> Cells:
    """The table's content. Columns: run, the settings that differ, then each metric that some run has.

    Best reward first (gold reward where no row has the judge's), unfinished runs last. A value whose 95% interval
    against the reference model includes "no difference" is grey.
    """
    varying = _varying(rows)
    used = [column for column in _COLUMNS if any(column.metric.name in row.metrics for row in rows)]
    if any(hides_accuracy(row.metrics) for row in rows):
        used = [column for column in used if column.metric is not names.FINAL_ACCURACY]
    lines = []
    for row in ordered(rows):
        style = {"failed": "red", "damaged": "red", "policy": ""}.get(row.role, "dim")
        settings = [
            Cell(_setting(row.params.get(name)), _setting(row.params.get(name)), style) for name in varying.values()
        ]
        cells = [Cell(_label(row), _label(row), style), *settings]
        lines.append((*cells, *(_cell(row, column, style) for column in used)))
    return Cells(("run", *varying, *(column.title for column in used)), tuple(lines))


def hides_accuracy(metrics: Mapping[str, float]) -> bool:
    """Whether a win rate was measured, which says more of a policy than pairs that it did not write."""
    return names.FINAL_WIN_RATE.name in metrics


def untested(rows: Sequence[ReportRow]) -> int:
    """How many comparisons of the table are told by their intervals alone."""
    shown = [column for column in _COLUMNS if column.title in comparison_cells(rows).columns]
    compared = {(column.compares or column.metric).name: column.interval for column in shown if column.interval}
    return sum(low.name in row.metrics and name not in row.tests for row in rows for name, (low, _) in compared.items())


def ordered(rows: Sequence[ReportRow]) -> list[ReportRow]:
    """The order of the lines: by reward, by gold reward or accuracy where there is none; unfinished runs last."""
    ranked = (names.FINAL_REWARD, names.FINAL_REWARD_GOLD, names.FINAL_ACCURACY)
    key = next((metric.name for metric in ranked if any(metric.name in row.metrics for row in rows)), ranked[0].name)
    return sorted(rows, key=lambda row: _rank(row, key))


def _rank(row: ReportRow, key: str) -> tuple[int, float]:
    value = row.metrics.get(key, math.nan)
    known = math.isfinite(value)
    return (2 if row.role in WITHOUT_NUMBERS else 0 if known else 1, -value if known else 0.0)


def _label(row: ReportRow) -> str:
    if row.role in WITHOUT_NUMBERS:
        return f"{row.name} ({row.role})"
    remark = ", ".join(part for part in ("control" if row.role in CONTROLS else "", row.note) if part)
    return f"{row.name} ({remark})" if remark else row.name


def _varying(rows: Sequence[ReportRow]) -> dict[str, str]:
    """Short column title -> setting, for each setting that differs between the policies (unfinished ones included)."""
    tried = [row for row in rows if row.role in ("policy", *WITHOUT_NUMBERS)]
    keys = list(dict.fromkeys(key for row in tried for key in row.params))
    varying = [key for key in keys if len({repr(row.params.get(key)) for row in tried}) > 1]
    taken = MEASURED | {"run"}
    short = [key.rsplit(".", 1)[-1] for key in varying]
    return {
        name if short.count(name) == 1 and name not in taken else key: key
        for key, name in zip(varying, short, strict=True)
    }


def _setting(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(row: ReportRow, column: _Column, style: str) -> Cell:
    value = row.metrics.get(column.metric.name)
    if value is None or (column.metric is names.FINAL_LOSS and row.role in CONTROLS):  # another objective's units
        return Cell("-", None, style)
    text = _FORMATS.get(column.title, _number)(value)
    if column.interval:
        low, high = (row.metrics.get(end.name) for end in column.interval)
        if low is not None and high is not None:
            if column.title in INTERVALS_SHOWN:
                text += f" [{_short(low)}, {_short(high)}]"
            test = row.tests.get((column.compares or column.metric).name)
            if unclear(low, high, column.null, test):  # on a control as well
                style = UNCLEAR
    return Cell(text, value, style)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 10000 else f"{value:.2e}"


def _share(value: float) -> str:
    return f"{value:.2f}"


def _gain(value: float) -> str:
    return f"{value:+.2f}"


def _short(value: float) -> str:
    """A share without its leading zero: `.57`, `-.12`; `.004` where two digits would make it none."""
    text = _share(value) if abs(value) >= 0.005 or value == 0 else f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def _usd(value: float) -> str:
    return f"{value:.2f}" if value >= 1 else f"{value:.4f}"


def duration(seconds: float) -> str:
    """`8.2 s`, `3 min`, `2.5 h`."""
    if not math.isfinite(seconds) or seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def memory(size: float) -> str:
    """`512 MiB`, `3.2 GiB`."""
    return f"{size / 2**20:.0f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"


_FORMATS = {
    "win rate": _share,
    "gold gain": _gain,
    "accuracy": _share,
    "by length": _share,
    "by words": _share,
    "USD": _usd,
    "time": duration,
    "memory": memory,
}
