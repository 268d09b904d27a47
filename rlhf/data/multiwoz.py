r"""MultiWOZ 2.x (Budzianowski et al. 2018, arXiv 1810.00278): trips through Cambridge; even turns are the tourist's.

{"dialogue_id": "PMUL1", "goal": "{\"hotel\": {\"info\": {}}}", "log": [{"text": "A cheap hotel ?", "metadata": "{}"}, {"text": "In which area ?", "metadata": "{}"}]}
{"dialogue_id": "PMUL1.json", "services": ["hotel"], "turns": {"speaker": [0, 1], "utterance": ["A cheap hotel?", "In which area?"]}}
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import items, parsed, shown, text, value
from rlhf.data.dialogues import answers, numbered
from rlhf.data.rows import Message, Parts
from rlhf.dataset_spec import DialogueFile
from rlhf.errors import UserError

NO_DOMAINS = ("topic", "message")  # of `goal`: what the tourist was told
ROLE = {0: "user", 1: "assistant", "USER": "user", "SYSTEM": "assistant"}


def rows(raw: Mapping[str, Any], spec: DialogueFile) -> Parts:
    """Take the clerk's answers; `meta.category` names the domains. The group is what the tourist said first."""
    if "turns" in raw:  # the hub's columns, of 2.2
        turns = spoken(numbered(value(raw, "turns")))
        domains = items(raw, "services", str) if "services" in raw else []
    else:
        log = items(raw, "log", dict)
        said = [text(turn, "text").strip() for turn in log]
        turns = [{"role": ("user", "assistant")[at % 2], "content": content} for at, content in enumerate(said)]
        domains = _domains(parsed(raw.get("goal"), "goal"))
    return answers(turns, spec.turns, {"category": "+".join(domains), "language": "en"})


def spoken(turns: Any) -> list[Message]:
    """Read `[{"speaker": "USER" or 0, "utterance": text}]`."""
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise UserError("column 'turns'", "not a list of turns", 'Write [{"speaker": "USER", "utterance": "..."}]')
    said = []
    for turn in turns:
        speaker = value(turn, "speaker")
        if isinstance(speaker, bool) or not isinstance(speaker, int | str) or speaker not in ROLE:
            raise UserError("column 'speaker'", f"unknown speaker {shown(speaker)}", "Use USER or SYSTEM")
        said.append({"role": ROLE[speaker], "content": text(turn, "utterance").strip()})
    return said


def _domains(goal: Any) -> list[str]:
    if not isinstance(goal, Mapping):
        return []
    return sorted(name for name, wish in goal.items() if wish and name not in NO_DOMAINS)
