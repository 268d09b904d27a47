"""The persona that a row's prompt gives, sentence by sentence."""

from __future__ import annotations

import re

from rlhf.data.rows import Row

# where a sentence ends: not behind a digit (the "1." of a list), and before white space, or behind a full-width stop
SENTENCE_END = re.compile(r"(?<=[^\d\s][.!?…])\s+|(?<=[。！？])\s*|\s*\n+\s*")


def sentences(text: str) -> list[str]:
    """Return the sentences (and lines) of a text, without the white space between them."""
    return [part for part in SENTENCE_END.split(text.strip()) if part]


def persona_sentences(row: Row) -> list[str]:
    """Return the sentences of a row's persona: those of `meta.persona`, else those of the system message.

    A name alone ("Mia") is no sentence and cannot be contradicted.
    """
    own = row.meta.get("persona")
    texts = [own] if isinstance(own, str) else [str(text) for text in own] if isinstance(own, list | tuple) else []
    found = [sentence for text in texts for sentence in sentences(text) if len(sentence.split()) > 1]
    system = [message["content"] for message in row.prompt if message["role"] == "system"]
    return found or [sentence for text in system for sentence in sentences(text) if len(sentence.split()) > 1]
