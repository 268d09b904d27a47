"""The files of a report, made from what jobs left on disk: at a sweep's end, and again at any time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.errors import UserError
from rlhf.report.extras import tables_beside
from rlhf.report.goals import Verdict
from rlhf.report.html import NO_SCRIPT, render
from rlhf.report.outcome import facts_of, notes_of, report_rows, without_effect
from rlhf.report.record import Record, read_record
from rlhf.report.rows import Lines, build_lines
from rlhf.report.sheets import sheet_markdown
from rlhf.report.spreadsheet import write_spreadsheet
from rlhf.report.summary import reading, summarise
from rlhf.report.table import tested, to_csv, to_markdown
from rlhf.report.trials import trials_sheets

PAGE_NAME, TABLE_NAME = "report.html", "comparison"
BESIDE = (".xlsx", ".md", ".csv")  # files of the same report beside its page
LEGEND = "Gains, KL and win rates are over the model a run started from."


def write_report(folder: Path) -> list[Path]:
    """Write `report.html` and `comparison.xlsx` into a sweep's (or a run's) folder, and return them.

    Of a sweep that has ended, by itself or by a signal. Reads only the folder's own files. Raises `FileNotFoundError`
    where no job left anything.
    """
    record = read_record([folder], ended=True)
    return write_pages(record, build_lines(record.jobs), folder / PAGE_NAME)


def write_pages(record: Record, lines: Lines, page: Path, goals: Sequence[Verdict] = ()) -> list[Path]:
    """Write the page of a record and the `lines` of its comparison, and the spreadsheet beside it.

    `goals` are verdicts on goals that were asked for.
    """
    page.parent.mkdir(parents=True, exist_ok=True)
    _replace(page, render(summarise(record, lines, goals)))
    book = _beside(page, ".xlsx")
    return [page, write_spreadsheet(lines, record.jobs, reading(record.jobs, lines), book, goals)]


def write_tables(record: Record, lines: Lines, page: Path, goals: Sequence[Verdict] = ()) -> list[Path]:
    """Write the comparison, one line per job, as Markdown and CSV beside the page; Markdown with the tables beside."""
    files = tables([dict(job.outcome) for job in record.jobs])
    beside = [*trials_sheets(record.searches), *tables_beside(record.jobs, lines, goals)]
    files[".md"] += "".join(f"\n{sheet_markdown(sheet)}" for sheet in beside)
    for ending, text in files.items():
        _replace(_beside(page, ending), text)
    return [_beside(page, ending) for ending in files]


def tables(outcomes: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The comparison, one line per job, as Markdown and CSV: ending of the file -> text."""
    rows = report_rows(outcomes)
    legend = filter(None, (LEGEND, tested(rows, "*italics*")))
    told = (*facts_of(outcomes), *legend, *without_effect(outcomes), *notes_of(outcomes))
    return {".md": to_markdown(rows) + "".join(f"\n- {line}" for line in told) + "\n", ".csv": to_csv(rows)}


def refuse_foreign(page: Path) -> None:
    """Raise `UserError` where a report named `page` would replace a file that no report of ours stands for.

    Where the page is one of ours, the tables beside it are taken for its own.
    """
    if page.is_file() and NO_SCRIPT.encode() in page.read_bytes():
        return
    for file in (page, *(_beside(page, ending) for ending in BESIDE)):
        if file.exists():
            remedy = "Name another --output, or move the file away"
            raise UserError(str(file), "is there already and is not from an earlier report of this name", remedy)


def _beside(page: Path, ending: str) -> Path:
    return page.with_name((TABLE_NAME if page.name == PAGE_NAME else page.stem) + ending)


def _replace(file: Path, text: str) -> None:
    """Write it whole or not at all: who has the old page open sees no half of the new one."""
    new = file.with_name(file.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)
