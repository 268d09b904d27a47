"""Tourism conversations in the columns of study S0's spreadsheets; an input may hold several turns.

{"intent": "FindBus", "user_input": "User: A bus, please. Chatbot: To where? User: To Rome.", "chatbot_response": "Chatbot: At 8."}
"""  # noqa: E501

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import answer, as_prompt, first_turn, linked, merge, text
from rlhf.data.rows import Message, Row
from rlhf.dataset_spec import FileDataset

TAG = re.compile(r"(?:^|(?<=\s))(User|Chatbot):\s*")
TELLING_WORDS = 8  # of an exchange that ties two rows together
ROLE = {"User": "user", "Chatbot": "assistant"}


def rows(raw: Mapping[str, Any], spec: FileDataset) -> Row:
    """Take a demonstration; the group is what the user said first, with the exchanges of the input as links.

    Inputs are cut out of longer dialogues: two that share an exchange come from one dialogue, unless it is so short
    ("Thanks. You are welcome.") that it says nothing of where it was said.
    """
    prompt = as_prompt(merge(turns(text(raw, "user_input"))))
    said = answer(re.sub(r"^\s*Chatbot:", "", text(raw, "chatbot_response")))
    contents = [*(turn["content"] for turn in prompt), said]
    exchanges = [f"{asked}\n{got}" for asked, got in zip(contents[::2], contents[1::2], strict=True)]
    telling = [exchange for exchange in exchanges if len(exchange.split()) >= TELLING_WORDS]
    meta = {"intent": text(raw, "intent") if "intent" in raw else "", "language": "en"}
    return Row(prompt, first_turn(prompt), completion=said, meta=linked(meta, *telling[-4:]))


def turns(talk: str) -> list[Message]:
    """Cut `User: ... Chatbot: ...` at its tags; text without a tag, or before the first, is the user's."""
    before, *rest = TAG.split(talk)
    said = [{"role": "user", "content": before.strip()}]
    return said + [
        {"role": ROLE[name], "content": part.strip()} for name, part in zip(rest[::2], rest[1::2], strict=True)
    ]
