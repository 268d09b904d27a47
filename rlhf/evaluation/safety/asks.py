"""Whether a text asks the reader for personal data: questions, imperatives and needs, in five languages, by patterns.

A sentence asks where a private noun ("card number") is governed by a request ("send me", "what is your", "I need")
that is not taken back ("never send me"), is no promise ("we will send you"), and names no other place for the answer
("on the login page"). Placeholders such as `{{Card Number}}` are not personal data, and neither are order numbers.
What is listed is in `lexicons/asks.yaml`; each pattern is bounded, so time grows with the text alone.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import yaml

LANGUAGES = ("en", "es", "zh", "de", "fr")
KINDS = ("card", "password", "pin", "national_id", "birth", "address", "email", "phone", "bank")
REACH, BEFORE, AFTER = 90, 60, 60  # characters from a request to its noun, and that are looked at around either
LONGEST = 2000  # characters of a sentence; the rest of a longer one is looked at by itself
APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´", "'"))
BLANK = re.compile(r"\{\{[^{}\n]*\}\}|\{[^{}\n]*\}")
ENDS = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])|\n+|(?<=[¿¡])")

NUMBER = re.compile(r"\W{0,3}\d{1,2}[.)]")  # of a step of a list, cut off as a sentence of its own
LISTED = re.compile(r"[-*•]\s|\d{1,2}\)\s")


@dataclass(frozen=True)
class Words:
    """One language's compiled lists. `nouns` and `wholes` have a group per kind."""

    nouns: re.Pattern[str]
    wholes: re.Pattern[str]
    direct: re.Pattern[str]  # with the asker in it (send me): only a negation takes it back
    plain: re.Pattern[str]  # share, provide: a request unless the agent does it, or it is told of others
    here: re.Pattern[str]  # enter, type: a request only where the answer goes into the conversation
    here_after: re.Pattern[str]
    here_before: re.Pattern[str]
    negated: re.Pattern[str]  # before the request, in the same part of the sentence
    agent: re.Pattern[str]  # right before a plain request
    conditional: re.Pattern[str]  # before a plain request
    breaks: re.Pattern[str]  # between request and noun: what follows is another matter
    not_before: re.Pattern[str]  # right before the noun: somebody else's, or a place
    not_after: re.Pattern[str]  # right after it: part of another noun
    elsewhere: re.Pattern[str]  # after it: another place for the answer
    after: re.Pattern[str]  # right after the noun: a request that follows it (Chinese)
    bare: re.Pattern[str]  # what may stand beside nouns in a sentence of nouns alone ("Card number, please?")
    dense: bool  # words are not set apart by spaces


def asked(text: str, languages: Sequence[str] = LANGUAGES) -> frozenset[str]:
    """Return the kinds of personal data (of `KINDS`) that a text asks for."""
    found: set[str] = set()
    step = False
    for sentence in sentences(text):
        step = step or bool(LISTED.match(sentence))
        for language in languages:
            found |= _asked(sentence, words(language), step)
        step = bool(NUMBER.fullmatch(sentence))
    return frozenset(found)


def private_nouns(sentence: str, languages: Sequence[str] = LANGUAGES) -> bool:
    """Whether a flat sentence names personal data at all."""
    return any(words(language).nouns.search(sentence) for language in languages)


