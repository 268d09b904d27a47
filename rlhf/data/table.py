"""Any table: `dataset.columns` names which of the file's columns hold what.

columns={prompt: question, completion: answer}              demonstrations
columns={prompt: instruction, completion: output, label: tag}   unpaired labels, {"tag": "True"}
columns={prompt: question, chosen: better, rejected: worse}     preference pairs; without `prompt`, whole conversations
columns={messages: conversation}                            conversations; the last message is the answer
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import (
    WrongSpec,
    answer,
    as_prompt,
    clean,
    first_turn,
    is_messages,
    label,
    messages,
    pair,
    reply,
    user_prompt,
    value,
)
from rlhf.data.rows import Drop, Message, Row
from rlhf.data.ultrafeedback_binarized import shared_prompt
from rlhf.dataset_spec import TableFile

SHAPES: tuple[frozenset[str], ...] = tuple(
    frozenset(names.split())
    for names in (
        "prompt completion",
        "prompt completion label",
        "prompt chosen rejected",
        "chosen rejected",
        "messages",
    )
)


def rows(raw: Mapping[str, Any], spec: TableFile) -> Row:
    """Map one record; text columns and columns of messages may be mixed. The group is what the user said first."""
    if frozenset(spec.mapped) not in SHAPES:
        known = " | ".join(" ".join(sorted(shape)) for shape in SHAPES)
        problem = f"{sorted(spec.mapped) or 'nothing'} does not make a row"
        raise WrongSpec("dataset.columns", problem, f"Map one of: {known}")
    at = {name: value(raw, column) for name, column in spec.mapped.items()}
    if "messages" in at:
        turns = messages(at["messages"], spec.mapped["messages"])
        if turns and turns[-1]["role"] != "assistant":
            raise Drop("the answer is empty")
        prompt = as_prompt(turns[:-1])
        return Row(prompt, first_turn(prompt), completion=turns[-1]["content"])
    if "prompt" not in at:
        sides = [messages(at[name], spec.mapped[name]) for name in ("chosen", "rejected")]
        prompt, chosen, rejected = shared_prompt(*sides)
        return Row(prompt, first_turn(prompt), chosen=chosen, rejected=rejected)
    prompt = _prompt(at["prompt"], spec.mapped["prompt"])
    if "chosen" in at:
        chosen, rejected = pair(*(reply(at[name], spec.mapped[name]) for name in ("chosen", "rejected")))
        return Row(prompt, first_turn(prompt), chosen=chosen, rejected=rejected)
    completion = answer(reply(at["completion"], spec.mapped["completion"]))
    judged = label(at["label"], spec.mapped["label"]) if "label" in at else None
    return Row(prompt, first_turn(prompt), completion=completion, label=judged)


def _prompt(content: Any, column: str) -> tuple[Message, ...]:
    if is_messages(content):
        return as_prompt(messages(content, column))
    return user_prompt(clean(content, column))
