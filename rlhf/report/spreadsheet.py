"""The comparison as a spreadsheet: settings that vary by metrics, with intervals, numbers as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.report.compared import told
from rlhf.report.goals import Verdict
from rlhf.report.outcome import asked
from rlhf.report.record import JobRecord
from rlhf.report.rows import Line, Lines, command_of
from rlhf.report.shown import Shown

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

FORMATS = {"text": "@", "number": "0.000", "money": "$#,##0.0000", "seconds": "0.0", "bytes": "#,##0"}
UNITS = {"seconds": " (s)", "bytes": " (bytes)"}
WIDEST = 60  # characters of a column


def write_spreadsheet(
    lines: Lines, jobs: Sequence[JobRecord], notes: Sequence[str], path: Path, goals: Sequence[Verdict] = ()
) -> Path:
    """Write the sheets to `path` and return it: a line per setting, per job, per goal; and how to read them."""
    from openpyxl import Workbook

    book = Workbook()
    comparison = book.active
    assert comparison is not None
    comparison.title = "comparison"
    _comparison(comparison, lines)
    _jobs(book.create_sheet("jobs"), lines, jobs)
    if goals:
        _goals(book.create_sheet("goals"), goals)
    sheet = book.create_sheet("notes")
    sheet.append(["column", "meaning", "unit", "estimator", "better"])
    for shown in lines.columns:
        metric = shown.metric
        sheet.append([shown.title, metric.meaning, metric.unit, metric.estimator, metric.better or "neither"])
    sheet.append([])
    for note in notes:
        sheet.append([safe(note)])
    for each in book.worksheets:
        _dress(each)
    new = path.with_name(f"{path.name}.new")  # who looks at it finds the old one or the new one
    book.save(new)
    new.replace(path)
    return path


def _comparison(sheet: Worksheet, lines: Lines) -> None:
    """One line per group of seeds or control; a metric with an interval anywhere brings its low and high.

    It has the metrics that the page shows first; the sheet of jobs has all.
    """
    chosen = [shown for shown in lines.columns if shown.first]
    intervals = {
        shown.title for shown in chosen if any(_cell(line, shown) and _low(line, shown) for line in lines.lines)
    }
    compared = {shown.title for shown in chosen if shown.null is not None and shown.title in intervals}
    head = ["run", "role", *lines.params.values(), "seeds", "n"]
    for shown in chosen:
        head += [shown.title + UNITS.get(shown.what, "")]
        head += [f"{shown.title} low", f"{shown.title} high"] if shown.title in intervals else []
        if shown.title in compared:
            head += [f"{shown.title} n", f"{shown.title} p (Holm)", f"{shown.title} is"]
    sheet.append([*head, "on the front", "failure"])
    for line in lines.lines:
        values: list[Any] = [line.label, line.role, *(number(line.params.get(key)) for key in lines.params)]
        values += [len(line.seeds), line.n or None]
        kinds: list[str] = []
        for shown in chosen:
            cell = _cell(line, shown)
            own = [cell.value, cell.low, cell.high] if cell else [None, None, None]
            own = own if shown.title in intervals else own[:1]
            values += [finite(value) for value in own]
            kinds += [shown.what] * len(own)
            if shown.title in compared:
                values += _verdict(line, shown)
                kinds += ["bytes", "number", "text"]
        sheet.append([safe(value) for value in [*values, "yes" if line.front else None, line.note or None]])
        for place, kind in enumerate(kinds, start=5 + len(lines.params)):
            sheet.cell(sheet.max_row, place).number_format = FORMATS[kind]


def _verdict(line: Line, shown: Shown) -> list[Any]:
    """On how many prompts or pairs a comparison was tested, its corrected p value and what it is called."""
    cell, test = line.cells.get(shown.metric.name), line.tests.get(shown.metric.name)
    if cell is None or cell.low is None or cell.high is None or shown.null is None:
        return [None, None, None]
    return [test.n if test else None, test.p_holm if test else None, told(cell.low, cell.high, shown.null, test)]


def _jobs(sheet: Worksheet, lines: Lines, jobs: Sequence[JobRecord]) -> None:
    """One line per job with its seed, every metric of the page, and the command that runs it again."""
    shown = lines.columns
    titles = [column.title + UNITS.get(column.what, "") for column in shown]
    sheet.append(["job", "run", "status", *lines.params.values(), "seed", "n", *titles, "command", "failure"])
    for job in jobs:
        metrics = job.outcome["metrics"]
        own = [number(job.value(key)) for key in (*lines.params, "seed")]
        values = [finite(metrics.get(column.metric.name)) for column in shown]
        ends = [command_of(job), str(job.outcome["error"]) or None]
        line = [
            job.number,
            job.outcome["name"],
            job.outcome["status"],
            *own,
            asked(job.outcome) or None,
            *values,
            *ends,
        ]
        sheet.append([safe(value) for value in line])
        for place, column in enumerate(shown, start=6 + len(lines.params)):
            sheet.cell(sheet.max_row, place).number_format = FORMATS[column.what]


def _goals(sheet: Worksheet, goals: Sequence[Verdict]) -> None:
    """One line per run and goal, with the answer and the number or the reason behind it."""
    sheet.append(["run", "goal", "metric", "wanted", "answer", "told by"])
    for one in goals:
        line = [one.run, one.goal.name, one.goal.metric, one.goal.wanted, one.word, one.told or None]
        sheet.append([safe(value) for value in line])


def number(text: str | None) -> float | int | str | None:
    """A setting as a number where it is one, so that a spreadsheet sorts and plots it."""
    if text is None:
        return None
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text


def finite(value: float | None) -> float | str | None:
    """A number, or the word for what a cell cannot hold."""
    return value if value is None or math.isfinite(value) else str(value)


def safe(value: Any) -> Any:
    """Text that no spreadsheet takes for a formula, without the control characters that its format forbids."""
    if not isinstance(value, str):
        return value
    clean = "".join(letter for letter in value if letter >= " " or letter in "\t\n")
    return f"'{clean}" if clean.startswith(("=", "+", "-", "@")) else clean


def _cell(line: Line, shown: Shown) -> Any:
    return line.cells.get(shown.metric.name)


def _low(line: Line, shown: Shown) -> bool:
    return line.cells[shown.metric.name].low is not None


def _dress(sheet: Worksheet) -> None:
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter

    for cell in sheet[1]:
        cell.font, cell.alignment = Font(bold=True), Alignment(wrap_text=True, vertical="top")
    sheet.freeze_panes = "B2"
    for place, column in enumerate(sheet.columns, start=1):
        texts = [f"{cell.value:.4g}" if isinstance(cell.value, float) else str(cell.value or "") for cell in column]
        wide = max(map(len, texts))
        sheet.column_dimensions[get_column_letter(place)].width = min(WIDEST, max(9, wide + 2))
