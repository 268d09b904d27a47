"""CrossWOZ (Zhu et al. 2020, arXiv 2002.11893): Chinese trips through Beijing, user and system in turn.

{"dialogue_id": "1", "type": "单领域", "task description": ["..."], "goal": "[]", "final_goal": "[]",
 "messages": [{"role": "usr", "content": "你好，哪里好？"}, {"role": "sys", "content": "故宫。"}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import items, shown, text
from rlhf.data.dialogues import answers
from rlhf.data.rows import Parts
from rlhf.dataset_spec import DialogueFile
from rlhf.errors import UserError

ROLE = {"usr": "user", "sys": "assistant"}


def rows(raw: Mapping[str, Any], spec: DialogueFile) -> Parts:
    """Take the system's answers; `meta.category` is the kind of task. The group is what the user said first."""
    turns = []
    for turn in items(raw, "messages", dict):
        role = turn.get("role")
        if not isinstance(role, str) or role not in ROLE:
            raise UserError("column 'messages'", f"unknown role {shown(role)}", "Use usr or sys")
        turns.append({"role": ROLE[role], "content": text(turn, "content").strip()})
    category = text(raw, "type") if "type" in raw else ""
    return answers(turns, spec.turns, {"category": category, "language": "zh"})
