"""The comparison of runs: one row each, best first, with the controls that every number is to be read against.

Terminal, Markdown and CSV are made from the same cells, so they can't disagree.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rlhf.evaluation.comparison.compare import LEVEL
from rlhf.report.cells import MEASURED, UNCLEAR, WITHOUT_NUMBERS, Cells, ReportRow, comparison_cells, ordered, untested
from rlhf.report.compared import COMPARED, COUNTED, number_of_tests, told

if TYPE_CHECKING:
    from rich.console import Group

# first to go from a narrow screen
SPARE = ("nll", "loss", "memory", "by length", "by words", "time", "USD", "reward", "gold", "KL")
MARK = "~"  # of an unclear difference, for eyes and files without colour
WIDEST_SETTING = 40  # a longer value, such as a mapping of rewards, goes on in the next line


def comparison_table(rows: Sequence[ReportRow], title: str, width: int, facts: Sequence[str]) -> Group:
    """A table with notes for a screen of `width`. Controls are dim, failures red, unclear differences grey and marked.

    No number is ever cut: columns that do not fit are left out, the least telling first, and named below the table,
    where the `facts` about how to read it stand as well.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    cells, left_out = _fitting(_marked(comparison_cells(rows)), width)
    table = Table(
        title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title_justify="left", title_style="bold"
    )
    for index, column in enumerate(cells.columns):
        number = index > 0 and column in MEASURED
        table.add_column(
            Text(column, justify="right") if number else _stacked(column),
            justify="right" if number and not any(line[index].text.endswith(" ") for line in cells.lines) else "left",
            no_wrap=index > 0 and max((len(line[index].text) for line in cells.lines), default=0) <= WIDEST_SETTING,
            overflow="fold",
            vertical="bottom",
        )
    for line in cells.lines:
        table.add_row(*(Text(cell.text, style=cell.style) for cell in line))
    notes = [Text(fact, style="dim") for fact in facts]
    if "gold gain" in cells.columns:
        notes.append(
            Text("gold gain: over the model it started from, same prompts, with its 95% interval", style="dim")
        )
    notes += [Text(told, style="red") for told in _failures(rows)]
    if told := tested(rows, MARK):
        notes.append(Text(told, style="dim"))
    if left_out:
        notes.append(Text(f"a wider screen also shows {', '.join(left_out)}", style="dim"))
    return Group(table, *notes)  # a caption would be as narrow as the table


def tested(rows: Sequence[ReportRow], mark: str) -> str:
    """Say what `mark` stands for and by what tests that was told; empty where nothing is compared."""
    number, alone = number_of_tests([row.tests for row in rows]), untested(rows)
    some = any(cell.style == UNCLEAR for line in comparison_cells(rows).lines for cell in line)
    if not number:
        return f"{mark}: the 95% interval includes no difference; not tested, without scores of single prompts" * some
    names = {one.test.partition(",")[0] for row in rows for one in row.tests.values()}
    by = f"{' and '.join(sorted(names))} (Holm-corrected for {number})"
    rest = f"; {alone} more by the interval alone, not tested" if alone else ""
    if not some:
        return f"every comparison is clear: its 95% interval leaves out no difference, p < {LEVEL} by {by}{rest}"
    return f"{mark}: no clear difference: the 95% interval includes none, or p >= {LEVEL} by {by}{rest}"


def _failures(rows: Sequence[ReportRow]) -> list[str]:
    """Why jobs have no numbers, each sentence once; that one still runs is told in its row."""
    told = [f"{row.name} {row.role}: {row.note}" for row in rows if row.role in ("failed", "damaged")]
    return list(dict.fromkeys(told))


def _marked(cells: Cells) -> Cells:
    """Put the mark behind unclear differences, and in front of a column's texts what keeps them below one another."""
    columns = []
    for title, column in zip(cells.columns, zip(*cells.lines, strict=True), strict=False):
        if any(cell.style == UNCLEAR for cell in column):
            wide = max(len(title) - len(MARK), *(len(cell.text) for cell in column))
            texts = [cell.text.rjust(wide) + (MARK if cell.style == UNCLEAR else " " * len(MARK)) for cell in column]
            column = tuple(replace(cell, text=text) for cell, text in zip(column, texts, strict=True))
        columns.append(column)
    return Cells(cells.columns, tuple(zip(*columns, strict=True)))


def _stacked(column: str) -> str:
    """A setting's name over several lines."""
    return column.replace("_", "_\n").replace(".", ".\n")


def _fitting(cells: Cells, width: int) -> tuple[Cells, list[str]]:
    """Take out columns, the least telling first, until each line fits in `width`; return what is left and what went."""
    need = {}
    for place, column in enumerate(cells.columns):
        longest = max((len(line[place].text) for line in cells.lines), default=0)
        longest = longest if column in MEASURED else min(longest, WIDEST_SETTING)
        need[column] = 2 + max(longest, *map(len, _stacked(column).split("\n")))
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
    failed = [f"- {told}" for told in _failures(rows)]
    return "\n".join([*lines, *(["", *failed] if failed else [])]) + "\n"


def to_csv(rows: Sequence[ReportRow]) -> str:
    """The same table for a program: full precision, seconds and bytes as numbers, unknown values empty.

    Behind the numbers whose scores the reward is and what taught the run, where one of them has an answer to it, and
    what each comparison rests on.
    """
    cells = comparison_cells(rows)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    more = {"judge": [row.judge for row in ordered(rows)], "trained on": [row.trained_on for row in ordered(rows)]}
    more = {title: words for title, words in more.items() if any(words)}
    more |= _compared(ordered(rows))
    more["failure"] = [row.note if row.role in WITHOUT_NUMBERS else "" for row in ordered(rows)]
    writer.writerow([*cells.columns, *more])
    for line, *words in zip(cells.lines, *more.values(), strict=True):
        writer.writerow(["" if value is None else value for value in (*(cell.value for cell in line), *words)])
    return stream.getvalue()


def _told(row: ReportRow, name: str) -> str | None:
    low, high = (row.metrics.get(f"{name}_{end}") for end in ("low", "high"))
    null = 0.5 if name in COUNTED else 0.0
    return None if low is None or high is None else told(low, high, null, row.tests.get(name))


def _compared(rows: Sequence[ReportRow]) -> dict[str, list[Any]]:
    """Columns of what the comparisons rest on: n, and of each its interval and its corrected p value."""
    columns: dict[str, list[Any]] = {"n": [row.n or None for row in rows]}
    shown = comparison_cells(rows).columns
    for name, title in COMPARED.items():
        if title in MEASURED and title not in shown:
            continue
        if title not in MEASURED:
            columns[title] = [row.metrics.get(name) for row in rows]
        for end in ("low", "high"):
            columns[f"{title} {end}"] = [row.metrics.get(f"{name}_{end}") for row in rows]
        columns[f"{title} n"] = [row.tests[name].n if name in row.tests else None for row in rows]
        columns[f"{title} p (Holm)"] = [row.tests[name].p_holm if name in row.tests else None for row in rows]
        columns[f"{title} is"] = [_told(row, name) for row in rows]
    return {title: values for title, values in columns.items() if any(value is not None for value in values)}
