"""Data: `load_corpus` reads a data set, cleans it, cuts it by group and tells what became of every row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rlhf.config import FileDataset, SplitSpec, ToyDataset
from rlhf.data.arrow import ArrowRows, encode
from rlhf.data.cleaning.tally import Tally
from rlhf.data.columns import WrongSpec
from rlhf.data.files import Unparsed, parsed, passed_over, read_hub, read_records, read_unparsed
from rlhf.data.formats import FORMATS, hint
from rlhf.data.groups import united
from rlhf.data.records import Account, formatted, gather
from rlhf.data.rows import Corpus, Count, Row, Shape
from rlhf.data.splits import PARTS, Keys, distinct, keep, keys_of, overlap, split
from rlhf.data.stream import read_large, weighed, workers_of
from rlhf.data.support_toy import toy_rows
from rlhf.data.toy_gold import gold
from rlhf.errors import UserError

__all__ = ["FORMATS", "check_first_row", "load_corpus"]


SHOWN = 5  # names of files that are not read
FEW = 200  # rows of the toy world that may be too few for each part to get one


def load_corpus(spec: ToyDataset | FileDataset, shape: Shape, store: Path | None = None) -> Corpus:
    """Read -> format -> clean -> drop -> duplicates -> fraction and limit -> split by group.

    `shape` is what the method learns from; pairs asked as demonstrations give their chosen answers. `counts` accounts
    for every row: read, and what records that hold several rows unfold to, = train + validation + test + all that a
    named step took. A large source becomes a mapped file of rows, kept in `store` for the next time where one is given.
    Raises UserError for unreadable files, more than `max_bad_rows` broken rows, data that cannot serve the shape, and
    splits that stay empty.
    """
    story = _Story()
    keys, take = _rows(spec, shape, store, story)
    if isinstance(spec, FileDataset) and spec.path is not None and (names := passed_over(spec.path)):
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        story.note(f"files of other kinds, not read: {', '.join(map(repr, names[:SHOWN]))}{more}", len(keys), len(keys))
    keys = united(keys)
    at = distinct(keys)
    story.note("duplicates", len(keys), len(at))
    wanted = {"fraction": max(1, round(spec.fraction * len(at))) if spec.fraction < 1 else None, "limit": spec.limit}
    for step, count in wanted.items():
        if count is not None:
            left = at[keep(keys[at], count)]
            story.note(step, len(at), len(left))
            at = left
    places = [at[part] for part in split(keys[at], spec.split)]
    for name, part in zip(PARTS, places, strict=True):
        story.note(name, len(at), len(part))
    parts = [keys[part] for part in places]
    known = gold if isinstance(spec, ToyDataset) else None
    train, validation, test = (take(part, _digest(own)) for part, own in zip(places, parts, strict=True))
    whole = fingerprint([_digest(part) for part in parts], spec.split)
    return Corpus(spec.name, train, validation, test, tuple(story.counts), whole, known, overlap(parts), story.tally)


def check_first_row(spec: ToyDataset | FileDataset, shape: Shape) -> None:
    """Raise UserError where a local file cannot be read or its first record does not fit: in moments, before imports.

    Later records are judged by `load_corpus`; so is a first one that `max_bad_rows` may forgive. Few rows of the toy
    world are made to see that they can be cut into parts.
    """
    if isinstance(spec, ToyDataset) and min(spec.rows * spec.fraction, spec.limit or spec.rows) <= FEW:
        load_corpus(spec, shape)
    if isinstance(spec, ToyDataset) or spec.path is None:
        return
    place, raw = next(read_records(spec.path, spec.reading))
    try:
        formatted(place, raw, spec, shape)
    except UserError as error:
        if isinstance(error, WrongSpec) or spec.max_bad_rows == 0:
            raise


def fingerprint(parts: Sequence[str], spec: SplitSpec) -> str:
    """Return the sha256 (hex) of the digests of all parts' rows in order, and of the split settings."""
    return hashlib.sha256("\n".join([spec.model_dump_json(), *parts]).encode()).hexdigest()


def _digest(keys: Keys) -> str:
    return hashlib.sha256(keys["print"].tobytes()).hexdigest()


Take = Callable[[Any, str], Sequence[Row]]  # places of rows, and the digest of those rows -> the rows


def _rows(spec: ToyDataset | FileDataset, shape: Shape, store: Path | None, story: _Story) -> tuple[Keys, Take]:
    """Return the keys of all rows that formatting left, and what takes some of them by their places."""
    if isinstance(spec, ToyDataset):
        rows = toy_rows(spec, shape)
        story.note("read", len(rows), len(rows))
    else:
        records, large = weighed(_records(spec), spec)
        if large:
            file, keys, account, keeper = read_large(records, spec, shape, store)
            story.tell(account, len(keys), spec)
            return keys, lambda places, own: ArrowRows(file, places, own, workers_of(spec), keeper)
        rows, account = gather(map(parsed, records), spec, shape)
        account.settle(spec.max_bad_rows)
        story.tell(account, len(rows), spec)
    keys = keys_of(rows, [encode(row) for row in rows], spec.split.seed)
    return keys, lambda places, own: tuple(rows[place] for place in places)


class _Story:
    """Collects the lines of the row-count table."""

    def __init__(self) -> None:
        self.counts: list[Count] = []
        self.tally: Tally | None = None

    def note(self, step: str, before: int, after: int) -> None:
        self.counts.append(Count(step, before, after))

    def lose(self, step: str, before: int, lost: int) -> int:
        self.note(step, before, before - lost)
        return before - lost

    def tell(self, account: Account, kept: int, spec: FileDataset) -> None:
        """Write down what reading and formatting did; raises UserError where no row is left."""
        self.tally = account.tally if spec.cleaning.steps else None
        self.note("read", account.read, account.read)
        left = account.parts
        if left != account.read:
            self.note("unfolded", account.read, left)
        if account.broken:
            left = self.lose(f"broken rows, first {account.broken[0]}", left, len(account.broken))
        for reason, lost in account.dropped.items():
            left = self.lose(reason, left, lost)
        assert left == kept, f"{left} rows by the account, {kept} in hand"
        if not kept:
            reasons = ", ".join(f"{count.step} ({count.before - count.after})" for count in self.counts[1:])
            raise UserError(spec.path or str(spec.hub_id), f"no row is left: {reasons}", hint(account.last, spec))


def _records(spec: FileDataset) -> Iterator[Unparsed]:
    if spec.path is not None:
        return read_unparsed(spec.path, spec.reading)
    if spec.hub_id is None:
        raise UserError("dataset.path", f"dataset {spec.name} has neither a path nor a hub_id", "Set dataset.path=FILE")
    return read_hub(spec.hub_id, spec.hub_config, spec.revision)
