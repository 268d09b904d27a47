"""UltraFeedback, binarised (Cui et al. 2023, arXiv 2310.01377): text columns, or trl-lib's lists of messages.

{"prompt": "Name a prime.", "chosen": "Seven is a prime.", "rejected": "Nine."}
{"chosen": [{"role": "user", "content": "Name a prime."}, {"role": "assistant", "content": "Seven."}], "rejected": [..]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import as_prompt, first_turn, messages, pair, text, user_prompt, value
from rlhf.data.rows import Drop, Message, Row
from rlhf.dataset_spec import FileDataset

NEEDS = ("chosen", "rejected")


def rows(raw: Mapping[str, Any], spec: FileDataset) -> Row:
    """Take either release's columns; the group is what the user said first."""
    if isinstance(value(raw, "chosen"), list):
        prompt, chosen, rejected = shared_prompt(*(messages(value(raw, column), column) for column in NEEDS))
    else:
        prompt = user_prompt(text(raw, "prompt"))
        chosen, rejected = pair(text(raw, "chosen"), text(raw, "rejected"))
    return Row(prompt, first_turn(prompt), chosen=chosen, rejected=rejected)


def shared_prompt(chosen: list[Message], rejected: list[Message]) -> tuple[tuple[Message, ...], str, str]:
    """Part two conversations that differ in the last, the assistant's, message: prompt, chosen, rejected."""
    if chosen[-1:] and chosen[-1]["role"] != "assistant" or rejected[-1:] and rejected[-1]["role"] != "assistant":
        raise Drop("an answer is empty")  # empty turns are left out, so the user's message is the last
    if chosen[:-1] != rejected[:-1]:
        raise Drop("prompts differ")
    prompt = as_prompt(chosen[:-1])
    return (prompt, *pair(chosen[-1]["content"], rejected[-1]["content"]))
