"""Placeholders such as `{{Order Number}}`, which every cleaning step leaves as they are, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rlhf.data.placeholders import PLACEHOLDER

Span = tuple[int, int, str]  # start, end, and the text that takes its place
CLOSING = tuple(".,;:!?)")  # marks before which there is no space

Step = Callable[[str], str]


def outside(text: str, step: Step) -> str:
    """Apply a step to the stretches between placeholders."""
    if "{{" not in text:
        return step(text)
    pieces, at = [], 0
    for found in PLACEHOLDER.finditer(text):
        pieces += [step(text[at : found.start()]), found.group()]
        at = found.end()
    return "".join([*pieces, step(text[at:])])


def masked(text: str, filler: str = " ") -> str:
    """Return text of the same length with `filler` in the place of placeholders, so that nothing is found in them."""
    return PLACEHOLDER.sub(lambda found: filler * len(found.group()), text) if "{{" in text else text


def replaced(text: str, spans: Iterable[Span]) -> str:
    """Put each span's own text in its place; spans are in order and do not overlap."""
    pieces, at = [], 0
    for start, end, instead in spans:
        pieces += [text[at:start], instead]
        at = end
    return "".join([*pieces, text[at:]])


def spaced(text: str, spans: Iterable[Span]) -> str:
    """Put words in the place of spans, with a space where they would touch other words; "" leaves no double space."""
    pieces: list[str] = []
    at, last = 0, ""  # `last`: the character written last
    for start, end, word in spans:
        if start > at:
            between = text[at:start]
            if last and not last.isspace() and between[0].isalnum():
                between = f" {between}"
            pieces.append(between)
            last = between[-1]
        at = end
        if word:
            pieces.append(f" {word}" if last and not last.isspace() else word)
            last = word[-1]
        elif last == " " and text[end : end + 1] in CLOSING:
            pieces[-1] = pieces[-1][:-1]
        elif (not last or last.isspace()) and text[end : end + 1] == " ":
            at = end + 1
    rest = text[at:]
    touches = bool(last) and not last.isspace() and bool(rest) and (rest[0].isalnum() or rest[0] == "{")
    return "".join([*pieces, f" {rest}" if touches else rest])
