"""Records become rows: each is read in the format of its data set, cleaned, and fitted to what the method learns from.

An exact account is kept: every record, or part of one that holds several rows, ends as a row or under a named reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rlhf.config import FileDataset
from rlhf.data.cleaning.rows import cleaned
from rlhf.data.cleaning.tally import Tally
from rlhf.data.columns import MissingColumn, WrongSpec, clean
from rlhf.data.files import Record
from rlhf.data.formats import hint, reader
from rlhf.data.reading.base import Hole
from rlhf.data.rows import Drop, Parts, Row, Shape
from rlhf.errors import UserError


@dataclass
class Account:
    """What became of a stretch of records; those of neighbouring stretches add up."""

    read: int = 0  # records
    parts: int = 0  # rows that they hold, sound or not: a broken or dropped record counts as one
    dropped: Counter[str] = field(default_factory=Counter)  # parts, by reason, in the order of their first appearance
    broken: list[UserError] = field(default_factory=list)
    last: Mapping[str, Any] = field(default_factory=dict)  # the newest record that could be read at all
    tally: Tally = field(default_factory=Tally)  # of what cleaning did
    end: UserError | None = None  # what no later record can mend: nothing after it was looked at

    def add(self, more: Account) -> None:
        """Append the account of the stretch that follows."""
        self.read += more.read
        self.parts += more.parts
        self.dropped.update(more.dropped)
        self.broken += more.broken
        self.last = more.last or self.last
        self.tally.add(more.tally)
        self.end = self.end or more.end

    def settle(self, most_broken: int) -> None:
        """Raise what ends the reading: the first broken row beyond the allowed ones, or a mistake in the settings."""
        if len(self.broken) > most_broken:
            raise self.broken[most_broken]
        if self.end is not None:
            raise self.end


def gather(records: Iterable[Record], spec: FileDataset, shape: Shape) -> tuple[list[Row], Account]:
    """Read records until one ends it (`Account.settle` tells); returns their rows and the account."""
    rows: list[Row] = []
    account = Account()
    for place, raw in records:
        account.read += 1
        account.last = account.last if isinstance(raw, UserError) else raw
        try:
            made = formatted(place, raw, spec, shape, account.tally)
        except WrongSpec as error:
            account.end = error
            return rows, account
        except UserError as error:
            account.parts += 1
            account.broken.append(error)
            if len(account.broken) > spec.max_bad_rows:
                return rows, account
            continue
        rows += made.rows
        account.dropped.update(made.dropped)
        account.parts += len(made.rows) + sum(made.dropped.values())
    return rows, account


def formatted(
    place: str, raw: Mapping[str, Any] | UserError, spec: FileDataset, shape: Shape, tally: Tally | None = None
) -> Parts:
    """Read one record; an error has its file and line, and for a missing column what would fit."""
    if isinstance(raw, Hole):
        return Parts([], {"null in a list of records": 1})
    if isinstance(raw, UserError):
        raise raw
    dropped: Counter[str] = Counter()
    rows: list[Row] = []
    try:
        made = reader(spec.format)(raw, spec)
        parts = made if isinstance(made, Parts) else Parts([made] if isinstance(made, Row) else made, {})
        dropped.update({reason: count for reason, count in parts.dropped.items() if count})
        for row in parts.rows:
            try:
                rows.append(_ready(row, spec, shape, tally or Tally()))
            except Drop as drop:
                dropped[str(drop)] += 1
    except Drop as drop:
        dropped[str(drop)] += 1
    except WrongSpec:
        raise
    except UserError as error:
        remedy = hint(raw, spec) if isinstance(error, MissingColumn) else error.remedy
        raise UserError(f"{place}, {error.place}", error.problem, remedy) from None
    if not rows and not dropped:
        dropped["the record holds no rows"] += 1
    return Parts(rows, dropped)


def _ready(row: Row, spec: FileDataset, shape: Shape, tally: Tally) -> Row:
    """Clean a row and fit it to the shape; pairs asked as demonstrations give their chosen answers."""
    _refuse_other_shape(spec, row, shape)
    if row.label is False:  # only ever asked as a demonstration, and a rejected answer demonstrates nothing
        raise Drop("the answer was judged bad")
    _check_texts(row.meta, "meta")
    if spec.cleaning.steps:
        row = cleaned(row, spec.cleaning.steps, tally)
    if shape == "demonstration" and row.chosen is not None:
        return replace(row, completion=row.chosen, chosen=None, rejected=None)
    return row


def _check_texts(held: Any, place: str) -> None:
    """Raise UserError for a text, however deep in what a row's meta holds, that cannot be written as UTF-8."""
    if isinstance(held, str):
        clean(held, place)
    elif isinstance(held, Mapping):
        for key, value in held.items():
            _check_texts(key, place)
            _check_texts(value, f"{place}.{key}")
    elif isinstance(held, list | tuple):
        for value in held:
            _check_texts(value, place)


def _refuse_other_shape(spec: FileDataset, row: Row, shape: Shape) -> None:
    if shape == "preference" and row.chosen is None:
        holds = "demonstrations" if row.label is None else "single answers that were judged good or bad"
        problem = f"it holds {holds}, not pairs of a chosen and a rejected answer, so it serves method=sft alone"
        remedy = (
            "Take method=sft, or a dataset of pairs: support_toy, hh_rlhf, ultrafeedback_binarized, a table of them"
        )
        raise WrongSpec(f"dataset={spec.name}", problem, remedy)
