"""The word lists of the cleaning steps, from `tables.yaml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def tables() -> dict[str, Any]:
    """Return all of them by name."""
    read: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return read


def words(name: str) -> frozenset[str]:
    """Return a list of words."""
    return frozenset(tables()[name].split())
