"""KTO's unpaired judgements: one answer and whether it is a good one, in plain text or (argilla, trl-lib) as messages.

{"instruction": "Name a prime.", "output": "Seven.", "tag": true}
{"prompt": [{"role": "user", "content": "Name a prime."}], "completion": [{"role": "assistant", "content": "Nine."}], "label": false}
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import (
    answer,
    as_prompt,
    clean,
    first_turn,
    is_messages,
    label,
    messages,
    reply,
    user_prompt,
    value,
)
from rlhf.data.rows import Row
from rlhf.dataset_spec import FileDataset

NAMES = ("instruction", "output", "tag"), ("prompt", "completion", "label")


def rows(raw: Mapping[str, Any], spec: FileDataset) -> Row:
    """Take a judged answer; the group is what the user said first, so that judgements of a prompt stay together."""
    asked, said, judged = NAMES[1] if "label" in raw else NAMES[0]
    content = value(raw, asked)
    prompt = as_prompt(messages(content, asked)) if is_messages(content) else user_prompt(clean(content, asked))
    completion = answer(reply(value(raw, said), said))
    return Row(prompt, first_turn(prompt), completion=completion, label=label(value(raw, judged), judged))
