"""Votes as a Realtime Database exports them (study S0): two answers, which one was selected, and ratings.

{"prompt": "Hi", "responses": {"response1": "Hello!", "response2": "Yes?", "selected": "Response 1"},
 "ratings": {"overall_quality": 4, "response_speed": 5, "assessment": {"hallucination": false}},
 "metadata": {"model": "mt5", "feedback_version": "1.1"}, "timestamp": "2025-03-01T00:00:00"}
{"prompt": "Hi", "response1": "Hello!", "response2": "Yes?", "selected": "Response 2", "overall_quality": 2}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.data.columns import first_turn, pair, shown, text, user_prompt
from rlhf.data.rows import Drop, Row
from rlhf.dataset_spec import FileDataset
from rlhf.errors import UserError

CHOICES = {"response 1": 0, "response 2": 1, "response none": None}
NONE = "neither answer was selected"


def rows(raw: Mapping[str, Any], spec: FileDataset) -> Row:
    """Take a vote in the nested layout, or the older one whose keys (or just `overall_quality`) lie flat.

    `meta.selected` is 1 or 2, the place where the chosen answer was shown. The group is the prompt's text.
    """
    answers, ratings = (_below(raw, key) for key in ("responses", "ratings"))
    selected = text(answers, "selected").strip()
    if selected.lower() not in CHOICES:
        remedy = "Use Response 1, Response 2 or Response None"
        raise UserError("column 'selected'", f"{shown(selected)} is no choice", remedy)
    prompt = user_prompt(text(raw, "prompt"))
    both = [text(answers, f"response{number}") for number in (1, 2)]
    choice = CHOICES[selected.lower()]
    if choice is None:
        raise Drop(NONE)
    chosen, rejected = pair(both[choice], both[1 - choice])
    quality = ratings.get("overall_quality", raw.get("overall_quality"))
    meta = {"selected": choice + 1, "rating": quality, "time": raw.get("timestamp")}
    return Row(prompt, first_turn(prompt), chosen=chosen, rejected=rejected, meta=meta)


def _below(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the object at `key`, or the record itself where its layout is flat."""
    below = raw.get(key, raw)
    if not isinstance(below, Mapping):
        raise UserError(f"column {key!r}", f"a {type(below).__name__} where an object was expected", "Mend the row")
    return below
