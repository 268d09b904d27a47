"""The word lists of the cleaning steps, from `tables.yaml`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def tables() -> dict[str, Any]:
    """Return all of them by name."""
    read: dict[str, Any] = yaml.safe_load((files(__package__) / "tables.yaml").read_text(encoding="utf-8"))
    return read


def words(name: str) -> frozenset[str]:
    """Return a list of words."""
    return frozenset(tables()[name].split())
