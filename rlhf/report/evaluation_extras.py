"""Tables that a suite gives beside its scores (confusion matrix, latencies), small enough for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from rlhf.report.shown import plain

ROWS = 20  # of one table; the page shows all


def extra_tables(data: Mapping[str, Any], suite: str, width: int) -> list[Table]:
    """Return a suite's further tables, of the last policy among the speakers (where there is none, of the last one)."""
    told = data["suites"][suite]["tables"]
    return [made for title, by_speaker in told.items() if (made := _of(data, title, by_speaker, width)) is not None]


def _of(data: Mapping[str, Any], title: str, by_speaker: Mapping[str, Any], width: int) -> Table | None:
    having = [speaker for speaker in data["speakers"] if speaker["name"] in by_speaker]
    if not having:
        return None
    shown = next((one for one in reversed(having) if one["role"] == "policy"), having[-1])
    table = by_speaker[shown["name"]]
    others = f"; {len(having) - 1} more in the page" if len(having) > 1 else ""
    return _table(f"{title}: {shown.get('label') or shown['name']}{others}", table["columns"], table["rows"], width)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> Table:
    texts = [[_text(cell) for cell in row] for row in rows[:ROWS]]
    heads, keys = _heads(columns, texts, width)
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, head in enumerate(heads):
        number = all(_is_number(row[place]) for row in rows)
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    for key, row in zip(keys, texts, strict=True):
        table.add_row(*(Text(cell) for cell in (f"{key}{row[0]}", *row[1:])))
    if len(rows) > ROWS:
        table.caption, table.caption_justify = Text(f"{len(rows) - ROWS} more rows in the page", style="dim"), "left"
    return table


def _heads(columns: Sequence[str], texts: Sequence[Sequence[str]], width: int) -> tuple[list[str], list[str]]:
    """The columns' heads and what stands before each row: numbers in place of long names that are rows as well."""
    need = sum(2 + max(len(column), *(len(row[place]) for row in texts), 1) for place, column in enumerate(columns))
    names = [row[0] for row in texts]
    if need <= width or not any(column in names for column in columns[1:]):
        return list(columns), [""] * len(texts)
    numbers = {name: str(place) for place, name in enumerate(columns[1:], start=1)}
    keys = [f"{numbers[name]} " if name in numbers else "" for name in names]
    return [columns[0], *(numbers[name] if name in names else name for name in columns[1:])], keys


def _is_number(cell: Any) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    return plain(cell) if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else str(cell)
