"""The comparison of runs: one row each, best first, with the controls that every number is to be read against.

Terminal, Markdown and CSV are made from the same cells, so they can't disagree.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rlhf.evaluation import metrics as names

if TYPE_CHECKING:
    from rich.table import Table

Role = Literal["base", "start", "sft", "policy", "failed", "interrupted", "not started"]
INTERVALS_SHOWN = ("win rate", "gold gain", "accuracy")
UNCLEAR = "bright_black"  # style of a difference that may be none
CONTROLS = ("base", "start", "sft")  # rows that every other one is read against
UNFINISHED = ("failed", "interrupted", "not started")  # rows without numbers
# first to go from a narrow screen
SPARE = ("nll", "loss", "memory", "by length", "by words", "time", "USD", "reward", "gold", "KL")


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One run. `note` is the reason where it failed, else a remark shown beside its name."""

    name: str
    role: Role
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    note: str


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


_COLUMNS = (
    _Column("loss", names.FINAL_LOSS, None, 0.0),
    _Column("nll", names.FINAL_NLL, None, 0.0),
    _Column("reward", names.FINAL_REWARD, (names.FINAL_REWARD_DIFFERENCE_LOW, names.FINAL_REWARD_DIFFERENCE_HIGH), 0.0),
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


def comparison_cells(rows: Sequence[ReportRow]) -> Cells:
    """The table's content. Columns: run, the settings that differ, then each metric that some run has.

    Best reward first (gold reward where no row has the judge's), unfinished runs last. A value whose 95% interval
    against the reference model includes "no difference" is grey.
    """
    ordered = _ordered(rows)
    varying = _varying(rows)
    used = [column for column in _COLUMNS if any(column.metric.name in row.metrics for row in rows)]
    if any(
        column.metric is names.FINAL_WIN_RATE for column in used
    ):  # says more of a policy than pairs it did not write
        used = [column for column in used if column.metric is not names.FINAL_ACCURACY]
    lines = []
    for row in ordered:
        style = {"failed": "red", "policy": ""}.get(row.role, "dim")
        settings = [
            Cell(_setting(row.params.get(name)), _setting(row.params.get(name)), style) for name in varying.values()
        ]
        cells = [Cell(_label(row), _label(row), style), *settings]
        lines.append((*cells, *(_cell(row, column, style) for column in used)))
    return Cells(("run", *varying, *(column.title for column in used)), tuple(lines))


def comparison_table(rows: Sequence[ReportRow], title: str, width: int) -> Table:
    """A rich table for a screen of `width`. Controls are dim, failures red, unclear differences grey.

    No number is ever cut: columns that do not fit are left out, the least telling first, and named below the table.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells, left_out = _fitting(comparison_cells(rows), width)
    table = Table(
        title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title_justify="left", title_style="bold"
    )
    measured = {column.title for column in _COLUMNS}
    for index, column in enumerate(cells.columns):
        number = index > 0 and column in measured
        table.add_column(
            column if number else _stacked(column),
            justify="right" if number else "left",
            no_wrap=index > 0,
            overflow="fold",
            vertical="bottom",
        )
    for line in cells.lines:
        table.add_row(*(Text(cell.text, style=cell.style) for cell in line))
    notes = []
    if "gold gain" in cells.columns:
        notes.append(
            Text("gold gain: over the model it started from, same prompts, with its 95% interval", style="dim")
        )
    notes += [Text(f"{row.name} failed: {row.note}", style="red") for row in rows if row.role == "failed"]
    if any(cell.style == UNCLEAR for line in cells.lines for cell in line):
        notes.append(Text("grey: the 95% interval against the reference model includes no difference", style="dim"))
    if left_out:
        notes.append(Text(f"a wider screen also shows {', '.join(left_out)}", style="dim"))
    table.caption = Text("\n").join(notes) if notes else None
    table.caption_justify = "left"
    return table


def _stacked(column: str) -> str:
    """A setting's name over several lines."""
    return column.replace("_", "_\n").replace(".", ".\n")


def _fitting(cells: Cells, width: int) -> tuple[Cells, list[str]]:
    """Take out columns, the least telling first, until each line fits in `width`; return what is left and what went."""
    need = {
        column: 2 + max(map(len, [*_stacked(column).split("\n"), *(line[place].text for line in cells.lines)]))
        for place, column in enumerate(cells.columns)
    }
    left_out: list[str] = []
    for column in SPARE:
        if 1 + sum(need.values()) > width and column in need:
            del need[column]
            left_out.append(column)
    kept = [place for place, column in enumerate(cells.columns) if column in need]
    lines = tuple(tuple(line[place] for place in kept) for line in cells.lines)
    return Cells(tuple(cells.columns[place] for place in kept), lines), left_out


def to_markdown(rows: Sequence[ReportRow]) -> str:
    """The same table for a report; what may be no difference is in italics, failures are explained."""
    cells = comparison_cells(rows)
    lines = ["| " + " | ".join(cells.columns) + " |", "|" + "---|" * len(cells.columns)]
    for line in cells.lines:
        texts = [f"*{cell.text}*" if cell.style == UNCLEAR else cell.text for cell in line]
        lines.append("| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |")
    failed = [f"- {row.name} failed: {row.note}" for row in rows if row.role == "failed"]
    return "\n".join([*lines, *(["", *failed] if failed else [])]) + "\n"


def to_csv(rows: Sequence[ReportRow]) -> str:
    """The same table for a program: full precision, seconds and bytes as numbers, unknown values empty."""
    cells = comparison_cells(rows)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    reasons = [row.note for row in _ordered(rows) if row.role in UNFINISHED]
    reasons = [""] * (len(rows) - len(reasons)) + reasons  # they come last
    writer.writerow([*cells.columns, "failure"])
    for line, reason in zip(cells.lines, reasons, strict=True):
        writer.writerow([*("" if cell.value is None else cell.value for cell in line), reason])
    return stream.getvalue()


def _ordered(rows: Sequence[ReportRow]) -> list[ReportRow]:
    ranked = (names.FINAL_REWARD, names.FINAL_REWARD_GOLD, names.FINAL_ACCURACY)
    key = next((metric.name for metric in ranked if any(metric.name in row.metrics for row in rows)), ranked[0].name)
    return sorted(rows, key=lambda row: _rank(row, key))


def _rank(row: ReportRow, key: str) -> tuple[int, float]:
    value = row.metrics.get(key, math.nan)
    known = math.isfinite(value)
    return (2 if row.role in UNFINISHED else 0 if known else 1, -value if known else 0.0)


def _label(row: ReportRow) -> str:
    if row.role in UNFINISHED:
        return f"{row.name} ({row.role})"
    remark = ", ".join(part for part in ("control" if row.role in CONTROLS else "", row.note) if part)
    return f"{row.name} ({remark})" if remark else row.name


def _varying(rows: Sequence[ReportRow]) -> dict[str, str]:
    """Short column title -> setting, for each setting that differs between the policies (unfinished ones included)."""
    tried = [row for row in rows if row.role in ("policy", *UNFINISHED)]
    keys = list(dict.fromkeys(key for row in tried for key in row.params))
    varying = [key for key in keys if len({repr(row.params.get(key)) for row in tried}) > 1]
    taken = {column.title for column in _COLUMNS} | {"run"}
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
            if low <= column.null <= high and not style:
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
    """A share without its leading zero: `.57`, `-.12`."""
    return _share(value).replace("0.", ".", 1) if abs(value) < 1 else _share(value)


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
