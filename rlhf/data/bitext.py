"""Bitext's customer-support data: one instruction, one answer; the 27K release's columns and the earlier ones.

{"flags": "BL", "instruction": "cancel order {{Order Number}}", "category": "ORDER", "intent": "cancel_order", "response": "..."}
{"context": "customer support", "instruction": "...", "intent": "...", "category": "...", "tags": "BL", "response": "..."}
"""  # noqa: E501

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rlhf.config import FileDataset
from rlhf.data.columns import answer, group_key, text, user_prompt
from rlhf.data.rows import Row

NEEDS = ("instruction", "response")


def rows(raw: Mapping[str, Any], spec: FileDataset) -> Row:
    """Take a demonstration; instructions that differ in digits alone (order numbers) are one group."""
    instruction = text(raw, "instruction")
    meta = {"intent": text(raw, "intent"), "category": text(raw, "category"), "language": "en"}
    meta["flags"] = text(raw, "flags" if "flags" in raw else "tags")
    group = group_key(re.sub(r"\d", "#", instruction))
    return Row(user_prompt(instruction), group, completion=answer(text(raw, "response")), meta=meta)
