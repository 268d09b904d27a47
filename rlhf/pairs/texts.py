"""Small pure functions on texts: words, sentences, placeholders, and whether two texts say the same."""

from __future__ import annotations

import re

from rlhf.data.placeholders import PLACEHOLDER

# a word, where a placeholder counts as one; a character of a script that writes no spaces is a word of its own
WORD = re.compile(r"(?:\{\{.*?\}\}|[^\s\u3040-\u30ff\u3400-\u9fff])+|[\u3040-\u30ff\u3400-\u9fff]")


def words(text: str) -> list[str]:
    """Return the words of a text; `{{Order Number}}` is one."""
    return WORD.findall(text)


def first_words(text: str, count: int) -> str:
    """Return a text cut behind its first `count` words, all before them as it was."""
    ends = [found.end() for found in WORD.finditer(text)]
    return text[: ends[min(count, len(ends)) - 1]] if ends and count > 0 else ""


def placeholders(text: str) -> list[str]:
    """Return the placeholders of a text, each once, in their order."""
    return list(dict.fromkeys(PLACEHOLDER.findall(text)))


def alike(first: str, second: str) -> bool:
    """Whether two texts are the same but for white space and capitals."""
    return " ".join(first.split()).casefold() == " ".join(second.split()).casefold()


def replaced_sentence(text: str, old: str, new: str) -> str:
    """Return `text` with the last place where the sentence `old` stands taken by `new`; all else as it was."""
    at = text.rindex(old)
    return text[:at] + new + text[at + len(old) :]


def capitalised(text: str) -> str:
    """Return a text whose first letter is a capital."""
    for at, letter in enumerate(text):
        if letter.isalpha():
            return text[:at] + letter.upper() + text[at + 1 :]
    return text
