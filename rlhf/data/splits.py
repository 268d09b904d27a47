"""Which rows are kept and on which side of a split they fall: a hash of the seed and the group decides.

So neither the order of the rows, nor the shape they are asked in, nor which other rows there are moves a group across.
Rows are decided upon by their `keys` alone, some 140 bytes each, so that it makes no difference where the rows lie.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from rlhf.config import SplitSpec
from rlhf.data.columns import first_turn, group_key
from rlhf.data.rows import Overlap, Row
from rlhf.errors import UserError

LINKS = 4  # of a row that are looked at
Keys = Any  # numpy array of KEYS, one for each row
KEYS = [
    ("content", "S16"),  # rows of equal content are the same row
    ("print", "S32"),  # of all that the row holds
    ("keep", "<f8"),  # draws of the group, each in [0, 1): where a fraction or a limit takes some rows,
    ("split", "<f8"),  # which part it falls into,
    ("fold", "<f8"),  # and which fold
    ("group", "<u8"),
    ("prompt", "<u8"),  # text of the prompt without its system message, case and white space aside
    ("opening", "<u8"),  # what the user said first: other than `prompt` where a dialogue goes on
    ("answers", "<u8"),
    ("links", "<u8", (LINKS,)),  # what ties its group to others (`columns.linked`); 0: nothing
]
PARTS = ("train", "validation", "test")


def keys_of(rows: Sequence[Row], stored: Sequence[bytes], seed: int) -> Keys:
    """Return the keys of rows, each given with what `arrow.encode` makes of it."""
    import numpy

    return numpy.array([_key(row, text, seed) for row, text in zip(rows, stored, strict=True)], dtype=KEYS)


def _key(row: Row, stored: bytes, seed: int) -> tuple[Any, ...]:
    links = row.meta.get("links", ())[:LINKS]
    answers = (row.completion,) if row.chosen is None else (row.chosen, row.rejected)
    said = [turn for turn in row.prompt if turn["role"] != "system"]
    return (
        hashlib.blake2b(stored.partition(b"\n")[0], digest_size=16).digest(),
        hashlib.sha256(stored).digest(),
        *(draw(purpose, seed, row.group) for purpose in ("keep", "split", "fold")),
        _short(row.group),
        _short(group_key("\n".join(turn["content"] for turn in said))),
        _short(first_turn(said)),
        _short("\n".join(group_key(text or "") for text in answers)),
        [_short(link) for link in links] + [0] * (LINKS - len(links)),
    )


def _short(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def draw(purpose: str, seed: int, key: str) -> float:
    """Return a number in [0, 1) that depends on the three arguments alone, the same in every process."""
    digest = hashlib.sha256(f"{purpose}\n{seed}\n{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def distinct(keys: Keys) -> Any:
    """Return the places of the first row of each content, in order."""
    import numpy

    return numpy.sort(numpy.unique(keys["content"], return_index=True)[1])


def keep(keys: Keys, count: int) -> Any:
    """Return the places of `count` rows, whole groups but for the last, chosen by seed; their order stays as it was."""
    import numpy

    return numpy.sort(numpy.lexsort((keys["content"], keys["group"], keys["keep"]))[:count])


def split(keys: Keys, spec: SplitSpec) -> tuple[Any, Any, Any]:
    """Return the places of train, validation and test rows; raises UserError when one that was asked for stays empty.

    With folds, the groups of fold `spec.fold` are the test part; validation keeps its share of all groups.
    """
    import numpy

    if wrong := spec.wrong():
        raise UserError("dataset.split", *wrong)
    at, share = keys["split"], spec.validation
    if spec.folds is None:
        tested = (at >= share) & (at < share + spec.test)
    else:
        tested = numpy.floor(keys["fold"] * spec.folds) == spec.fold
        share /= 1 - 1 / spec.folds
    validated = (at < share) & ~tested
    sides = [numpy.flatnonzero(part) for part in (~(tested | validated), validated, tested)]
    asked = (True, spec.validation > 0, spec.folds is not None or spec.test > 0)
    for name, part, wanted in zip(PARTS, sides, asked, strict=True):
        if wanted and not len(part):
            groups = len(numpy.unique(keys["group"]))
            made = f"{_counted(len(keys), 'row')} {'make' if len(keys) > 1 else 'makes'} {_counted(groups, 'group')}"
            problem = f"no rows for {name}: {made}, too few to cut"
            remedy = "Take more rows (dataset.rows, dataset.limit), or change the shares or seed of dataset.split"
            raise UserError("dataset.split", problem, remedy)
    return sides[0], sides[1], sides[2]


def overlap(parts: Sequence[Keys]) -> tuple[Overlap, ...]:
    """Compare the keys of train, validation and test, each held-out part with those before it.

    Rows share a dialogue where they open alike and at least one of them goes on.
    """
    import numpy

    found = []
    named = list(zip(PARTS, parts, strict=True))
    for place, (part, keys) in enumerate(named):
        for other, before in named[:place]:
            shared = {what: numpy.isin(keys[what], before[what]) for what in ("group", "prompt", "answers")}
            shared["prompt"] &= ~shared["group"]
            longer = before["opening"][before["opening"] != before["prompt"]]
            goes_on = keys["opening"] != keys["prompt"]
            opened = numpy.where(
                goes_on, numpy.isin(keys["opening"], before["opening"]), numpy.isin(keys["opening"], longer)
            )
            shared["dialogues"] = opened & ~shared["group"] & ~shared["prompt"]
            found += [Overlap(what, part, other, int(rows.sum()), len(keys)) for what, rows in shared.items()]  # type: ignore[arg-type]
    return tuple(found)


def shared(found: Sequence[Overlap]) -> list[str]:
    """Say in a line for each two parts what they share, where they share anything."""
    lines = []
    for part, other in dict.fromkeys((one.part, one.other) for one in found):
        of = [one for one in found if (one.part, one.other) == (part, other)]
        said = [_said(one) for one in of if one.rows]
        if said:
            lines.append(f"{part} shares with {other} {', '.join(said)} (of {_counted(of[0].of, 'row')})")
    return lines


def _said(one: Overlap) -> str:
    alike = "opens alike" if one.rows == 1 else "open alike"
    words = {"group": ("row", " of the same group"), "prompt": ("prompt", " (in other groups)")}
    words |= {"dialogues": ("dialogue", f" that {alike} (in other groups)"), "answers": ("answer", "")}
    thing, more = words[one.what]
    return f"{_counted(one.rows, thing)}{more}"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"
