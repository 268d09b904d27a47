r"""Taskmaster-3 and -4 rewards (PERL, arXiv 2403.10704): the agent's next step in a dialogue, judged 0 or 1.

{"conversation_id": "dlg-1", "context": "[{\"role\": \"agent\", \"text\": \"Hi.\"}, {\"role\": \"user\", \"text\": \"A latte.\"}]",
 "generation": "{\"role\": \"agent\", \"text\": \"Hot or iced?\"}", "reward": 1.0}
"""  # noqa: E501

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import answer, as_prompt, clean, first_turn, items, label, linked, merge, parsed, shown, value
from rlhf.data.rows import Drop, Message, Row
from rlhf.dataset_spec import TaskmasterFile
from rlhf.errors import UserError

CALL, RESULT = "API call: ", "API result: "  # what marks a step that is no text, and what came back


def rows(raw: Mapping[str, Any], spec: TaskmasterFile) -> Row:
    """Take a judged step; what the agent says before the user speaks becomes the system message.

    An API's results come from the user's side, since the agent answers them. A step that calls an API is dropped, or
    with `api_calls: keep` written out behind its mark. The group is what the user said first, and all steps of one
    `conversation_id`, where there is one, are tied together.
    """
    turns = [_message(step, "context") for step in items(raw, "context", dict)]
    step = parsed(value(raw, "generation"), "generation")
    if not isinstance(step, dict):
        raise UserError("column 'generation'", "not an object with role and text or api", "Mend the row")
    judged = label(value(raw, "reward"), "reward")
    if "api" in step and spec.api_calls == "drop":
        raise Drop("the step calls an API")
    spoken = next((at for at, turn in enumerate(turns) if turn["role"] == "user"), len(turns))
    greeting = [{**turn, "role": "system"} for turn in turns[:spoken]]
    prompt = as_prompt(merge([*greeting, *turns[spoken:]]))
    said = answer(_message(step, "generation")["content"])
    meta = {"api": "api" in step, "language": "en"}
    dialogue = raw.get("conversation_id")
    if dialogue := clean(str(dialogue) if isinstance(dialogue, int) else dialogue, "conversation_id"):
        meta = linked(meta, dialogue)
    return Row(prompt, first_turn(prompt), completion=said, label=judged, meta=meta)


def _message(step: Mapping[str, Any], column: str) -> Message:
    """Write a step as a message: what user and agent say, which API the agent calls, what comes back."""
    role = step.get("role")
    if role == "api":
        return {"role": "user", "content": RESULT + _json(step.get("response"), column)}
    if role not in ("agent", "user"):
        raise UserError(f"column {column!r}", f"unknown role {shown(role)}", "Use one of agent, user, api")
    content = CALL + _json(step["api"], column) if "api" in step else clean(step.get("text"), column).strip()
    return {"role": "assistant" if role == "agent" else "user", "content": content}


def _json(content: Any, column: str) -> str:
    return clean(json.dumps(content, ensure_ascii=False), column)
