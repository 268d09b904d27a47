"""What the looks at rows share: their texts by part, words, and the same few rows of a large set every time."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence

from rlhf.data.rows import Corpus, Row

SIDES = ("train", "validation", "test")
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"  # no spaces: each is a word
WORD = re.compile(f"[{CJK}]|[^\\s{CJK}]+")


def words(text: str) -> int:
    """Count runs of letters and signs between white space; a Chinese or Japanese character counts by itself."""
    return sum(1 for _ in WORD.finditer(text))


def asked(row: Row) -> str:
    """Return what the prompt's speakers said, without the system message."""
    return "\n".join(turn["content"] for turn in row.prompt if turn["role"] != "system")


def answers(row: Row) -> dict[str, str]:
    """Return the row's answers by the name of their part."""
    if row.chosen is not None:
        return {"chosen": row.chosen, "rejected": row.rejected or ""}
    return {"answer": row.completion or ""}


def sides(corpus: Corpus) -> dict[str, Sequence[Row]]:
    """Return the parts of the corpus by name."""
    return {"train": corpus.train, "validation": corpus.validation, "test": corpus.test}


def rows_of(corpus: Corpus) -> Iterator[tuple[str, Row]]:
    """Yield each row with the name of its part."""
    for name, part in sides(corpus).items():
        for row in part:
            yield name, row


def drawn(corpus: Corpus, count: int, seed: int) -> list[tuple[str, int]]:
    """Return the places (part, index) of all rows, or of `count` rows drawn by seed where there are more, in order."""
    bounds = [(name, len(part)) for name, part in sides(corpus).items()]
    total = sum(size for _, size in bounds)
    picked = range(total) if total <= count else sorted(random.Random(seed).sample(range(total), count))
    places: list[tuple[str, int]] = []
    before = 0
    for name, size in bounds:
        places += [(name, at - before) for at in picked if before <= at < before + size]
        before += size
    return places


def short_hash(text: str) -> int:
    """Eight bytes of a hash: enough to know a text again among a million."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
