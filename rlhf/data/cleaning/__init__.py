"""Cleaning of texts: an ordered chain of pure functions from text to text (`dataset.cleaning.steps`).

Placeholders such as `{{Order Number}}` go through every step unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import get_args

from rlhf.cleaning_spec import Step
from rlhf.data.cleaning.html import html
from rlhf.data.cleaning.plain import lowercase, mojibake, punctuation, urls, whitespace
from rlhf.data.cleaning.spelling import spelling
from rlhf.data.cleaning.words import emojis, emoticons

__all__ = ["STEPS", "clean_text", "stages"]

PLAIN: dict[str, Callable[[str], str]] = {
    "mojibake": mojibake,
    "html": html,
    "urls": urls,
    "whitespace": whitespace,
    "lowercase": lowercase,
    "punctuation": punctuation,
}
SPOKEN: dict[str, Callable[..., str]] = {"emoticons": emoticons, "emojis": emojis, "spelling": spelling}


def _step(name: str) -> Callable[[str], str]:
    kind, _, language = name.partition("_")
    return PLAIN[kind] if kind in PLAIN else partial(SPOKEN[kind], language=language or "en")


STEPS: dict[str, Callable[[str], str]] = {name: _step(name) for name in get_args(Step)}


def clean_text(text: str, steps: Sequence[str]) -> str:
    """Return the text after all steps, in order; without steps it is returned as it is."""
    return stages(text, steps)[-1]


def stages(text: str, steps: Sequence[str]) -> list[str]:
    """Return the text itself and what it is after each step, without the outer white space that a step may leave."""
    texts = [text]
    for step in steps:
        texts.append(STEPS[step](texts[-1]).strip())
    return texts
