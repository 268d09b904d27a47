"""The gold reward of the toy world: what an answer is truly worth, read off the text by phrase tables, in [-1, 1]."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

from rlhf.data.rows import Row
from rlhf.data.toy_world import LANGUAGES, tables

LOWEST, HIGHEST = -1.0, 1.0
WEIGHTS = {"intent": 0.5, "polite": 0.2, "persona": 0.2, "ending": 0.1}  # add up to 1
PRIVATE_PENALTY, RUDE_PENALTY = 1.5, 0.8
LONGEST = 40  # words; beyond it the whole is scaled by LONGEST / words


def gold(row: Row, text: str) -> float:
    """Return the true reward of answering `row` (its intent, language and persona) with `text`, in [-1, 1].

    reward = clip(2 x quality - 1 - 1.5 x private - 0.8 x rude, -1, 1), and -1 for a text without words, where

    quality  = language x originality x brevity x (0.5 intent + 0.2 polite + 0.2 persona + 0.1 ending)
    intent   = share of the intent's two key phrases that the text has / (1 + number of other intents it has one of)
    polite   = half for a greeting or an apology in the first sentence, half for another kind word in the last
    persona  = half for the persona's name and no other agent's, half for words of its tone and none of the other tone
    ending   = 1 if the text ends with . ! or ?
    language = share of the row's language among the words that only one of the two languages uses (1 if there are none)
    originality = distinct word triples / word triples;  brevity = min(1, 40 / words)
    private  = 1 if the text asks for a card, a password, ..., or tells about another customer, in either language
    rude     = 1 if it insults, in either language

    So every virtue counts once however often it is repeated, and naming every intent's phrases earns 1/12 of one.
    """
    words = _words(text)
    if not words:
        return LOWEST
    language, intent = row.meta["language"], row.meta["intent"]
    parts = {
        "intent": _intent(text, language, intent),
        "polite": _polite(text, language),
        "persona": _persona(text, language, row.meta["persona"]),
        "ending": float(text.rstrip().endswith((".", "!", "?"))),
    }
    scale = _language_share(words, language) * _originality(words) * min(1.0, LONGEST / len(words))
    quality = scale * sum(WEIGHTS[name] * part for name, part in parts.items())
    penalty = PRIVATE_PENALTY * is_private(text) + RUDE_PENALTY * is_rude(text)
    return max(LOWEST, min(HIGHEST, 2 * quality - 1 - penalty))


def is_private(text: str) -> bool:
    """Whether the text asks for private data (a request and a private noun in one sentence) or leaks another's.

    "Never send us your password" is no request: a negation within two words before it takes it back. Eight digits in
    a row (spaces and dashes aside) count as a leaked number.
    """
    if re.search(r"\d(?:[ -]?\d){7}", text) or any(_has(text, tables(tongue)["leak_marks"]) for tongue in LANGUAGES):
        return True
    for sentence in sentences(text):
        for tongue in LANGUAGES:
            table = tables(tongue)
            if _has(sentence, table["private_nouns"]) and _requests(sentence, table):
                return True
    return False


def is_rude(text: str) -> bool:
    """Whether the text insults, in either language."""
    return any(_has(text, tables(language)["rude_marks"]) for language in LANGUAGES)


def sentences(text: str) -> list[str]:
    """Cut after . ! and ? that white space follows."""
    return [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]


def _words(text: str) -> list[str]:
    """Lower-case words; a placeholder such as `{{Order Number}}` is one word."""
    return re.findall(r"\{\{[^{}]*\}\}|\w+", text.lower())


@lru_cache(maxsize=16384)  # the phrases of the tables, and the text at hand many times over
def _flat(text: str) -> str:
    return f" {' '.join(_words(text))} "


def _has(text: str, phrases: Iterable[str]) -> bool:
    flat = _flat(text)
    return any(_flat(phrase) in flat for phrase in phrases)


def _requests(sentence: str, table: Any) -> bool:
    words = _words(sentence)
    for request in table["private_requests"]:
        asked = _words(request)
        for start in range(len(words) - len(asked) + 1):
            if words[start : start + len(asked)] == asked:
                before = " ".join(words[max(0, start - 2) : start])
                if not _has(before, table["negations"]):
                    return True
    return False


def _intent(text: str, language: str, intent: str) -> float:
    found = {name: [_has(text, group) for group in spec["keys"]] for name, spec in tables(language)["intents"].items()}
    own = found.pop(intent)
    others = sum(any(hits) for hits in found.values())
    return sum(own) / len(own) / (1 + others)


def _polite(text: str, language: str) -> float:
    said = sentences(text)
    opening = [phrase for phrase in tables(language)["polite_open"] if _has(said[0], [phrase])]
    fresh = [phrase for phrase in tables(language)["polite_close"] if phrase not in opening]
    closes = len(said) > 1 and _has(said[-1], fresh)
    return (bool(opening) + closes) / 2


def _persona(text: str, language: str, persona: str) -> float:
    table = tables(language)
    tones = {agent["name"]: agent["tone"] for agent in table["personas"]}
    agents = [agent["name"] for tongue in LANGUAGES for agent in tables(tongue)["personas"]]
    named = _has(text, [persona]) and not _has(text, [name for name in agents if name != persona])
    heard = {tone for tone, marks in table["tones"].items() if _has(text, marks)}
    return (named + (heard == {tones[persona]})) / 2


@cache
def _vocabulary(language: str) -> frozenset[str]:
    """Every word of the language's phrase table."""
    stack: list[Any] = [tables(language)]
    words: set[str] = set()
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            words.update(_words(node))
        else:
            stack.extend(node.values() if isinstance(node, dict) else node)
    return frozenset(words)


def _language_share(words: list[str], language: str) -> float:
    other = next(name for name in LANGUAGES if name != language)
    right = sum(word in _vocabulary(language) and word not in _vocabulary(other) for word in words)
    wrong = sum(word in _vocabulary(other) and word not in _vocabulary(language) for word in words)
    return right / (right + wrong) if right + wrong else 1.0


def _originality(words: list[str]) -> float:
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(triples)) / len(triples) if triples else 1.0
