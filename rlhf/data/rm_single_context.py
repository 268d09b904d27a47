r"""Dahoas/rm-single-context: hh-rlhf cut into a context and two answers that keep their `Assistant:`.

{"prompt": "How tall is K2?\n\n", "chosen": "Assistant: 8,611 metres.", "rejected": "Assistant: Tall."}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import as_prompt, group_key, pair, text
from rlhf.data.rows import Drop, Row
from rlhf.data.transcripts import TURN, parse
from rlhf.dataset_spec import FileDataset

NEEDS = ("prompt", "chosen", "rejected")


def rows(raw: Mapping[str, Any], spec: FileDataset) -> Row:
    """Parse the context, whose leading `Human:` is missing; the group is the first human turn, as in hh-rlhf."""
    context, chosen, rejected = (text(raw, column).strip() for column in NEEDS)
    prompt = as_prompt(parse(f"\n\nHuman: {context.removeprefix('Human:')}".removesuffix("\n\nAssistant:")))
    chosen, rejected = pair(chosen.removeprefix("Assistant:"), rejected.removeprefix("Assistant:"))
    if TURN.search(chosen) or TURN.search(rejected):
        raise Drop("an answer holds further turns")
    return Row(prompt, group_key(prompt[0]["content"]), chosen=chosen, rejected=rejected)
