"""The one shape of data that every stage sees: a prompt with a demonstration, a preference pair or a label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rlhf.data.cleaning.tally import Tally

Message = dict[str, str]  # {"role": "system" | "user" | "assistant", "content": text}
Shape = Literal["demonstration", "preference"]


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt and what is known about answers to it; fields that a shape does not use are None."""

    prompt: tuple[Message, ...]  # ends with a user message
    group: str  # rows of one group never land on both sides of a split
    completion: str | None = None  # a demonstration, or the text that `label` judges
    chosen: str | None = None  # the preferred answer of a pair
    rejected: str | None = None
    label: bool | None = None  # unpaired judgement of `completion`
    meta: Mapping[str, Any] = field(default_factory=dict)  # intent, language, persona, gold_chosen, flipped, ...


class Drop(Exception):
    """Raised by a format for a row that is well-formed but of no use; the text is the reason that is counted."""


@dataclass(frozen=True)
class Parts:
    """What one record that holds several rows gives: rows, and how many of its parts are of no use, by reason."""

    rows: Sequence[Row]
    dropped: Mapping[str, int]  # {"tie": 2}: well-formed parts that are no rows


@dataclass(frozen=True)
class Count:
    """One line of the row-count table: `step` took `before` rows down (or, for a split, out) to `after`.

    `read` counts records, and `unfolded`, where records hold several rows, the rows that `before` records hold.
    """

    step: str
    before: int
    after: int


SHARED = {  # what two parts may share -> how a table calls it
    "group": "group",
    "prompt": "prompt, in another group",
    "dialogues": "opening of a dialogue, in another group",
    "answers": "answers",
}


@dataclass(frozen=True)
class Overlap:
    """How many rows of a held-out part share something (a key of `SHARED`) with a part it should be strange to."""

    what: Literal["group", "prompt", "dialogues", "answers"]  # prompt, dialogues: the same text in another group
    part: str
    other: str
    rows: int
    of: int  # rows of `part`


@dataclass(frozen=True)
class Corpus:
    """A data set cut into three parts by group, with the story of every row that is not in it."""

    name: str
    train: Sequence[Row]  # in memory, or of a large source in mapped files: take by index, or one after the other
    validation: Sequence[Row]
    test: Sequence[Row]
    counts: tuple[Count, ...]
    fingerprint: str  # sha256 over the rows (order included) and the split settings
    gold: Callable[[Row, str], float] | None  # true reward of answering row's prompt with a text, where it is known
    overlap: tuple[Overlap, ...] = ()  # of each held-out part with those before it
    cleaned: Tally | None = None  # what cleaning did to its source; None where it had no steps
