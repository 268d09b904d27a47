"""The columns of the raw records, as they lie in the file or on the hub: types, nulls, empties, lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rlhf.data.files import Record
from rlhf.errors import UserError

NAMES = {str: "text", bool: "true/false", int: "number", float: "number", list: "list", dict: "object"}
MANY = 200  # columns, beyond which keys are data, not names


@dataclass
class _Column:
    types: Counter[str] = field(default_factory=Counter)
    seen: int = 0
    nulls: int = 0
    empties: int = 0
    characters: int = 0  # of its texts
    longest: int = 0

    def add(self, value: Any) -> None:
        self.seen += 1
        if value is None:
            self.nulls += 1
            return
        self.types[NAMES.get(type(value), type(value).__name__)] += 1
        if isinstance(value, str):
            self.empties += not value.strip()
            self.characters += len(value)
            self.longest = max(self.longest, len(value))
        elif isinstance(value, list | dict):
            self.empties += not value


def schema(records: Iterable[Record]) -> dict[str, Any]:
    """Go through the records once; returns their number, how many could not be read, and a line for each column.

    A null is a value that is not there or is null, an empty one blank text or a list or object of nothing.
    """
    columns: dict[str, _Column] = {}
    number = unreadable = 0
    for _, raw in records:
        number += 1
        if isinstance(raw, UserError):
            unreadable += 1
            continue
        _look(raw, columns)
    read = number - unreadable
    return {
        "records": number,
        "unreadable": unreadable,
        "columns": [_line(name, column, read) for name, column in columns.items()],
    }


def _look(raw: Mapping[str, Any], columns: dict[str, _Column]) -> None:
    for name, value in raw.items():
        if name not in columns and len(columns) == MANY:
            name = "(other columns)"
        columns.setdefault(str(name), _Column()).add(value)


def _line(name: str, column: _Column, records: int) -> dict[str, Any]:
    texts = column.types["text"]
    return {
        "column": name,
        "types": dict(column.types.most_common()),
        "nulls": column.nulls + max(0, records - column.seen),
        "empties": column.empties,
        "mean_characters": column.characters / texts if texts else None,
        "longest": column.longest if texts else None,
    }
