"""What cleaning did to a data set: how many texts each step changed, and a seeded choice of texts before and after.

A text that holds personal data is no example: a step may take the very signs away that its value is told by.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import islice
from os.path import commonprefix
from typing import Any

from rlhf.data.cleaning import stages
from rlhf.data.detect import personal

WIDTH, LEAD = 120, 30  # characters of an example that are printed, and those before its first change
MOST = 20  # examples that are kept
Example = tuple[str, str]  # a text before and after cleaning


def examples(texts: Iterable[Example], n: int) -> list[Example]:
    """Choose n of the texts that changed, the same ones whatever their order: those of the smallest hashes."""
    return nsmallest(n, {pair for pair in texts if pair[0] != pair[1]}, key=_draw)


def _is_personal(text: str) -> bool:
    return any(found.kind != "placeholder" for found in personal.find(text))


def _draw(pair: Example) -> bytes:
    return hashlib.sha256(pair[0].encode("utf-8", "surrogatepass")).digest()


@dataclass
class Tally:
    """Counts texts (prompt messages and answers) as they are cleaned; those of parts of a data set add up."""

    texts: int = 0
    changed: Counter[str] = field(default_factory=Counter)  # step -> texts that it changed
    found: list[Example] = field(default_factory=list)  # candidates for examples

    def clean(self, text: str, steps: Sequence[str]) -> str:
        """Clean a text and count it."""
        after = stages(text, steps)
        self.texts += 1
        self.changed.update({step: 1 for step, one, two in zip(steps, after, after[1:], strict=False) if one != two})
        if after[-1] != text:
            self._keep([(text, after[-1])])
        return after[-1]

    def add(self, more: Tally) -> None:
        """Add what was counted elsewhere."""
        self.texts += more.texts
        self.changed.update(more.changed)
        self._keep(more.found)

    def _keep(self, pairs: list[Example]) -> None:
        self.found += pairs
        if len(self.found) > 10 * MOST:  # seldom, so that choosing costs little
            self.found = examples(self.found, MOST)

    def examples(self, n: int) -> list[Example]:
        """Return n examples, `MOST` at most, none of which holds personal data before or after cleaning."""
        shown = (pair for pair in examples(self.found, MOST) if not any(map(_is_personal, pair)))
        return list(islice(shown, n))

    def dump(self) -> dict[str, Any]:
        """Return it as JSON has it; `loaded` reads that."""
        return {"texts": self.texts, "changed": dict(self.changed), "found": examples(self.found, MOST)}

    def table(self, steps: Sequence[str]) -> list[list[str | int]]:
        """Return for each step how many texts it changed, and of how many."""
        return [[step, self.changed[step], self.texts] for step in steps]

    def lines(self, steps: Sequence[str], n: int) -> list[str]:
        """Say in lines of print what each step did, and show n examples."""
        counts = ", ".join(f"{step} {self.changed[step]}" for step in steps)
        told = [f"cleaning of {self.texts} texts, changed by {counts}"]
        for before, after in self.examples(n):
            start = max(0, len(commonprefix((before, after))) - LEAD)
            told += [f"before: {_part(before, start)}", f"after:  {_part(after, start)}"]
        return told


def _part(text: str, start: int) -> str:
    """Return the part of a text from shortly before its first change, in one line."""
    shown = text[start : start + WIDTH].replace("\n", "\\n")
    return f"{'…' if start else ''}{shown}{'…' if len(text) > start + WIDTH else ''}"


def loaded(values: Mapping[str, Any]) -> Tally:
    """Return a tally as it was before it became JSON."""
    found = [(before, after) for before, after in values["found"]]
    return Tally(values["texts"], Counter(values["changed"]), found)
