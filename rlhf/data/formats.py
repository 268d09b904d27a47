"""The known formats by name, each a module of this package that is imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, get_args

from rlhf.config import FileDataset
from rlhf.data.rows import Drop, Parts, Row
from rlhf.errors import UserError

FORMATS: tuple[str, ...] = get_args(FileDataset.model_fields["format"].annotation)
Reader = Callable[[Mapping[str, Any], FileDataset], Row | list[Row] | Parts]
MAPPED = "table"  # the format whose columns the user names: it looks like nothing by itself


@cache
def reader(name: str) -> Reader:
    """Return the function that reads one record of a format."""
    found: Reader = import_module(f"rlhf.data.{name}").rows
    return found


def hint(raw: Mapping[str, Any], spec: FileDataset) -> str:
    """Say which known format the columns of a record look like."""
    alike = [name for name in FORMATS if name not in (MAPPED, spec.format) and _fits(name, raw, spec)]
    if alike:
        return f"It looks like the format {alike[0]}: use dataset={alike[0]} dataset.path={spec.path or 'FILE'}"
    return "Use dataset=table and name the columns, say dataset.columns='{prompt: question, completion: answer}'"


def _fits(name: str, raw: Mapping[str, Any], spec: FileDataset) -> bool:
    if name == "rm_single_context" and not str(raw.get("chosen")).startswith("Assistant:"):
        return False  # its columns are ultrafeedback's as well; the answers tell them apart
    try:
        reader(name)(raw, spec)
    except (Drop, UserError):
        return False
    return True
