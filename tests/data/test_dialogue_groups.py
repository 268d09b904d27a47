"""Turns of one dialogue are one group in every format that takes conversations, so that no split parts them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rlhf.data.formats import reader
from rlhf.data.groups import united
from rlhf.data.rows import Row
from rlhf.data.splits import keys_of

TURNS = [
    {"role": "user", "content": "A bus, please."},
    {"role": "assistant", "content": "Where to?"},
    {"role": "user", "content": "To Leeds."},
]
RAW: dict[str, Any] = {
    "feedback": lambda turns: {
        "prompt": turns,
        "answers": [{"text": "Yes."}, {"text": "No."}],
        "shown_first": 0,
        "choice": 0,
    },
    "kto_mix": lambda turns: {
        "prompt": turns,
        "completion": [{"role": "assistant", "content": "Yes."}],
        "label": True,
    },
    "pairs": lambda turns: {"prompt": turns, "chosen": "Yes.", "rejected": "No."},
    "table": lambda turns: {"prompt": turns, "completion": "Yes."},
    "ultrafeedback_binarized": lambda turns: {
        "chosen": [*turns, {"role": "assistant", "content": "Yes."}],
        "rejected": [*turns, {"role": "assistant", "content": "No."}],
    },
    "taskmaster_reward": lambda turns: {
        "context": json.dumps(
            [{"role": {"assistant": "agent"}.get(one["role"], one["role"]), "text": one["content"]} for one in turns]
        ),
        "generation": json.dumps({"role": "agent", "text": "Yes."}),
        "reward": 1.0,
    },
}


def read(name: str, raw: dict[str, Any], spec_of: Any) -> Row:
    spec = spec_of(name, path="f.jsonl")
    made: Any = reader(spec.format)(raw, spec)
    return made


@pytest.mark.parametrize("name", RAW)
def test_a_later_turn_is_in_the_group_of_the_first(name: str, spec_of) -> None:
    first, later = (read(name, RAW[name](TURNS[:count]), spec_of) for count in (1, 3))
    assert (len(first.prompt), len(later.prompt)) == (1, 3)
    assert first.group == later.group == "a bus, please."


def test_steps_of_one_conversation_are_tied_whatever_they_open_with(spec_of) -> None:
    made = [
        read("taskmaster_reward", {**RAW["taskmaster_reward"](turns), "conversation_id": dialogue}, spec_of)
        for turns, dialogue in (
            (TURNS, "dlg-1"),
            (TURNS[2:], "dlg-1"),
            (TURNS[2:], 7),
            ([{**TURNS[0], "content": "Hi"}], 8),
        )
    ]
    keys = united(keys_of(made, [b""] * 4, seed=0))
    assert len(set(keys["group"][:3])) == 1
    assert keys["group"][3] != keys["group"][0]
