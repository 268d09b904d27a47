"""Data: `load_corpus` reads a data set, cleans it, cuts it by group and tells what became of every row."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rlhf.config import FileDataset, SplitSpec, ToyDataset
from rlhf.data import bitext, hh_rlhf, rm_single_context, table, ultrafeedback_binarized
from rlhf.data.columns import MissingColumn, WrongSpec
from rlhf.data.files import Record, read_hub, read_records
from rlhf.data.rows import Corpus, Count, Drop, Row, Shape
from rlhf.data.splits import content_key, keep, split
from rlhf.data.support_toy import toy_rows
from rlhf.data.toy_gold import gold
from rlhf.errors import UserError

FORMATS: dict[str, Callable[[Mapping[str, Any], FileDataset], Row]] = {
    "hh_rlhf": hh_rlhf.rows,
    "rm_single_context": rm_single_context.rows,
    "ultrafeedback_binarized": ultrafeedback_binarized.rows,
    "bitext": bitext.rows,
    "table": table.rows,
}


def load_corpus(spec: ToyDataset | FileDataset, shape: Shape) -> Corpus:
    """Read -> format -> drop -> duplicates -> fraction and limit -> split by group.

    `shape` is what the method learns from; pairs asked as demonstrations give their chosen answers. `counts` accounts
    for every row: read = train + validation + test + all that a named step took. Raises UserError for unreadable files,
    more than `max_bad_rows` broken rows, data that cannot serve the shape, and splits that stay empty.
    """
    story = _Story()
    if isinstance(spec, ToyDataset):
        rows = toy_rows(spec, shape)
        story.note("read", len(rows), len(rows))
    else:
        rows = [_shaped(row, shape) for row in _file_rows(spec, shape, story)]
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
    """Raise UserError where a local file cannot be read or its first row does not fit: in moments, before any import.

    Later rows are judged by `load_corpus`; so is a first row that `max_bad_rows` may forgive.
    """
    if isinstance(spec, ToyDataset) or spec.path is None:
        return
    place, raw = next(read_records(spec.path))
    try:
        _formatted(place, raw, spec, shape)
    except Drop:
        return
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


def _file_rows(spec: FileDataset, shape: Shape, story: _Story) -> list[Row]:
    """Rows of a file or the hub in their published shape, with broken and dropped ones counted by reason."""
    kept: list[Row] = []
    dropped: Counter[str] = Counter()
    broken: list[UserError] = []
    last: Mapping[str, Any] = {}
    for place, raw in _records(spec):
        last = last if isinstance(raw, UserError) else raw
        try:
            row = _formatted(place, raw, spec, shape)
            if row.label is False:  # only ever asked as a demonstration, and a rejected answer demonstrates nothing
                raise Drop("the answer was judged bad")
            kept.append(row)
        except Drop as drop:
            dropped[str(drop)] += 1
        except WrongSpec:
            raise
        except UserError as error:
            broken.append(error)
            if len(broken) > spec.max_bad_rows:
                raise
    left = len(kept) + len(broken) + dropped.total()
    story.note("read", left, left)
    if broken:
        left = story.lose(f"broken rows, first {broken[0]}", left, len(broken))
    for reason, lost in dropped.items():
        left = story.lose(reason, left, lost)
    if not kept:
        reasons = ", ".join(f"{count.step} ({count.before - count.after})" for count in story.counts[1:])
        raise UserError(spec.path or str(spec.hub_id), f"no row is left: {reasons}", _format_hint(last, spec))
    return kept


def _records(spec: FileDataset) -> Iterator[Record]:
    if spec.path is not None:
        return read_records(spec.path)
    if spec.hub_id is None:
        raise UserError("dataset.path", f"dataset {spec.name} has neither a path nor a hub_id", "Set dataset.path=FILE")
    return read_hub(spec.hub_id, spec.hub_config, spec.revision)


def _formatted(place: str, raw: Mapping[str, Any] | UserError, spec: FileDataset, shape: Shape) -> Row:
    """Read one record in the spec's format; an error has its file and line, and for a missing column what would fit."""
    if isinstance(raw, UserError):
        raise raw
    try:
        row = FORMATS[spec.format](raw, spec)
    except WrongSpec:
        raise
    except UserError as error:
        remedy = _format_hint(raw, spec) if isinstance(error, MissingColumn) else error.remedy
        raise UserError(f"{place}, {error.place}", error.problem, remedy) from None
    _refuse_other_shape(spec, row, shape)
    return row


def _format_hint(raw: Mapping[str, Any], spec: FileDataset) -> str:
    """Say which known format the columns look like."""
    alike = [name for name in FORMATS if name not in ("table", spec.format) and _fits(name, raw, spec)]
    if alike:
        return f"It looks like the format {alike[0]}: use dataset={alike[0]} dataset.path={spec.path or 'FILE'}"
    return "Use dataset=table and name the columns, say dataset.columns='{prompt: question, completion: answer}'"


def _fits(name: str, raw: Mapping[str, Any], spec: FileDataset) -> bool:
    if name == "rm_single_context" and not str(raw.get("chosen")).startswith("Assistant:"):
        return False  # its columns are ultrafeedback's as well; the answers tell them apart
    try:
        FORMATS[name](raw, spec)
    except (Drop, UserError):
        return False
    return True


def _refuse_other_shape(spec: FileDataset, row: Row, shape: Shape) -> None:
    if shape == "preference" and row.chosen is None:
        problem = "it holds demonstrations, not pairs of a chosen and a rejected answer, so it serves method=sft alone"
        remedy = (
            "Take method=sft, or a dataset of pairs: support_toy, hh_rlhf, ultrafeedback_binarized, a table of them"
        )
        raise WrongSpec(f"dataset={spec.name}", problem, remedy)


def _shaped(row: Row, shape: Shape) -> Row:
    if shape == "demonstration" and row.chosen is not None:
        return replace(row, completion=row.chosen, chosen=None, rejected=None)
    return row
