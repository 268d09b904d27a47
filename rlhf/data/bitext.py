"""Bitext's customer-support data: one instruction, one answer; the 27K release's columns and the earlier ones.

{"flags": "BL", "instruction": "cancel order {{Order Number}}", "category": "ORDER", "intent": "cancel_order", "response": "..."}
{"context": "customer support", "instruction": "...", "intent": "...", "category": "...", "tags": "BL", "response": "..."}
"""  # noqa: E501

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import answer, group_key, text, user_prompt
from rlhf.data.placeholders import fill
from rlhf.data.rows import Row
from rlhf.dataset_spec import BitextFile


def rows(raw: Mapping[str, Any], spec: BitextFile) -> Row:
    """Take a demonstration; instructions that differ in digits alone (order numbers) are one group."""
    asked, said = text(raw, "instruction"), text(raw, "response")
    meta = {"intent": text(raw, "intent"), "category": text(raw, "category"), "language": "en"}
    meta["flags"] = text(raw, "flags" if "flags" in raw else "tags")
    group = group_key(re.sub(r"\d", "#", asked))
    if spec.placeholders == "fill":
        asked, said = (fill(content, spec.placeholder_seed, group) for content in (asked, said))
    return Row(user_prompt(asked), group, completion=answer(said), meta=meta)
