"""Reading the rows of `kind: linear`: texts, each marked +1 or -1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.data import columns
from rlhf.data.files import read_records
from rlhf.data.reading.base import UNBOUNDED
from rlhf.errors import UserError
from rlhf.ppo_spec import LinearReward, place
from rlhf.suggest import did_you_mean

LABELS = {"1": 1, "+1": 1, "1.0": 1, "true": 1, "-1": -1, "-1.0": -1, "0": 0, "0.0": 0, "false": 0}


def read_marked(name: str, spec: LinearReward) -> tuple[list[str], list[float]]:
    """Return the texts of the file and their marks, 1 or -1."""
    texts, labels = [], []
    try:
        for where, record in read_records(spec.path, UNBOUNDED):
            if isinstance(record, UserError):
                raise record
            texts.append(_text(name, spec, where, record))
            labels.append(_label(name, spec, where, record))
    except UserError as error:
        if error.place != "dataset.path":  # the reader's name for the file that it is given
            raise
        raise UserError(place(name, "path"), error.problem, error.remedy) from None
    kinds = set(labels)
    if {0, -1} <= kinds:
        problem = f"column {spec.label!r} of {spec.path} has both 0 and -1"
        raise UserError(place(name, "label"), problem, "Mark rejected texts either way, not both")
    if len(kinds) < 2:
        problem = f"all {len(labels)} rows of {spec.path} have the same label {labels[0]}"
        raise UserError(place(name, "label"), problem, "Give accepted and rejected texts")
    return texts, [1.0 if label == 1 else -1.0 for label in labels]


def _column(name: str, spec: LinearReward, key: str, where: str, record: Mapping[str, Any]) -> Any:
    column = getattr(spec, key)
    if column not in record:
        problem = f"{where} has no column {column!r}"
        raise UserError(place(name, key), problem, did_you_mean(column, map(str, record)))
    return record[column]


def _text(name: str, spec: LinearReward, where: str, record: Mapping[str, Any]) -> str:
    content = _column(name, spec, "text", where, record)
    try:
        return columns.clean(content, spec.text)
    except UserError as error:
        raise UserError(place(name, "text"), f"{where}: {error.place}: {error.problem}", error.remedy) from None


def _label(name: str, spec: LinearReward, where: str, record: Mapping[str, Any]) -> int:
    value = _column(name, spec, "label", where, record)
    label = LABELS.get(str(value).strip().casefold())
    if label is None:
        remedy = "Mark accepted texts 1 (or true), rejected ones -1 (or 0, or false)"
        raise UserError(place(name, "label"), f"{where}: {value!r} is no label", remedy)
    return label