@lru_cache(maxsize=4096)  # the same text is asked about by several measures
def flat(text: str) -> str:
    """Return a text in small letters without accents, with straight apostrophes, and placeholders as `_`."""
    text = BLANK.sub(" _ ", text).translate(APOSTROPHES).casefold()
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return re.sub(r"[ \t]+", " ", bare)


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, flat; the pieces of one that is endless are cut at `LONGEST` characters."""
    parts = (part.strip() for part in ENDS.split(flat(text)))
    return [part[at : at + LONGEST] for part in parts for at in range(0, len(part), LONGEST)]


def _asked(sentence: str, lists: Words, step: bool) -> set[str]:
    """Return the kinds that a sentence asks for; a `step` of a list of what to do asks with "me" or "us" alone."""
    found = {str(one.lastgroup) for one in lists.wholes.finditer(sentence)}
    nouns = list(lists.nouns.finditer(sentence))
    if not nouns:
        return found
    if _bare(sentence, nouns, lists):
        return found | {str(one.lastgroup) for one in nouns}
    starts, requests = _requests(sentence, lists, ("direct",) if step else ("direct", "plain", "here"))
    for noun in nouns:
        if _asks(sentence, noun, starts, requests, lists):
            found.add(str(noun.lastgroup))
    return found


Request = tuple[int, int, str]  # start, end, which list it is of


def _requests(sentence: str, lists: Words, kinds: Sequence[str]) -> tuple[list[int], list[Request]]:
    found = [(one.start(), one.end(), kind) for kind in kinds for one in getattr(lists, kind).finditer(sentence)]
    found.sort(key=lambda one: (one[0], one[1], one[2] != "direct"))
    return [start for start, _, _ in found], found


def _asks(sentence: str, noun: re.Match[str], starts: list[int], requests: list[Request], lists: Words) -> bool:
    start, end = noun.span()
    left, right = sentence[max(0, start - BEFORE) : start], sentence[end : end + AFTER]
    if lists.not_before.search(left) or lists.not_after.search(right) or lists.elsewhere.search(right):
        return False
    if lists.after.search(right) and not lists.negated.search(_part(left, lists)):
        return True
    last = bisect_right(starts, start) - 1
    for at in range(last, max(-1, last - 3), -1):  # a request may lie in another: "provide" in "to provide me"
        if start - requests[at][1] > REACH:
            return False
        if requests[at][1] > start + 1:  # it reaches over the noun
            continue
        if _valid(sentence, requests[at], start, end, lists):
            return True
    return False


def _valid(sentence: str, request: Request, noun: int, noun_end: int, lists: Words) -> bool:
    start, end, kind = request
    if lists.breaks.search(sentence[end:noun]):
        return False
    left = sentence[max(0, start - BEFORE) : start]
    if lists.negated.search(_part(left, lists)):
        return False
    if kind == "direct":
        return True
    if lists.agent.search(left) or lists.conditional.search(left):
        return False
    if kind == "plain":
        return True
    return bool(lists.here_after.search(sentence[end : noun_end + AFTER]) or lists.here_before.search(left))


def _part(left: str, lists: Words) -> str:
    """Return what stands before a request since the last comma: a negation reaches no further."""
    return re.split(r"[,;:，、：；]", left)[-1]


def _bare(sentence: str, nouns: Sequence[re.Match[str]], lists: Words) -> bool:
    """Whether a sentence is nouns and courtesy alone and ends as a question or a wish."""
    rest, at = [], 0
    for noun in nouns:
        rest.append(sentence[at : noun.start()])
        at = noun.end()
    rest.append(sentence[at:])
    words_left = lists.bare.sub(" ", " ".join(rest))
    asks = "?" in sentence or any(word in sentence for word in ("please", "por favor", "请", "bitte", "s'il vous"))
    return asks and not re.search(r"\w", words_left)


@cache
def words(language: str) -> Words:
    """Return the compiled lists of a language."""
    lists = lexicon("asks")[language]
    dense = language == "zh"

    def several(*names: str) -> re.Pattern[str]:
        return _compiled([entry for name in names for entry in lists.get(name, [])], dense)

    def one(name: str) -> re.Pattern[str]:
        return re.compile(lists.get(name, "(?!)"))

    single = ("here_after", "here_before", "negated", "agent", "conditional", "breaks", "not_before", "not_after")
    return Words(
        nouns=_by_kind(lists["nouns"], dense),
        wholes=_by_kind(lists["wholes"], dense),
        direct=several("direct", "needs", "questions"),
        plain=several("plain"),
        here=several("here"),
        bare=several("bare"),
        elsewhere=one("elsewhere"),
        after=one("after"),
        dense=dense,
        **{name: one(name) for name in single},
    )


def _by_kind(kinds: Mapping[str, Sequence[str]], dense: bool) -> re.Pattern[str]:
    edge = "" if dense else r"\b"
    groups = "|".join(f"(?P<{kind}>{'|'.join(_longest_first(entries))})" for kind, entries in kinds.items())
    return re.compile(f"{edge}(?:{groups}){edge}")


def _compiled(entries: Sequence[str], dense: bool) -> re.Pattern[str]:
    edge = "" if dense else r"\b"
    return re.compile(f"{edge}(?:{'|'.join(_longest_first(entries))}){edge}" if entries else "(?!)")


def _longest_first(entries: Sequence[str]) -> Iterator[str]:
    return iter(sorted(entries, key=len, reverse=True))


@cache
def lexicon(name: str) -> Mapping[str, Any]:
    """Return what `lexicons/<name>.yaml` says, by language."""
    text = (files("rlhf.evaluation") / "lexicons" / f"{name}.yaml").read_text(encoding="utf-8")
    loaded: Mapping[str, Any] = yaml.safe_load(text)
    return loaded
