"""What the format files share: columns taken as clean text or as messages, and the key that groups rows."""

from __future__ import annotations

import hashlib
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.data.reading.strict import STRICT, fault, too_deep
from rlhf.data.rows import Drop, Message
from rlhf.errors import UserError

ROLES = {"human": "user", "gpt": "assistant"}  # names that other exports use for our roles
SURROGATE = re.compile("[\ud800-\udfff]")
SPOKEN = ("system", "user", "assistant")


class MissingColumn(UserError):
    """A row without a column that its format needs."""

    def __init__(self, column: str, columns: Sequence[str]) -> None:
        has = ", ".join(str(name) for name in columns) or "none"
        super().__init__(f"column {column!r}", f"there is no such column, only: {has}", "Name the right format")


class WrongSpec(UserError):
    """A mistake in the settings, which no row can mend: never counted as a broken row."""


def shown(content: Any) -> str:
    """Write a wrong value for an error's one line, cut short where it is long."""
    return reprlib.repr(content)


def value(raw: Mapping[str, Any], column: str) -> Any:
    """Return the column's value; raises MissingColumn."""
    if column not in raw:
        raise MissingColumn(column, list(raw))
    return raw[column]


def text(raw: Mapping[str, Any], column: str) -> str:
    """Return a column as text, line ends as on Unix, outer white space kept; null is empty text."""
    return clean(value(raw, column), column)


def clean(content: Any, column: str) -> str:
    """Check that `content` is text that can be written as UTF-8, and give it Unix line ends."""
    if content is None:
        return ""
    if not isinstance(content, str):
        raise UserError(f"column {column!r}", f"a {type(content).__name__} where text was expected", "Mend the row")
    if SURROGATE.search(content):
        raise UserError(f"column {column!r}", "half a surrogate pair, which no encoding can write", "Mend the row")
    return content.replace("\r\n", "\n").replace("\r", "\n")


def parsed(content: Any, column: str) -> Any:
    """Return what a column's JSON text says; anything but text is handed back as it is."""
    if not isinstance(content, str):
        return content
    try:
        found = STRICT.decode(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"column {column!r}", fault(error), "Mend the row") from error
    if too_deep(content, found):
        raise UserError(f"column {column!r}", fault(RecursionError()), "Mend the row")
    return found


def items(raw: Mapping[str, Any], column: str, kind: type) -> list[Any]:
    """Return a column that holds a list of `kind` (`str`: cleaned), or JSON text of one; null is the empty list."""
    found = parsed(value(raw, column), column)
    found = [] if found is None else found
    name = {str: "text", dict: "objects", list: "lists", int: "whole numbers"}[kind]
    if not isinstance(found, list) or not all(isinstance(item, kind) for item in found):
        raise UserError(f"column {column!r}", f"not a list of {name}", f"Write a list of {name} there")
    return [clean(item, column) for item in found] if kind is str else found


def mapping(raw: Mapping[str, Any], column: str) -> dict[str, Any]:
    """Return a column that holds an object, or JSON text of one; null, or no such column, is the empty one."""
    found = parsed(raw.get(column), column)
    found = {} if found is None else found
    if not isinstance(found, dict):
        problem = f"a {type(found).__name__} where an object was expected"
        raise UserError(f"column {column!r}", problem, "Mend the row")
    return found


LABELS = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}  # 1 and 0 equal the first two


def label(content: Any, column: str) -> bool:
    """Read a judgement: true or false, 1 or 0, or these as text."""
    key = content.strip().lower() if isinstance(content, str) else content
    if isinstance(key, (bool, int, float, str)) and key in LABELS:
        return LABELS[key]
    raise UserError(f"column {column!r}", f"{shown(content)} is no label", "Use true or false")


def group_key(content: str) -> str:
    """Normalise text for grouping: case and white space do not tell two prompts apart."""
    return " ".join(content.casefold().split())


def is_messages(content: Any) -> bool:
    """Whether a column holds a conversation (a list of messages, or JSON text of one) rather than plain text."""
    return isinstance(content, list) or (isinstance(content, str) and content.lstrip().startswith('[{"'))


def messages(content: Any, column: str) -> list[Message]:
    """Read `[{"role", "content"}]` or `[{"from", "value"}]`, as a list or as JSON text; empty turns are left out."""
    content = parsed(content, column)
    if not isinstance(content, list) or not all(isinstance(turn, dict) for turn in content):
        raise UserError(f"column {column!r}", "not a list of messages", 'Write [{"role": "user", "content": "..."}]')
    turns = []
    for turn in content:
        role = turn.get("role", turn.get("from"))
        role = ROLES.get(role, role) if isinstance(role, str) else role
        if role not in SPOKEN:
            raise UserError(f"column {column!r}", f"unknown role {shown(role)}", f"Use one of {', '.join(SPOKEN)}")
        turns.append({"role": role, "content": clean(turn.get("content", turn.get("value")), column).strip()})
    return merge(turns)


def merge(turns: Sequence[Message]) -> list[Message]:
    """Leave out empty turns and join neighbours of one speaker, so that the speakers alternate."""
    merged: list[Message] = []
    for turn in turns:
        if not turn["content"]:
            continue
        if merged and merged[-1]["role"] == turn["role"]:
            merged[-1] = {**turn, "content": f"{merged[-1]['content']}\n\n{turn['content']}"}
        else:
            merged.append(dict(turn))
    return merged


def as_prompt(turns: Sequence[Message]) -> tuple[Message, ...]:
    """Check that a conversation can be answered: after a system message at most, the user opens and the user ends."""
    if not turns:
        raise Drop("the prompt is empty")
    spoken = turns[1:] if turns[0]["role"] == "system" else turns
    if not spoken or spoken[0]["role"] != "user" or spoken[-1]["role"] != "user":
        raise Drop("the prompt does not begin and end with the user")
    if any(turn["role"] == "system" for turn in spoken):
        raise Drop("a system message in the middle")
    return tuple(turns)


def first_turn(prompt: Sequence[Message]) -> str:
    """Group by what the user said first: equal prompts, and all prompts of one dialogue, then stay together."""
    return group_key(next(turn["content"] for turn in prompt if turn["role"] == "user"))


def linked(meta: Mapping[str, Any], *shared: str) -> dict[str, Any]:
    """Add `links` to the meta of a row: rows that share one of these texts become one group, whatever their own is.

    Texts are kept as digests; at most four are looked at (`splits.LINKS`).
    """
    return {**meta, "links": [hashlib.sha256(group_key(text).encode()).hexdigest()[:16] for text in shared]}


def reply(content: Any, column: str) -> str:
    """Take the text itself, or the last message of a conversation (some exports give a list of one, or just one)."""
    if isinstance(content, dict):
        content = [content]
    if is_messages(content):
        turns = messages(content, column)
        return turns[-1]["content"] if turns and turns[-1]["role"] == "assistant" else ""
    return clean(content, column)


def user_prompt(content: str) -> tuple[Message, ...]:
    """Make a single user message of the text; raises Drop if it is blank."""
    return as_prompt(merge([{"role": "user", "content": content.strip()}]))


def answer(content: str) -> str:
    """Trim a demonstration; raises Drop if nothing is left."""
    if not content.strip():
        raise Drop("the answer is empty")
    return content.strip()


def pair(chosen: str, rejected: str) -> tuple[str, str]:
    """Trim two answers; raises Drop if one is empty or both say the same."""
    chosen, rejected = chosen.strip(), rejected.strip()
    if not chosen or not rejected:
        raise Drop("an answer is empty")
    if chosen == rejected:
        raise Drop("answers are equal")
    return chosen, rejected
