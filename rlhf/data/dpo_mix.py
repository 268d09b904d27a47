"""DPO-En-Zh-20k and its kin: a conversation, then a better and a worse answer as messages of their own.

{"conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Name a prime."}],
 "chosen": {"from": "gpt", "value": "Seven."}, "rejected": {"from": "gpt", "value": "Nine."}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import as_prompt, first_turn, messages, pair, reply, value
from rlhf.data.rows import Row
from rlhf.dataset_spec import FileDataset


def rows(raw: Mapping[str, Any], spec: FileDataset) -> Row:
    """Take a pair; the group is what the user said first, so that no dialogue stands on both sides."""
    prompt = as_prompt(messages(value(raw, "conversations"), "conversations"))
    chosen, rejected = pair(*(reply(value(raw, column), column) for column in ("chosen", "rejected")))
    return Row(prompt, first_turn(prompt), chosen=chosen, rejected=rejected)
