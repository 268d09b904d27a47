"""The cleaning step `html`: tags, comments and scripts go, entities become what they stand for.

Only HTML's own element names count as tags: in `x<y and y>z` or `List<String>` a parser by the rules of HTML sees a tag
and loses text. `html.parser` (and so BeautifulSoup on it) needs minutes for 100 kB of `<a <a <a`; this is linear. The
entities are the standard library's.
"""

from __future__ import annotations

import html as entities
import re

from rlhf.data.cleaning.placeholders import outside
from rlhf.data.cleaning.tables import words
from rlhf.data.placeholders import PLACEHOLDER

BLOCKS = words("html_blocks")
INLINE = words("html_inline")
HIDDEN = ("script", "style", "template")  # whose content nobody reads
TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)(?:[\s/][^<>]*)?>|<!--|<!doctype[^<>]*>", re.IGNORECASE)


def html(text: str) -> str:
    """Return the text that HTML shows: one level of escaping is undone. Placeholders inside tags stay, too."""
    if "<" in text:
        text = _without_tags(text)
    return outside(text, entities.unescape) if "&" in text else text


def _without_tags(text: str) -> str:
    pieces: list[str] = []
    at = search = 0
    endless: set[str] = set()  # what is never closed after here: looked for once, so that the work stays linear
    while found := TAG.search(text, search):
        name = (found.group(2) or found.group()[:4]).lower()
        end = found.end()
        if name in HIDDEN and not found.group(1):
            end = _end(text, end, name, endless) or end
        elif name == "<!--":
            end = _end(text, end, name, endless)
        elif name not in BLOCKS and name not in INLINE and name not in HIDDEN and found.group(2):
            end = 0
        if not end:  # no tag after all
            search = found.end()
            continue
        pieces.append(text[at : found.start()])
        kept = "".join(f" {inner} " for inner in PLACEHOLDER.findall(text, found.start(), end))
        pieces.append(kept or ("\n" if name in BLOCKS else ""))
        at = search = end
    if not at:
        return text
    return re.sub(r"\n{3,}", "\n\n", "".join([*pieces, text[at:]])).strip()


def _end(text: str, start: int, name: str, endless: set[str]) -> int:
    """Return where a comment or hidden element ends, 0 where it does not."""
    if name in endless:
        return 0
    closing = re.compile(r"-->" if name == "<!--" else rf"</{name}\s*>", re.IGNORECASE)
    found = closing.search(text, start)
    if found is None:
        endless.add(name)
        return 0
    return found.end()
