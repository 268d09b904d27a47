r"""Transcripts of the hh-rlhf kind: turns that begin with `\n\nHuman:` or `\n\nAssistant:`."""

from __future__ import annotations

import re

from rlhf.data.columns import merge
from rlhf.data.rows import Drop, Message

TURN = re.compile(r"\n\n(Human|Assistant):")
ROLE = {"Human": "user", "Assistant": "assistant"}


def parse(transcript: str) -> list[Message]:
    r"""Turn `\n\nHuman: Hi\n\nAssistant: Hello` into messages, empty turns left out and split turns joined."""
    before, *rest = TURN.split(transcript)
    if before.strip():
        raise Drop("text before the first turn")
    roles, contents = rest[::2], rest[1::2]
    return merge([{"role": ROLE[role], "content": said.strip()} for role, said in zip(roles, contents, strict=True)])
