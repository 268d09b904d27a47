"""The files of a report, made from what jobs left on disk: at a sweep's end, and again at any time."""

from __future__ import annotations

from pathlib import Path

from rlhf.report.html import render
from rlhf.report.record import Record, read_record
from rlhf.report.rows import build_lines
from rlhf.report.spreadsheet import write_spreadsheet
from rlhf.report.summary import reading, summarise

PAGE_NAME, SPREADSHEET_NAME = "report.html", "comparison.xlsx"


def write_report(folder: Path) -> list[Path]:
    """Write `report.html` and `comparison.xlsx` into a sweep's (or a run's) folder, and return them.

    Reads only the folder's own files, so it works on a sweep that is partial, old or still running. Raises
    `FileNotFoundError` where no job left anything.
    """
    return write_pages(read_record([folder]), folder / PAGE_NAME)


def write_pages(record: Record, page: Path) -> list[Path]:
    """Write the page of a record, and its spreadsheet beside it."""
    page.parent.mkdir(parents=True, exist_ok=True)
    _replace(page, render(summarise(record)))
    lines = build_lines(record.jobs)
    book = page.with_name(SPREADSHEET_NAME if page.name == PAGE_NAME else f"{page.stem}.xlsx")
    return [page, write_spreadsheet(lines, record.jobs, reading(record.jobs, lines), book)]


def _replace(file: Path, text: str) -> None:
    """Write it whole or not at all: who has the old page open sees no half of the new one."""
    new = file.with_name(file.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)
