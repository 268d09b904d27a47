"""JSON files that are one object of records by their ids, as databases export them and MultiWOZ and CrossWOZ come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def keyed(whole: Any) -> dict[str, dict[str, Any]] | None:
    """Return id -> record of `{"id": {...}, ...}`, also where it lies under one name: `{"feedback": {"id": {...}}}`.

    None for anything else: an object whose values are not all objects is a record itself.
    """
    if not isinstance(whole, Mapping) or not whole or not all(isinstance(one, Mapping) for one in whole.values()):
        return None
    if len(whole) == 1 and (below := keyed(next(iter(whole.values())))) is not None:
        return below
    return {str(key): dict(record) for key, record in whole.items()}
