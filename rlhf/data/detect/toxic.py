"""Rude words: a short list (`toxic.yaml`) looked up word by word, through simple disguises.

A list knows no context ("the stupid printer" counts, veiled contempt does not), so its share of texts compares data
sets; it judges no single text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from rlhf.data.detect import Found

TOKEN = re.compile(r"[^\W_]+(?:[*@$!|'’]{1,3}[^\W_]+)*|(?<![*@$!|])[*@$!|]{1,3}[^\W_]+(?:[*@$!|]{1,3}[^\W_]+)*")
SPELT = re.compile(r"(?<![^\W_])[^\W\d_](?:[ .*_-][^\W\d_]){3,}(?![^\W_])")  # s t u p i d, s.t.u.p.i.d
DISGUISE = str.maketrans("013457@$!|", "oieastasii")
DRAWN = re.compile(r"(.)\1{2,}")
SHORTEST, LONGEST = 4, 40  # letters of a token that is looked at


@dataclass(frozen=True)
class Share:
    """How many of some texts hold a rude word."""

    texts: int
    hits: int

    @property
    def share(self) -> float:
        """Of all texts; 0 where there are none."""
        return self.hits / self.texts if self.texts else 0.0


def find(text: str, languages: Sequence[str] | None = None) -> list[Found]:
    """Return the rude words of a text with their language as kind; None looks for those of all known ones.

    Seen through are digits and signs for letters (`1d10t`), letters that are drawn out, hidden by stars or spaced. A
    word of several languages is one find, of the first.
    """
    chosen = tuple(languages or known_languages())
    spoken = _words(chosen)
    found: dict[tuple[int, int], str] = {}
    for token in TOKEN.finditer(text):
        word = token.group().casefold()
        if SHORTEST <= len(word) <= LONGEST and (language := _rude(word, spoken, chosen)):
            found[token.span()] = language
    for spelt in SPELT.finditer(text):
        if language := spoken.get(re.sub(r"[ .*_-]", "", spelt.group()).casefold()):
            found[spelt.span()] = language
    for language in chosen:
        for phrase in _phrases(language).finditer(text):
            found.setdefault(phrase.span(), language)
    return [Found(language, *place) for place, language in sorted(found.items())]


def share(texts: Iterable[str], languages: Sequence[str] | None = None) -> Share:
    """Count the texts that hold a rude word."""
    marks = [bool(find(text, languages)) for text in texts]
    return Share(len(marks), sum(marks))


def known_languages() -> tuple[str, ...]:
    """Return the codes of the languages that there is a list for."""
    return tuple(_lists())


def _rude(token: str, spoken: Mapping[str, str], languages: tuple[str, ...]) -> str | None:
    """Return the language of a rude word, None for any other."""
    if not token.isalpha():
        token = token.split("'")[0].split("’")[0] or token
    if token in spoken:
        return spoken[token]
    if "*" in token:
        return _masks(languages).get((len(token), token[0], token[-1]))
    if not token.isalpha() and not token.isdigit():
        token = token.translate(DISGUISE)
        if token in spoken:
            return spoken[token]
    if DRAWN.search(token):
        return spoken.get(DRAWN.sub(r"\1", token)) or spoken.get(DRAWN.sub(r"\1\1", token))
    return None


@cache
def _lists() -> dict[str, Any]:
    lists: dict[str, Any] = yaml.safe_load((files(__package__) / "toxic.yaml").read_text(encoding="utf-8"))
    return lists


@cache
def _words(languages: tuple[str, ...]) -> dict[str, str]:
    """Return all forms of the words of some languages, each with the first language that has it."""
    return {form: language for language in reversed(languages) for form in _forms(language, "insults", "swearing")}


@cache
def _masks(languages: tuple[str, ...]) -> dict[tuple[int, str, str], str]:
    """Return length, first and last letter of the words that people hide with stars: f**k."""
    hidden = [(word, language) for language in reversed(languages) for word in _forms(language, "swearing")]
    return {(len(word), word[0], word[-1]): language for word, language in hidden}


def _forms(language: str, *lists: str) -> Iterator[str]:
    for entry in " ".join(_lists()[language][name] for name in lists).split():
        stem, *endings = entry.split("/")
        yield from (stem + ending for ending in ["", *endings])


@cache
def _phrases(language: str) -> re.Pattern[str]:
    phrases = "|".join(re.escape(phrase).replace(r"\ ", r"\s{1,3}") for phrase in _lists()[language]["phrases"])
    return re.compile(rf"(?<!\w)(?:{phrases})(?!\w)", re.IGNORECASE)
