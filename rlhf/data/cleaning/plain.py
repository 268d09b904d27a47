"""Cleaning steps that need no word list: case, punctuation, addresses of pages, white space, mojibake."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any

from rlhf.data.cleaning.placeholders import Span, masked, outside, replaced, spaced

MARK = re.compile(r"[^\w\s]|_")  # a punctuation mark, or a symbol
INSIDE = "'’-‐‑–.,:/@_&"  # marks that may hold two digits together: 3.50, 10:30, 2024-05-12
INSIDE_WORDS = "'’-‐‑./@_&"  # and those that may hold letters together: don't, e-mail, example.com, and/or
KEYCAP = ("️", "⃣")  # `#` and `*` before these are an emoji
ADDRESS = re.compile(
    r"(?<![A-Za-z0-9])(?:https?://|ftp://|www\.)[A-Za-z0-9\u00c0-\u024f._~:/?#\[\]@!$&'()*+,;=%-]+", re.IGNORECASE
)
LINK = re.compile(r"\[([^\[\]\n]*)\]\((?:https?://|www\.)[^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)?\)", re.IGNORECASE)
AFTER_ADDRESS = ".,;:!?'*_"  # belongs to the sentence, where an address ends in it
INVISIBLE = dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u00ad"))  # not the joiners of emoji and of Persian
BLANK = re.compile(r"[^\S\n]+")
FILLER = "\ue000"  # neither a word nor white space


def lowercase(text: str) -> str:
    """Write small letters."""
    return outside(text, str.lower)


def punctuation(text: str) -> str:
    """Take away Unicode's punctuation marks, but those inside words and numbers.

    Kept are don't, e-mail, example.com, 3.50, 10:30, 50%, #12 and -5, and all symbols: money, arithmetic, emoji.
    """
    return outside(text, _without_marks)


def _without_marks(text: str) -> str:
    kept = MARK.sub(lambda mark: mark.group() if _stays(mark) else " ", text)
    if kept == text:
        return text
    kept = re.sub(r" {2,}", " ", kept)
    return kept.replace(" \n", "\n").replace("\n ", "\n")


def _stays(mark: re.Match[str]) -> bool:
    character, text = mark.group(), mark.string
    if unicodedata.category(character)[0] != "P":
        return True
    before = text[mark.start() - 1 : mark.start()]
    after = text[mark.end() : mark.end() + 1]
    if character in "#*" and after in KEYCAP and after:
        return True
    if character == "%":
        return before.isdigit()
    if character in "#-" and after.isdigit() and not before.isalnum():
        return True
    marks = INSIDE if before.isdigit() and after.isdigit() else INSIDE_WORDS
    return character in marks and before.isalnum() and after.isalnum()


def urls(text: str) -> str:
    """Take away addresses of web pages (`https://...`, `www....`); of a Markdown link the text stays."""
    if "://" not in text and "www." not in text.lower():
        return text
    links: list[Span] = []
    for link in LINK.finditer(masked(text)):
        links += [(link.start(), link.start() + 1, ""), (link.end(1), link.end(), "")]
    text = replaced(text, links)
    hidden = masked(text)
    return spaced(text, [(*_whole(hidden, found.start(), found.end()), "") for found in ADDRESS.finditer(hidden)])


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """Leave out of an address the sentence's marks at its end, and take in the brackets around it."""
    opened, closed = text.count("(", start, end), text.count(")", start, end)
    while end > start and (text[end - 1] in AFTER_ADDRESS or (text[end - 1] == ")" and closed > opened)):
        closed -= text[end - 1] == ")"
        end -= 1
    if text[start - 1 : start] + text[end : end + 1] in ("<>", "()"):
        return start - 1, end + 1
    return start, end


def whitespace(text: str) -> str:
    """Write white space in one way: plain spaces, no runs but a line's indent, none at line ends, one blank line.

    Characters of no width are taken away, but for the joiners of emoji and of some scripts.
    """
    text = outside(text, lambda piece: piece.replace("\r\n", "\n").replace("\r", "\n").translate(INVISIBLE))
    hidden = masked(text, FILLER)
    text = replaced(text, [(run.start(), run.end(), _blank(run)) for run in BLANK.finditer(hidden)])
    return re.sub(r"\n{3,}", "\n\n", text)


def _blank(run: re.Match[str]) -> str:
    if run.end() == len(run.string) or run.string[run.end()] == "\n":
        return ""
    if run.start() and run.string[run.start() - 1] == "\n":
        return "".join(character if character == "\t" else " " for character in run.group())
    return " "


def mojibake(text: str) -> str:
    """Mend text that was read in the wrong encoding (`cafÃ©`), with ftfy; nothing else of it changes but to NFC.

    Left as they are: quotes, wide Chinese marks and letters, HTML's entities, ligatures.
    """
    return text if text.isascii() else outside(text, _mended)


def _mended(text: str) -> str:
    import ftfy

    return ftfy.fix_text(text, _ftfy_settings())


@cache
def _ftfy_settings() -> Any:
    import ftfy

    return ftfy.TextFixerConfig(
        unescape_html=False, uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False,
        remove_terminal_escapes=False, normalization="NFC", explain=False,
    )  # fmt: skip
