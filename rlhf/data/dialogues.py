"""Whole dialogues become rows: one for each answer, or one for the last; all that was said before is its prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rlhf.data.columns import as_prompt, first_turn, merge
from rlhf.data.rows import Drop, Message, Parts, Row

OPENS = "an answer before anything was asked"


def answers(
    turns: Sequence[Message],
    keep: Literal["each", "last"],
    meta: Mapping[str, Any],
    *,
    system: str = "",
    group: str | None = None,
    seeds: int = 0,
) -> Parts:
    """Make rows of the assistant's turns, those among the first `seeds` turns apart, which nobody of the two wrote.

    `system` is the message that every prompt begins with. The group is what the user said first, unless given. A turn
    that opens the dialogue answers nothing: it is left out and counted. Raises Drop where no answer is left.
    """
    merged, shown = merge(turns), len(merge(turns[:seeds]))
    opening = 1 if merged and merged[0]["role"] == "assistant" else 0
    head = merge([{"role": "system", "content": system.strip()}])
    said = merged[opening:]
    places = [at for at, turn in enumerate(said) if turn["role"] == "assistant" and at + opening >= shown]
    if not places:
        raise Drop("nobody answers")
    rows = []
    for at in places if keep == "each" else places[-1:]:
        prompt = as_prompt([*head, *said[:at]])
        rows.append(Row(prompt, first_turn(prompt) if group is None else group, said[at]["content"], meta=meta))
    return Parts(rows, {OPENS: opening} if keep == "each" and not seeds else {})


def numbered(turns: Any) -> list[dict[str, Any]] | Any:
    """Turn the hub's columns of a nested list, `{"speaker": [0, 1], ...}`, into `[{"speaker": 0, ...}, ...]`."""
    if not isinstance(turns, Mapping):
        return turns
    columns = {name: values for name, values in turns.items() if isinstance(values, list)}
    length = max(map(len, columns.values()), default=0)
    whole = {name: values for name, values in columns.items() if len(values) == length}
    return [{name: values[at] for name, values in whole.items()} for at in range(length)]
