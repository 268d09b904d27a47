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


def split(rows: Sequence[Row], spec: SplitSpec) -> tuple[tuple[Row, ...], tuple[Row, ...], tuple[Row, ...]]:
    """Return train, validation and test rows; raises UserError when a part that was asked for stays empty."""
    if spec.validation + spec.test >= 1:
        problem = f"validation {spec.validation} and test {spec.test} leave nothing to train on"
        raise UserError("dataset.split", problem, "Make them add up to less than 1")
    parts: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        at = draw("split", spec.seed, row.group)
        side = "validation" if at < spec.validation else "test" if at < spec.validation + spec.test else "train"
        parts[side].append(row)
    for name, share in (("train", 1.0), ("validation", spec.validation), ("test", spec.test)):
        if share > 0 and not parts[name]:
            groups = len({row.group for row in rows})
            problem = f"no rows for {name}: {len(rows)} rows make {groups} groups, too few to cut"
            remedy = "Take more rows (dataset.rows, dataset.limit), or change the shares or seed of dataset.split"
            raise UserError("dataset.split", problem, remedy)
    return tuple(parts["train"]), tuple(parts["validation"]), tuple(parts["test"])
