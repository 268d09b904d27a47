r"""Schema-Guided Dialogue (Rastogi et al. 2020, arXiv 1909.05855): travel services, user and system in turn.

{"dialogue_id": "train/1_00000", "services": ["Buses_1"], "turns": [{"speaker": "USER", "utterance": "A bus, please.",
 "frames": "[{\"state\": {\"active_intent\": \"FindBus\"}}]"}, {"speaker": "SYSTEM", "utterance": "To where?"}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rlhf.data.columns import items, parsed, value
from rlhf.data.dialogues import answers, numbered
from rlhf.data.multiwoz import spoken
from rlhf.data.rows import Parts
from rlhf.dataset_spec import DialogueFile


def rows(raw: Mapping[str, Any], spec: DialogueFile) -> Parts:
    """Take the system's answers; `meta.category` names the services, `meta.intent` the wish at that moment.

    The group is what the user said first.
    """
    turns = numbered(value(raw, "turns"))
    said = spoken(turns)
    made = answers(said, spec.turns, {"category": "+".join(items(raw, "services", str)), "language": "en"})
    intents = [_intent(turn.get("frames")) for turn, spoke in zip(turns, said, strict=True) if spoke["role"] == "user"]
    if [turn["role"] for turn in said] != ["user", "assistant"] * (len(said) // 2) + ["user"] * (len(said) % 2):
        return made  # turns that were joined or left out: no telling whose intent is whose
    told = []
    for row in made.rows:
        asked = sum(turn["role"] == "user" for turn in row.prompt)
        told.append(replace(row, meta={**row.meta, "intent": intents[asked - 1]}))
    return Parts(told, made.dropped)


def _intent(frames: Any) -> str:
    """Return the first intent that is active, or NONE."""
    found = numbered(parsed(frames, "frames"))
    states = [frame.get("state") for frame in found if isinstance(frame, dict)] if isinstance(found, list) else []
    named = [str(state.get("active_intent") or "NONE") for state in states if isinstance(state, dict)]
    return next((name for name in named if name != "NONE"), "NONE")
