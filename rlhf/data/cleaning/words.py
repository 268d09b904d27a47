"""Cleaning steps that write emoji and emoticons as words, by the names that Unicode gives them in each language.

The names and the finding of emoji are the library's (`emoji`); an emoticon is named as the emoji that it depicts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from rlhf.data.cleaning.placeholders import Span, masked, spaced
from rlhf.data.cleaning.tables import tables, words

SIGNS = "©®™"  # are signs in a text unless the next character makes them pictures
FACES = {face.lower(): picture for picture, faces in tables()["emoticons"].items() for face in faces.split()}
LOOSE = words("emoticons_after_words")


def _any(faces: Iterable[str]) -> str:
    return "|".join(re.escape(face) for face in sorted(faces, key=len, reverse=True))


EMOTICON = re.compile(rf"(?:(?<!\S)(?:{_any(FACES)})|(?<=\w)(?:{_any(LOOSE)}))(?=[\s.,!?;]|\)(?!\))|$)", re.IGNORECASE)


def emoticons(text: str, language: str) -> str:
    """Write `:)` as the words that name it; a closing parenthesis that it shares with the sentence is its own."""
    found = EMOTICON.finditer(masked(text))
    return spaced(text, [(face.start(), face.end(), name(FACES[face.group().lower()], language)) for face in found])


def emojis(text: str, language: str) -> str:
    """Write each emoji as the words that name it; skin tones and flags are named as well."""
    if text.isascii():
        return text
    import emoji

    spans: list[Span] = []
    for found in emoji.emoji_list(masked(text)):
        picture = str(found["emoji"])
        if picture not in SIGNS:
            spans.append((int(found["match_start"]), int(found["match_end"]), name(picture, language)))
    return spaced(text, spans)


@cache
def name(picture: str, language: str) -> str:
    """Return an emoji's name in a language as words, the English one where there is none."""
    import emoji

    for spoken in (language, "en"):
        named = emoji.demojize(picture, delimiters=("", ""), language=spoken)
        if named != picture:
            return named.replace("_", " ")
    return picture
