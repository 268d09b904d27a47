"""A small world of questions and answers with known intents, and the task suite run on it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rlhf.data.rows import Row
from rlhf.evaluation.contract import Findings, Tools
from rlhf.evaluation.suites.task import build
from rlhf.evaluation_spec import TaskSpec

CONF = Path(__file__).parents[3] / "conf"
SPEC = TaskSpec(**yaml.safe_load((CONF / "suite" / "task.yaml").read_text(encoding="utf-8")))

# what each intent's answers are made of, and what its questions are made of: "cancel" and "refund" are in both
ANSWERS = {
    "cancel_order": ["I cancel the order", "the order is stopped", "it will not be sent"],
    "get_refund": ["the refund is on its way", "your money comes back", "it is on your card in five days"],
    "hours": ["we open at eight", "the doors close at six", "come in the morning"],
    "address": ["I changed the street", "the parcel goes to the new home", "your house number is saved"],
}
QUESTIONS = {
    "cancel_order": "please cancel the order",
    "get_refund": "where is the refund",
    "hours": "when are you there",
    "address": "I have moved",
}


def row(intent: str, rng: random.Random, number: int) -> Row:
    said = [*rng.sample(ANSWERS[intent], 2), rng.choice(["thanks", "goodbye", "dear friend"])]
    rng.shuffle(said)
    question = f"{QUESTIONS[intent]} {number}"
    return Row(
        prompt=({"role": "user", "content": question},),
        group=str(number),
        completion=". ".join(said),
        meta={"intent": intent, "category": "ORDER" if "o" in intent else "REST"},
    )


def world(count: int, seed: int) -> list[Row]:
    rng = random.Random(seed)
    return [row(rng.choice(sorted(ANSWERS)), rng, number) for number in range(count)]


TRAIN, TEST = world(160, 1), world(80, 2)


def tools_of(train: Sequence[Row]) -> Tools:
    def unused(*_: Any) -> Any:
        raise AssertionError("not for this suite")

    return Tools(lambda shape: train, unused, unused, 200, 0, Path("unused"), lambda line: None)


def measured(
    texts: Sequence[str], train: Sequence[Row] = TRAIN, test: Sequence[Row] = TEST, **changes: Any
) -> Findings:
    return build(SPEC.model_copy(update=changes), tools_of(train))(test, texts)


def references(rows: Sequence[Row] = TEST) -> list[str]:
    return [row.completion or "" for row in rows]
