r"""Synthetic-Persona-Chat (Jandaghi et al. 2023, arXiv 2312.10007): two personas, a dialogue, each a string of lines.

{"user 1 personas": "I have a dog.\nI am a cook.", "user 2 personas": "I like tea.",
 "Best Generated Conversation": "User 1: Hi!\nUser 2: Hello, do you like tea?\nUser 1: I do."}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import group_key, linked, text
from rlhf.data.dialogues import answers
from rlhf.data.rows import Drop, Message, Parts
from rlhf.dataset_spec import DialogueFile

PERSONAS = ("user 1 personas", "user 2 personas")
TALK = "Best Generated Conversation"
TAG = re.compile(r"[*\s]*User ([12])\s*:")  # some dialogues have stars before the tag
ASIDE = re.compile(r"[*\s]*|\[.*\]|\(.*\)")  # a line of stars, or what happens between two turns
ROLE = {"1": "user", "2": "assistant"}


def rows(raw: Mapping[str, Any], spec: DialogueFile) -> Parts:
    """Take User 2's answers to User 1, with User 2's persona as the system message.

    Rows that share a persona block, of whichever of the two, make one group. A line without a tag belongs to the turn
    before it, unless it is blank, stars, or in brackets, which are left out; such text before the first tag drops the
    dialogue, for nobody knows who said it.
    """
    one, two = (_lines(text(raw, column)) for column in PERSONAS)
    if not two:
        raise Drop("the persona is empty")
    meta = linked({"persona": two, "language": "en"}, *(block for block in (one, two) if block))
    return answers(_turns(text(raw, TALK)), spec.turns, meta, system=two, group=group_key(two))


def _lines(block: str) -> str:
    return "\n".join(line.strip() for line in block.split("\n") if line.strip())


def _turns(talk: str) -> list[Message]:
    turns: list[Message] = []
    for line in talk.split("\n"):
        tag = TAG.match(line)
        if tag:
            turns.append({"role": ROLE[tag[1]], "content": line[tag.end() :].strip()})
        elif ASIDE.fullmatch(line.strip()):
            continue
        elif not turns:
            raise Drop("text before the first turn")
        else:
            turns[-1]["content"] = f"{turns[-1]['content']}\n{line.strip()}".strip()
    return turns
