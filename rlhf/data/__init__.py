"""Data: `load_corpus` reads a data set, cleans it, cuts it by group and tells what became of every row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

from rlhf.config import FileDataset, SplitSpec, ToyDataset
from rlhf.data.columns import WrongSpec
from rlhf.data.files import Record, read_hub, read_records
from rlhf.data.formats import FORMATS, hint
from rlhf.data.records import Account, formatted, gather
from rlhf.data.rows import Corpus, Count, Row, Shape
from rlhf.data.splits import content_key, keep, split
from rlhf.data.support_toy import toy_rows
from rlhf.data.toy_gold import gold
from rlhf.errors import UserError

__all__ = ["FORMATS", "check_first_row", "fingerprint", "load_corpus"]


def load_corpus(spec: ToyDataset | FileDataset, shape: Shape) -> Corpus:
    """Read -> format -> clean -> drop -> duplicates -> fraction and limit -> split by group.

    `shape` is what the method learns from; pairs asked as demonstrations give their chosen answers. `counts` accounts
    for every row: read, and what records that hold several rows unfold to, = train + validation + test + all that a
    named step took. Raises UserError for unreadable files, more than `max_bad_rows` broken rows, data that cannot serve
    the shape, and splits that stay empty.
    """
    story = _Story()
    if isinstance(spec, ToyDataset):
        rows = toy_rows(spec, shape)
        story.note("read", len(rows), len(rows))
    else:
        rows, account = gather(_records(spec), spec, shape)
        account.settle(spec.max_bad_rows)
        story.tell(account, len(rows), spec)
    rows = story.step("duplicates", rows, list({content_key(row): row for row in reversed(rows)}.values())[::-1])
    seed = spec.split.seed
    if spec.fraction < 1:
        rows = story.step("fraction", rows, keep(rows, max(1, round(spec.fraction * len(rows))), seed))
    if spec.limit is not None:
        rows = story.step("limit", rows, keep(rows, spec.limit, seed))
    parts = split(rows, spec.split)
    for name, part in zip(("train", "validation", "test"), parts, strict=True):
        story.note(name, len(rows), len(part))
    known = gold if isinstance(spec, ToyDataset) else None
    return Corpus(spec.name, *parts, tuple(story.counts), fingerprint(parts, spec.split), known)


def check_first_row(spec: ToyDataset | FileDataset, shape: Shape) -> None:
    """Raise UserError where a local file cannot be read or its first record does not fit: in moments, before imports.

    Later records are judged by `load_corpus`; so is a first one that `max_bad_rows` may forgive.
    """
    if isinstance(spec, ToyDataset) or spec.path is None:
        return
    place, raw = next(read_records(spec.path))
    try:
        formatted(place, raw, spec, shape)
    except UserError as error:
        if isinstance(error, WrongSpec) or spec.max_bad_rows == 0:
            raise


def fingerprint(parts: Sequence[Sequence[Row]], spec: SplitSpec) -> str:
    """Return the sha256 (hex) of every row of every part in order, and of the split settings."""
    digest = hashlib.sha256(spec.model_dump_json().encode())
    for part in parts:
        digest.update(b"\npart\n")
        for row in part:
            content = (row.prompt, row.group, row.completion, row.chosen, row.rejected, row.label, dict(row.meta))
            digest.update(json.dumps(content, sort_keys=True, default=str).encode() + b"\n")
    return digest.hexdigest()


class _Story:
    """Collects the lines of the row-count table."""

    def __init__(self) -> None:
        self.counts: list[Count] = []

    def note(self, step: str, before: int, after: int) -> None:
        self.counts.append(Count(step, before, after))

    def lose(self, step: str, before: int, lost: int) -> int:
        self.note(step, before, before - lost)
        return before - lost

    def step(self, name: str, before: Sequence[Row], after: list[Row]) -> list[Row]:
        self.note(name, len(before), len(after))
        return after

    def tell(self, account: Account, kept: int, spec: FileDataset) -> None:
        """Write down what reading and formatting did; raises UserError where no row is left."""
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


def _records(spec: FileDataset) -> Iterator[Record]:
    if spec.path is not None:
        return read_records(spec.path)
    if spec.hub_id is None:
        raise UserError("dataset.path", f"dataset {spec.name} has neither a path nor a hub_id", "Set dataset.path=FILE")
    return read_hub(spec.hub_id, spec.hub_config, spec.revision)
