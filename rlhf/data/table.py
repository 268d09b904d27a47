"""Any table: `dataset.columns` names which of the file's columns hold what.

columns={prompt: question, completion: answer}              demonstrations
columns={prompt: instruction, completion: output, label: tag}   unpaired labels, {"tag": "True"}
columns={prompt: question, chosen: better, rejected: worse}     preference pairs; without `prompt`, whole conversations
columns={messages: conversation}                            conversations; the last message is the answer
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.config import FileDataset
from rlhf.data.columns import WrongSpec, answer, as_prompt, clean, is_messages, messages, pair, user_prompt, value
from rlhf.data.rows import Drop, Message, Row
from rlhf.data.ultrafeedback_binarized import prompt_key, shared_prompt
from rlhf.errors import UserError

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
LABELS = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}  # 1 and 0 equal the first two


def rows(raw: Mapping[str, Any], spec: FileDataset) -> Row:
    """Map one record; text columns and columns of messages may be mixed. The group is the prompt's text."""
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
        return Row(prompt, prompt_key(prompt), completion=turns[-1]["content"])
    if "prompt" not in at:
        sides = [messages(at[name], spec.mapped[name]) for name in ("chosen", "rejected")]
        prompt, chosen, rejected = shared_prompt(*sides)
        return Row(prompt, prompt_key(prompt), chosen=chosen, rejected=rejected)
    prompt = _prompt(at["prompt"], spec.mapped["prompt"])
    if "chosen" in at:
        chosen, rejected = pair(*(_reply(at[name], spec.mapped[name]) for name in ("chosen", "rejected")))
        return Row(prompt, prompt_key(prompt), chosen=chosen, rejected=rejected)
    completion = answer(_reply(at["completion"], spec.mapped["completion"]))
    label = _label(at["label"], spec.mapped["label"]) if "label" in at else None
    return Row(prompt, prompt_key(prompt), completion=completion, label=label)


def _prompt(content: Any, column: str) -> tuple[Message, ...]:
    if is_messages(content):
        return as_prompt(messages(content, column))
    return user_prompt(clean(content, column))


def _reply(content: Any, column: str) -> str:
    """Take the text itself, or the last message of a conversation (some exports give a list of one)."""
    if isinstance(content, dict):
        content = [content]
    if is_messages(content):
        turns = messages(content, column)
        return turns[-1]["content"] if turns and turns[-1]["role"] == "assistant" else ""
    return clean(content, column)


def _label(content: Any, column: str) -> bool:
    key = content.strip().lower() if isinstance(content, str) else content
    if isinstance(key, (bool, int, float, str)) and key in LABELS:
        return LABELS[key]
    raise UserError(f"column {column!r}", f"{content!r} is no label", "Use true or false")
