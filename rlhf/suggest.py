"""The nearest right name for a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MANY = 30  # names that are too many to print
ALIKE = str.maketrans("lio", "110")  # letters that are taken for digits


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return "did you mean `x`?" for the nearest of `names`; when nothing is near, the names, or the few least far."""
    names = sorted(names)
    folded = {_folded(name): name for name in reversed(names)}
    near = difflib.get_close_matches(_folded(word), folded, n=1, cutoff=0.6)
    if near:
        return f"Did you mean `{folded[near[0]]}`?"
    if len(names) > MANY:
        far = difflib.get_close_matches(word, names, n=5, cutoff=0.0)
        return f"The nearest of {len(names)} known here: {', '.join(far)}."
    return f"Known here: {', '.join(names)}."


def _folded(word: str) -> str:
    return word.casefold().translate(ALIKE)
