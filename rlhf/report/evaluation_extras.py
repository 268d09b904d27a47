"""Tables that a suite gives beside its scores (confusion matrix, latencies), small enough for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from rlhf.report.data_table import spark
from rlhf.report.evaluation_cells import written

LONGEST = 60  # characters of a cell
ROWS = 20  # of one table; the page shows all


def extra_tables(data: Mapping[str, Any], suite: str, width: int) -> list[RenderableType]:
    """Return a suite's further tables, of the last policy among the speakers (where there is none, of the last one)."""
    told = data["suites"][suite]["tables"]
    return [part for title, by_speaker in told.items() for part in _of(data, title, by_speaker, width)]


def _of(data: Mapping[str, Any], title: str, by_speaker: Mapping[str, Any], width: int) -> list[RenderableType]:
    having = [speaker for speaker in data["speakers"] if speaker["name"] in by_speaker]
    if not having:
        return []
    shown = next((one for one in reversed(having) if one["role"] == "policy"), having[-1])
    table = by_speaker[shown["name"]]
    others = f" ({len(having) - 1} more in the page)" if len(having) > 1 else ""
    head = Text.assemble((title, "bold"), (f" of {shown.get('label') or shown['name']}{others}", "dim"))
    if is_histogram(table["columns"]) and table["rows"]:
        return [head, _in_one_line(table["columns"], table["rows"]), Text()]
    if any(len(str(cell)) > LONGEST for row in table["rows"] for cell in row):
        return [
            Text.assemble((title, "bold"), (": texts too long for a table here; the page shows them", "dim")),
            Text(),
        ]
    return [head, _table(table["columns"], table["rows"], width)]


def is_histogram(columns: Sequence[str]) -> bool:
    """Whether a table's rows are bars: from, to, count."""
    return len(columns) == 3 and columns[0].startswith("from") and columns[1].startswith("to")


def _in_one_line(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Text:
    unit, counts = columns[0].removeprefix("from").strip(), [int(row[2]) for row in rows]
    return Text(f" {_text(rows[0][0])} {spark(counts)} {_text(rows[-1][1])} {unit}, n {sum(counts):,}")


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> Table:
    texts = [[_text(cell) for cell in row] for row in rows[:ROWS]]
    heads, keys = _heads(columns, texts, width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for place, head in enumerate(heads):
        number = all(_is_number(row[place]) for row in rows)
        words = head.replace(" ", "\n") if number else head  # a narrow column of numbers under a long name
        table.add_column(words, justify="right" if number else "left", overflow="fold", no_wrap=number)
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
    return written(cell)[0] if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else str(cell)
