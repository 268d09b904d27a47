"""The known formats by name, each a module of this package that is imported when it is first asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Literal

from rlhf.data.rows import Drop, Parts, Row
from rlhf.dataset_spec import FILE_FORMATS, FileDataset
from rlhf.errors import UserError

FORMATS = FILE_FORMATS
Reader = Callable[[Mapping[str, Any], FileDataset], Row | list[Row] | Parts]
MAPPED = "table"  # the format whose columns the user names: it looks like nothing by itself


@cache
def reader(name: str) -> Reader:
    """Return the function that reads one record of a format."""
    found: Reader = import_module(f"rlhf.data.{name}").rows
    return found


def hint(raw: Mapping[str, Any], spec: FileDataset) -> str:
    """Say which known formats a record could be in: those that make a row of it, else those that drop it as theirs."""
    found = {name: _fits(name, raw) for name in FORMATS if name not in (MAPPED, spec.format)}
    alike = [name for name, fit in found.items() if fit == "rows"] or [name for name, fit in found.items() if fit]
    if alike:
        path, (first, *others) = spec.path or "FILE", alike
        what = "format" if not others else "formats"
        also = "".join(f", or dataset={name}" for name in others)
        return f"It looks like the {what} {' or '.join(alike)}: use dataset={first} dataset.path={path}{also}"
    columns = "dataset.columns='{prompt: question, completion: answer}'"
    if spec.format == MAPPED:
        return f"Mend the row, or name the columns that there are: {columns}"
    return f"Use dataset=table and name the columns, say {columns}"


# settings to try a record with; none of them decides whether it is in a format
_TRIAL: Any = SimpleNamespace(
    turns="last", comparisons="all", api_calls="keep", placeholders="keep", placeholder_seed=0
)


def _tagged(raw: Mapping[str, Any]) -> bool:
    return str(raw.get("chosen")).startswith("Assistant:")


def _numbered_service(raw: Mapping[str, Any]) -> bool:
    return bool(re.search(r"_\d", str(raw.get("services"))))


_TELL: dict[str, Callable[[Mapping[str, Any]], bool]] = {  # formats of equal columns, and what tells them apart
    "rm_single_context": _tagged,
    "ultrafeedback_binarized": lambda raw: not _tagged(raw),
    "sgd_travel": _numbered_service,
    "multiwoz": lambda raw: not _numbered_service(raw),
}


def _fits(name: str, raw: Mapping[str, Any]) -> Literal["rows", "dropped", ""]:
    if name in _TELL and not _TELL[name](raw):
        return ""
    try:
        made = reader(name)(raw, _TRIAL)
    except Drop:
        return "" if name == "hh_rlhf" else "dropped"  # that one drops any two texts
    except UserError:
        return ""
    return "rows" if not isinstance(made, Parts) or made.rows else "dropped"
