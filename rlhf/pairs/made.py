"""What a maker gives for one row: finished pairs, and by name what came of the rest."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from rlhf.data.rows import Message, Row

Numbered = tuple[int, Row]  # a row with its place among the rows that pairs are made of
Chunk = list[tuple[int, "Made"]]  # rows that were done together: all of them are kept, or none
Work = Callable[
    [Iterable[Numbered]], Iterator[Chunk]
]  # from the rows that are still to be done, read as they are taken


@dataclass(frozen=True)
class Pair:
    """One chosen and one rejected answer to a prompt, and where they came from."""

    prompt: Sequence[Message]
    chosen: str
    rejected: str
    source: str  # what kind of answer the made one is: generic, rude, sampled, vote, ...
    parameters: Mapping[str, Any]  # what else decided it
    scores: tuple[float, float] | None = None  # of chosen and rejected, where a judge ranked them
    meta: Mapping[str, Any] = field(default_factory=dict)  # instead of the row's own entries of these names


@dataclass(frozen=True)
class Made:
    """All that became of one row."""

    pairs: Sequence[Pair] = ()
    lost: Mapping[str, int] = field(default_factory=dict)  # pairs that could have been and are not, by reason
    noted: Mapping[str, int] = field(default_factory=dict)  # what else is worth counting


def record(pair: Pair, row: Row, at: int, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pair as a line of the output: what the row said of itself stays, `origin` is the same for all pairs."""
    judged = {}
    if pair.scores is not None:
        chosen, rejected = pair.scores
        judged = {"score_chosen": chosen, "score_rejected": rejected, "margin": chosen - rejected}
    meta = {
        **row.meta,
        **pair.meta,
        "group": row.group,
        "row": at,
        **origin,
        "source": pair.source,
        "parameters": dict(pair.parameters),
        **judged,
    }
    prompt = [dict(message) for message in pair.prompt]
    return {"prompt": prompt, "chosen": pair.chosen, "rejected": pair.rejected, "meta": meta}


def row_key(row: Row) -> str:
    """Return what tells a row from all others, whatever its place."""
    content = repr((row.prompt, row.completion, row.chosen, row.rejected))
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def chance(purpose: str, seed: int, row: Row) -> random.Random:
    """Return random numbers that belong to a purpose, a seed and a row: neither other rows nor a restart move them."""
    return random.Random(f"pairs/{purpose}/{seed}/{row_key(row)}")


def one_by_one(make: Callable[[int, Row], Made], size: int) -> Work:
    """Return the work of a maker that needs no other row: chunks of `size` rows."""

    def work(todo: Iterable[Numbered]) -> Iterator[Chunk]:
        waiting = iter(todo)
        while chunk := [(at, make(at, row)) for at, row in islice(waiting, size)]:
            yield chunk

    return work


def add(total: dict[str, int], own: Mapping[str, int]) -> None:
    """Add counts to the total of each name."""
    for name, count in own.items():
        total[name] = total.get(name, 0) + count
