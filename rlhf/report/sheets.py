"""A small table of a report that is no comparison of metrics: savings, models, goals, runtimes; in four forms.

Terminal, Markdown and the page are made from the same cells, so they can't disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Group

Tone = Literal["", "unclear", "good", "bad", "soft"]
STYLES: dict[str, str] = {"": "", "unclear": "bright_black", "good": "green", "bad": "red", "soft": "dim"}


@dataclass(frozen=True)
class SheetCell:
    """What stands in one place: `text`, and `below` it in small what explains it. `bar` is a share to draw, 0 to 1."""

    text: str
    below: str = ""
    tone: Tone = ""
    bar: float | None = None


@dataclass(frozen=True)
class SheetColumn:
    """A column: its title, what a reader who points at it is told, and whether it holds numbers."""

    title: str
    about: str = ""
    number: bool = True


@dataclass(frozen=True)
class Sheet:
    """A table with its heading; `key` names it in the page's address."""

    key: str
    title: str
    about: str
    columns: tuple[SheetColumn, ...]
    rows: tuple[tuple[SheetCell, ...], ...]
    notes: tuple[str, ...]


NOTHING = SheetCell("–", tone="soft")


def shown_columns(columns: Sequence[SheetColumn], rows: Sequence[Sequence[SheetCell]]) -> list[int]:
    """Places of the columns in which some row has something to say."""
    return [place for place in range(len(columns)) if any(row[place].text != NOTHING.text for row in rows)]


def sheet(key: str, title: str, about: str, columns: Sequence[SheetColumn], rows: Any, notes: Sequence[str]) -> Sheet:
    """Make a table of `rows` (lines of cells) without the columns that say nothing."""
    kept = shown_columns(columns, rows)
    lines = tuple(tuple(row[place] for place in kept) for row in rows)
    return Sheet(key, title, about, tuple(columns[place] for place in kept), lines, tuple(notes))


def turned(sheet: Sheet) -> Sheet:
    """The same table with its lines as columns; what stood below a line's name goes."""
    columns = (SheetColumn("", number=False), *(SheetColumn(row[0].text) for row in sheet.rows))
    lines = tuple(
        (SheetCell(column.title), *(row[place] for row in sheet.rows))
        for place, column in enumerate(sheet.columns)
        if place
    )
    return replace(sheet, columns=columns, rows=lines)


def sheet_data(sheet: Sheet) -> dict[str, Any]:
    """The table as plain data for the page."""
    return asdict(sheet)


def sheet_table(sheet: Sheet, width: int) -> Group:
    """The table for a screen of `width`: where it does not fit and its lines fit as columns, it is turned round."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    other = turned(sheet)
    if _needs(sheet) > width >= _needs(other):
        sheet = other
    table = Table(title=sheet.title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title_justify="left")
    table.title_style = "bold"
    for column in sheet.columns:
        table.add_column(Text(column.title), justify="right" if column.number else "left", overflow="fold")
    for line in sheet.rows:
        table.add_row(*(_told(cell) for cell in line))
    return Group(table, *(Text(note, style="dim") for note in (sheet.about, *sheet.notes) if note))


def _told(cell: SheetCell) -> Any:
    from rich.text import Text

    told = Text(cell.text, style=STYLES[cell.tone])
    return told.append(f"\n{cell.below}", style="dim") if cell.below else told


def _needs(sheet: Sheet) -> int:
    """Characters that its widest lines take."""
    wide = 1
    for place, column in enumerate(sheet.columns):
        wide += 2 + max(len(column.title), *(max(len(row[place].text), len(row[place].below)) for row in sheet.rows))
    return wide


def sheet_markdown(sheet: Sheet) -> str:
    """The table for a Markdown file; what may be no difference is in italics."""
    lines = [f"## {sheet.title}", "", *([sheet.about, ""] if sheet.about else [])]
    lines.append("| " + " | ".join(column.title for column in sheet.columns) + " |")
    lines.append("|" + "---|" * len(sheet.columns))
    for row in sheet.rows:
        lines.append("| " + " | ".join(_plain(cell) for cell in row) + " |")
    return "\n".join([*lines, *(["", *(f"- {note}" for note in sheet.notes)] if sheet.notes else [])]) + "\n"


def _plain(cell: SheetCell) -> str:
    text = f"{cell.text} ({cell.below})" if cell.below else cell.text
    text = text.replace("|", "\\|").replace("\n", " ")
    return f"*{text}*" if cell.tone == "unclear" else text
