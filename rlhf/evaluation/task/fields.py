"""Whether an answer keeps the fields it must: placeholders such as `{{Order Number}}`, and what the question names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

from rlhf.data.placeholders import PLACEHOLDER

BRACES = re.compile(r"\{+|\}+")
QUOTED = re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|„([^“”\n]+)[“”]|«([^»\n]+)»|‘([^’\n]+)’|(?<!\w)'([^'\n]+)'(?!\w)")
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
NUMBER = re.compile(r"(?:\w[\w/:.,_-]*)?\d(?:[\w/:.,_-]*\w)?")
_SPACED = "0-9a-z\u00df-\u024f\u0370-\u052f"  # letters of scripts that put spaces between words, in lower case
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
Entity = tuple[str, str]  # kind (quoted, email, number) and text in lower case


def placeholders(text: str) -> set[str]:
    """Names of the whole placeholders of `text`, letters' case and spaces around aside; `{{}}` names nothing."""
    return {" ".join(whole[2:-2].split()).casefold() for whole in PLACEHOLDER.findall(text)} - {""}


def malformed(text: str) -> int:
    """Count the broken placeholders of `text`: braces that belong to no whole one, an opening with its closing as one.

    `{{Order Number}`, `Order Number}}`, `{Order Number}` and `{{}}` are one each.
    """
    count, opened = 0, False
    for found in BRACES.finditer(PLACEHOLDER.sub(lambda whole: " " if whole[0][2:-2].strip() else "{}", text)):
        opening = found[0][0] == "{"
        count += opening or not opened
        opened = opening
    return count


def kept(answer: str, reference: str) -> float | None:
    """Share of the reference's placeholders that the answer has; None where the reference has none."""
    wanted = placeholders(reference)
    return len(wanted & placeholders(answer)) / len(wanted) if wanted else None


def known(answer: str, reference: str, question: str) -> float | None:
    """Share of the answer's placeholders that the reference or the question has; None where the answer has none."""
    written = placeholders(answer)
    return len(written & (placeholders(reference) | placeholders(question))) / len(written) if written else None


def entities(text: str, digits: int) -> list[Entity]:
    """Return what `text` names exactly, each once: names in quotes, e-mail addresses, numbers and codes.

    A number or code has at least `digits` digits (2 of "2 tickets" could be anything). Placeholders are left out.
    """
    left = PLACEHOLDER.sub(" ", text)
    quoted = [next(part for part in found if part) for found in QUOTED.findall(left)]
    left = QUOTED.sub(" ", left)
    addresses = EMAIL.findall(left)
    codes = [THOUSANDS.sub("", code) for code in NUMBER.findall(EMAIL.sub(" ", left))]
    named: list[Entity] = [("quoted", " ".join(name.split()).casefold()) for name in quoted]
    named += [("email", address.casefold()) for address in addresses]
    named += [("number", code.casefold()) for code in codes if sum(map(str.isdigit, code)) >= digits]
    return list(dict.fromkeys(named))


def returned(answer: str, reference: str, question: str, digits: int, similarity: float) -> tuple[int, int, int]:
    """Count the question's entities, those that the answer has unchanged, and those that it has changed.

    One is changed where the answer lacks it but has another of its kind that neither question nor reference has and
    that looks like it: a number of the same shape (as many digits and letters in the same places), else a text that is
    at least as similar as `similarity` (shared characters x 2 / all characters, difflib's ratio).
    """
    asked = entities(question, digits)
    said = entities(answer, digits)
    strange = [entity for entity in said if entity not in asked and entity not in entities(reference, digits)]
    plain = " ".join(answer.split()).casefold()
    same = [entity for entity in asked if entity in said or (entity[0] == "quoted" and _stands_in(entity[1], plain))]
    lost = [entity for entity in asked if entity not in same]
    return len(asked), len(same), sum(_looks_like(entity, strange, similarity) for entity in lost)


def _stands_in(name: str, text: str) -> bool:
    """Whether `text` has `name` without quotes and not as a part of a longer word; "Inn" is not in "Inns"."""
    return re.search(rf"(?<![{_SPACED}]){re.escape(name)}(?![{_SPACED}])", text) is not None


def _looks_like(entity: Entity, others: Iterable[Entity], similarity: float) -> bool:
    kind, text = entity
    alike = [other for other_kind, other in others if other_kind == kind]
    if kind == "number" and any(_shape(other) == _shape(text) for other in alike):
        return True
    return any(SequenceMatcher(None, text, other, autojunk=False).ratio() >= similarity for other in alike)


def _shape(code: str) -> str:
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", code))
