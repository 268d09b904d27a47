"""Blended Skill Talk (Smith et al. 2020, arXiv 2004.08449): a free and a guided speaker who has a persona.

{"personas": ["i work as an electrician.", "i sleep 8 hours."], "additional_context": "Electrician",
 "previous_utterance": ["Is it dangerous?", "Not if you are trained."], "context": "wizard_of_wikipedia",
 "free_messages": ["Which level are you?", "Great!"], "guided_messages": ["Master.", "It is."],
 "suggestions": {"convai2": [], "empathetic_dialogues": [], "wizard_of_wikipedia": []}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import group_key, items, text
from rlhf.data.dialogues import answers
from rlhf.data.rows import Drop, Parts
from rlhf.dataset_spec import DialogueFile
from rlhf.errors import UserError


def rows(raw: Mapping[str, Any], spec: DialogueFile) -> Parts:
    """Take the guided speaker's answers, with their persona (and topic) as the system message and the group.

    `previous_utterance` is the exchange that both were shown first: it opens every prompt and is no answer itself.
    """
    persona = "\n".join(line.strip() for line in items(raw, "personas", str) if line.strip())
    if not persona:
        raise Drop("the persona is empty")
    shown = items(raw, "previous_utterance", str)
    free, guided = items(raw, "free_messages", str), items(raw, "guided_messages", str)
    if len(free) != len(guided):
        problem = f"{len(guided)} answers to {len(free)} messages"
        raise UserError("column 'guided_messages'", problem, "Give as many as in free_messages")
    said = [part for exchange in zip(free, guided, strict=True) for part in exchange]
    turns = [
        {"role": ("user", "assistant")[at % 2], "content": content.strip()} for at, content in enumerate(shown + said)
    ]
    topic = text(raw, "additional_context").strip()
    system = f"{persona}\nTopic: {topic}" if topic else persona
    meta = {"persona": persona, "category": text(raw, "context"), "language": "en"}
    return answers(turns, spec.turns, meta, system=system, group=group_key(persona), seeds=len(shown))
