"""Pairs as `rlhf/pairs` writes them: a conversation, a better and a worse answer, and where they come from.

{"prompt": [{"role": "user", "content": "Hi"}], "chosen": "Hello!", "rejected": "Go away.", "meta": {"source": "rude"}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import as_prompt, first_turn, items, mapping, messages, pair, text, value
from rlhf.data.rows import Row
from rlhf.dataset_spec import FileDataset


def rows(raw: Mapping[str, Any], spec: FileDataset) -> Row:
    """Take a pair with all of its `meta`; the group is `meta.group`, the source's, or else what the user said first."""
    meta = mapping(raw, "meta")
    prompt = as_prompt(messages(value(raw, "prompt"), "prompt"))
    chosen, rejected = pair(text(raw, "chosen"), text(raw, "rejected"))
    if "links" in meta:  # what ties it to rows of other groups
        meta["links"] = items(meta, "links", str)
    group = meta.get("group")
    group = group if isinstance(group, str) and group else first_turn(prompt)
    return Row(prompt, group, chosen=chosen, rejected=rejected, meta=meta)
