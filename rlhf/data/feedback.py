"""Our own vote record: a line of jsonl, or a row of the SQLite table `votes` whose nested columns are JSON text.

{"id": "7f3c", "time": "2026-11-21T12:00:00+00:00", "prompt": [{"role": "user", "content": "Hi"}],
 "answers": [{"text": "Hello!", "model": "run:5d1e", "sampling": {"temperature": 0.7, "max_new_tokens": 64, "seed": 3}},
             {"text": "Yes?", "model": "run:5d1e", "sampling": {"temperature": 1.0, "max_new_tokens": 64, "seed": 4}}],
 "shown_first": 1, "choice": 0, "ratings": {"quality": 4}}

`shown_first` and `choice` number the answers (0 or 1) as they stand in `answers`, not as they stood on the screen, so
that a vote can be told from a habit of taking the first. `choice` may also be "tie" (both alike) or "none" (neither).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import as_prompt, first_turn, items, mapping, messages, pair, shown, text, value
from rlhf.data.rows import Drop, Row
from rlhf.dataset_spec import FileDataset
from rlhf.errors import UserError

CHOICES: dict[int | str, int | str] = {0: 0, 1: 1, "0": 0, "1": 1, "tie": "tie", "none": "neither answer was selected"}


def rows(raw: Mapping[str, Any], spec: FileDataset) -> Row:
    """Take a vote as a pair; ties and votes for neither are dropped. The group is what the user said first."""
    answers = items(raw, "answers", dict)
    if len(answers) != 2:
        raise UserError("column 'answers'", f"{len(answers)} answers where two were expected", "Mend the row")
    choice = _one_of(raw, "choice", "0, 1, tie or none")
    prompt = as_prompt(messages(value(raw, "prompt"), "prompt"))
    if isinstance(choice, str):
        raise Drop(choice)
    first = _one_of(raw, "shown_first", "0 or 1")
    if isinstance(first, str):
        raise UserError("column 'shown_first'", f"{shown(raw['shown_first'])} is not 0 or 1", "Mend the row")
    chosen, rejected = pair(text(answers[choice], "text"), text(answers[1 - choice], "text"))
    meta = {"vote": raw.get("id"), "rating": mapping(raw, "ratings"), "chosen_shown_first": first == choice}
    return Row(prompt, first_turn(prompt), chosen=chosen, rejected=rejected, meta={**meta, "time": raw.get("time")})


def _one_of(raw: Mapping[str, Any], column: str, known: str) -> int | str:
    found = value(raw, column)
    if isinstance(found, bool) or not isinstance(found, int | str) or found not in CHOICES:
        raise UserError(f"column {column!r}", f"{shown(found)} is not {known}", "Mend the row")
    return CHOICES[found]
