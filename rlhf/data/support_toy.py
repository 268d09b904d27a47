"""Rows of the toy world: demonstrations of mixed quality and preference pairs by an annotator who sometimes errs."""

from __future__ import annotations

import random
import re
from typing import Any

from rlhf.config import ToyDataset
from rlhf.data.rows import Row, Shape
from rlhf.data.toy_gold import gold
from rlhf.data.toy_world import KINDS, Dialogue, draw_answer, draw_dialogue
from rlhf.errors import UserError

# How often the demonstrating agent behaves in each way: about half well, so that imitation leaves room for preference.
DEMONSTRATION_MIX = {
    "good": 0.38, "curt": 0.11, "partial": 0.08, "bare": 0.06, "off_intent": 0.08, "vague": 0.07, "rude": 0.05,
    "asks_private": 0.08, "leaks": 0.03, "wrong_persona": 0.03, "wrong_language": 0.01, "cut": 0.01, "repetitive": 0.01,
}  # fmt: skip
# The two answers of a pair are drawn apart; every failing must meet good answers often enough for a judge to learn it.
PAIR_MIX = {
    "good": 0.36, "curt": 0.08, "partial": 0.06, "bare": 0.02, "off_intent": 0.14, "vague": 0.06, "rude": 0.06,
    "asks_private": 0.08, "leaks": 0.04, "wrong_persona": 0.05, "wrong_language": 0.01, "cut": 0.02, "repetitive": 0.02,
}  # fmt: skip
CLEAR = 0.3  # least difference in gold reward that an annotator is asked to judge
TRIES = 100


def toy_rows(spec: ToyDataset, shape: Shape) -> list[Row]:
    """Return `spec.rows` rows with distinct prompts; the shape has no say in them, so every shape has the same ones.

    Meta of each row: intent, language, persona, multi_turn; a demonstration adds kind and gold_completion; a pair adds
    gold_chosen, gold_rejected (after the annotator's choice) and flipped (the annotator erred).
    """
    make = {"demonstration": _demonstration, "preference": _preference}[shape]
    return [
        make(dialogue, group, random.Random(f"toy/{shape}/{spec.seed}/{index}"), spec)
        for index, (dialogue, group) in enumerate(_dialogues(spec))
    ]


def _dialogues(spec: ToyDataset) -> list[tuple[Dialogue, str]]:
    """Distinct conversations; two that differ in the persona alone are the same."""
    if not spec.languages:
        raise UserError("dataset.languages", "no language is named", "Take some of [en, es]")
    seen: dict[str, Dialogue] = {}
    for index in range(spec.rows):
        rng = random.Random(f"toy/prompt/{spec.seed}/{index}")
        for _ in range(TRIES):
            dialogue = draw_dialogue(rng, spec.languages, spec.multi_turn_share)
            spoken = " ".join(message["content"] for message in dialogue.messages[1:])
            group = " ".join(re.findall(r"\w+", spoken.lower()))
            if group not in seen:
                seen[group] = dialogue
                break
        else:
            problem = f"the toy world ran out of new prompts after {len(seen)}"
            raise UserError("dataset.rows", problem, f"ask for fewer, say dataset.rows={len(seen) // 2}")
    return [(dialogue, group) for group, dialogue in seen.items()]


def _meta(dialogue: Dialogue) -> dict[str, Any]:
    names = ("intent", "language", "persona", "multi_turn")
    return {name: getattr(dialogue, name) for name in names}


def _kinds(mix: dict[str, float], spec: ToyDataset) -> tuple[list[str], list[float]]:
    kinds = [kind for kind in KINDS if kind != "wrong_language" or len(set(spec.languages)) > 1]
    return kinds, [mix[kind] for kind in kinds]


def _demonstration(dialogue: Dialogue, group: str, rng: random.Random, spec: ToyDataset) -> Row:
    kind = rng.choices(*_kinds(DEMONSTRATION_MIX, spec))[0]
    text = draw_answer(rng, dialogue, kind)
    meta = _meta(dialogue)
    value = gold(Row(dialogue.messages, group, meta=meta), text)
    return Row(dialogue.messages, group, completion=text, meta=meta | {"kind": kind, "gold_completion": value})


def _preference(dialogue: Dialogue, group: str, rng: random.Random, spec: ToyDataset) -> Row:
    kinds, weights = _kinds(PAIR_MIX, spec)
    judged = Row(dialogue.messages, group, meta=_meta(dialogue))
    while True:  # ends: good and bad answers are both frequent
        texts = [draw_answer(rng, dialogue, kind) for kind in rng.choices(kinds, weights, k=2)]
        (worse, low), (better, high) = sorted(((text, gold(judged, text)) for text in texts), key=lambda pair: pair[1])
        if high - low >= CLEAR:
            break
    flipped = rng.random() < spec.annotator_noise
    if flipped:
        (worse, low), (better, high) = (better, high), (worse, low)
    meta = {**judged.meta, "gold_chosen": high, "gold_rejected": low, "flipped": flipped}
    return Row(dialogue.messages, group, chosen=better, rejected=worse, meta=meta)
