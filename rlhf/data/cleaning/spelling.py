"""The cleaning step `spelling`: sure slips of the hand are mended, one language at a time, and nothing else is touched.

The word lists are pyspellchecker's. It would rank by frequency alone (`shiping` becomes `shining`, `adress` `dress`);
here a candidate must differ by the kind of slip that hands make, and the likelier kind wins.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

from rlhf.data.cleaning.placeholders import Span, masked, replaced
from rlhf.data.cleaning.tables import words

TOKEN = re.compile(r"\S+")
EDGES = "\"'“”‘’()[]¿¡.,;:!?…*"
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
KNOWN_SHARE = 0.6  # of a text's words that the list must know, where nothing else says which language it is
KNOWN_OF_FEW = 0.65  # of a text that is too short to tell its language
KNOWN_OF_ITS_OWN = 0.2  # where the language detector is sure that it is this one
SURE = 0.9  # probability at which the detector is
OTHER = 0.4  # probability of another language from which a text is left alone
COMPLETE = ("en",)  # languages whose list knows most forms of a word; Spanish `quiero` and `gracias` are in none
COMMON = 1000  # occurrences in the list's own texts from which a word is likely to be what was meant
NEW_WORDS = words("new_words")
LONGEST = 24  # letters of a word that is looked at
REMEMBERED = 1 << 17  # words per process


def spelling(text: str, language: str) -> str:
    """Mend slips in words of small letters; names, words with digits, addresses and short words stay.

    A text is mended only where enough of its words are known in `language` and the language detector is not sure that
    it is another one, so that a wrong language changes nothing.
    """
    found = [span for token in TOKEN.finditer(masked(text)) if (span := _word(token))]
    spans: list[Span] = []
    for start, end, word in found:
        mended = correction(word, language) if word.islower() else word
        if mended != word:
            spans.append((start, end, mended))
    if not spans or not _is_in(language, text, [word.lower() for _, _, word in found]):
        return text
    return replaced(text, spans)


def _word(token: re.Match[str]) -> Span | None:
    """Return where the word of a token is, without the marks around it; None for what is no plain word."""
    left = token.group().lstrip(EDGES)
    core = left.rstrip(EDGES)
    start = token.end() - len(left)
    return (start, start + len(core), core) if WORD.fullmatch(core) else None


def _is_in(language: str, text: str, spoken: list[str]) -> bool:
    from rlhf.data.detect.language import UNKNOWN
    from rlhf.data.detect.language import language as identified

    known = sum(_known(word, language) for word in spoken) / len(spoken)
    if known < KNOWN_OF_ITS_OWN:
        return False
    code, probability = identified(text)
    if code not in (UNKNOWN, language):
        return probability < OTHER and known >= KNOWN_SHARE
    if probability >= SURE:
        return True
    return known >= (KNOWN_OF_FEW if code == UNKNOWN else KNOWN_SHARE)


@cache
def _checker(language: str) -> Any:
    from spellchecker import SpellChecker

    return SpellChecker(language=language, distance=1)


def _known(word: str, language: str) -> bool:
    """Whether the list has the word, its singular, or what follows an article that is written to it: l'adresse."""
    word, listed = word.replace("’", "'"), _checker(language)
    if word in listed or (language == "en" and word in NEW_WORDS):
        return True
    short, _, rest = word.rpartition("'")
    if 0 < len(short) <= 2 and rest in listed:
        return True
    return word.endswith("s") and not word.endswith("ss") and len(word) > 3 and _known(word[:-1], language)


@lru_cache(maxsize=REMEMBERED)
def correction(word: str, language: str) -> str:
    """Return the word that was meant, or the word itself where it is known or none is near.

    In the order of their likelihood: letters that changed places, a doubled or undoubled letter, a left-out apostrophe;
    from five letters on also a letter too few, too many or wrong, but not the first. Where the list is not complete,
    letters that changed places in words from five letters on alone.
    """
    complete, checker = language in COMPLETE, _checker(language)
    foreign = language == "en" and not word.isascii()
    if not (3 if complete else 5) <= len(word) <= LONGEST or not word.isalpha() or foreign or _known(word, language):
        return word
    most = 4 if complete else 1
    near = checker.known(checker.edit_distance_1(word))
    near = {candidate for candidate in near if not complete or checker[candidate] >= COMMON}
    ranked = {candidate: rank for candidate in near if 0 < (rank := _slip(word, candidate)) <= most}
    if not ranked:
        return word
    return str(min(ranked, key=lambda candidate: (ranked[candidate], -checker[candidate], candidate)))


def _slip(word: str, meant: str) -> int:
    """Return how likely a slip turns `meant` into `word`, from 1 for the likeliest; 0 for what is no slip."""
    if len(word) == len(meant) and sorted(word) == sorted(meant):
        return 1
    if _single(word) == _single(meant):
        return 2
    if meant.replace("'", "") == word:
        return 3
    return 4 if len(word) >= 5 and meant[0] == word[0] and "'" not in meant else 0


def _single(word: str) -> str:
    """Write each doubled letter once."""
    return "".join(letter for letter, before in zip(word, f" {word}", strict=False) if letter != before)
