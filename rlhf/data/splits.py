"""Which rows are kept and on which side of a split they fall: a hash of the seed and the group decides.

So neither the order of the rows, nor the shape they are asked in, nor which other rows there are moves a group across.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from rlhf.config import SplitSpec
from rlhf.data.rows import Row
from rlhf.errors import UserError


def draw(purpose: str, seed: int, key: str) -> float:
    """Return a number in [0, 1) that depends on the three arguments alone, the same in every process."""
    digest = hashlib.sha256(f"{purpose}\n{seed}\n{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def keep(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """Keep `count` rows, whole groups at a time but for the last, chosen by seed; their order stays as it was."""
    ranked = sorted(range(len(rows)), key=lambda at: (draw("keep", seed, rows[at].group), content_key(rows[at])))
    return [rows[at] for at in sorted(ranked[:count])]


def content_key(row: Row) -> str:
    """Everything that makes two rows the same row, as text."""
    return repr((row.prompt, row.completion, row.chosen, row.rejected, row.label))


def fold_of(group: str, folds: int, seed: int) -> int:
    """Return which of `folds` parts of about the same number of groups a group falls into, from 0 on."""
    return int(draw("fold", seed, group) * folds)


def side(group: str, spec: SplitSpec) -> str:
    """Return the part that a group belongs to: train, validation or test.

    With folds, the groups of fold `spec.fold` are the test part; validation keeps its share of all groups.
    """
    at = draw("split", spec.seed, group)
    if spec.folds is None:
        return "validation" if at < spec.validation else "test" if at < spec.validation + spec.test else "train"
    if fold_of(group, spec.folds, spec.seed) == spec.fold:
        return "test"
    return "validation" if at < spec.validation / (1 - 1 / spec.folds) else "train"


def split(rows: Sequence[Row], spec: SplitSpec) -> tuple[tuple[Row, ...], tuple[Row, ...], tuple[Row, ...]]:
    """Return train, validation and test rows; raises UserError when a part that was asked for stays empty."""
    if wrong := spec.wrong():
        raise UserError("dataset.split", *wrong)
    parts: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        parts[side(row.group, spec)].append(row)
    tested = spec.test if spec.folds is None else 1.0
    for name, share in (("train", 1.0), ("validation", spec.validation), ("test", tested)):
        if share > 0 and not parts[name]:
            groups = len({row.group for row in rows})
            problem = f"no rows for {name}: {len(rows)} rows make {groups} groups, too few to cut"
            remedy = "Take more rows (dataset.rows, dataset.limit), or change the shares or seed of dataset.split"
            raise UserError("dataset.split", problem, remedy)
    return tuple(parts["train"]), tuple(parts["validation"]), tuple(parts["test"])
