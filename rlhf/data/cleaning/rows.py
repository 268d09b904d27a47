"""Cleaning of a row: its prompt, its answers and the key of its group, all by the same steps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rlhf.data.cleaning import clean_text
from rlhf.data.cleaning.tally import Tally
from rlhf.data.columns import group_key
from rlhf.data.rows import Drop, Message, Row

Prompt = tuple[Message, ...]


def cleaned(row: Row, steps: Sequence[str], tally: Tally) -> Row:
    """Clean every text of a row; raises Drop where nothing is left of one, or where two answers became the same."""

    def clean(text: str) -> str:
        after = tally.clean(text, steps)
        if not after:
            raise Drop("empty after cleaning")
        return after

    prompt = tuple({**turn, "content": clean(turn["content"])} for turn in row.prompt)
    answers: dict[str, Any] = {
        name: clean(text) for name in ("completion", "chosen", "rejected") if (text := getattr(row, name)) is not None
    }
    if row.chosen is not None and answers["chosen"] == answers["rejected"]:
        raise Drop("answers are equal after cleaning")
    return replace(row, prompt=prompt, group=_group(row, prompt, steps), **answers)


def _group(row: Row, prompt: Prompt, steps: Sequence[str]) -> str:
    """Return the key that the cleaned row would have had: prompts that became equal shall not be on two sides.

    A key that was made of the prompt is made of the cleaned one; another text, as a persona, is cleaned itself.
    """
    for key in (_said, _opening, _masked):
        if row.group == key(row.prompt):
            return key(prompt)
    return group_key(clean_text(row.group, steps)) or row.group


def _said(prompt: Prompt) -> str:
    return group_key("\n".join(turn["content"] for turn in prompt if turn["role"] != "system"))


def _opening(prompt: Prompt) -> str:
    return group_key(next(turn["content"] for turn in prompt if turn["role"] == "user"))


def _masked(prompt: Prompt) -> str:
    return re.sub(r"\d", "#", _said(prompt))
