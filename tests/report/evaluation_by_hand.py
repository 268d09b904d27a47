"""An evaluation made by hand: two suites, nine speakers, and numbers whose comparisons are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

QUESTIONS = 40
ROLES = {
    "reference": "reference answers",
    "base": "base model",
    "sft": "sft",
    "dpo": "dpo beta=0.1",
    "ppo": "ppo",
    "echo": "echo of the question",
    "polite": "one polite answer",
    "shuffled": "answers to other questions",
    "random": "random tokens",
}


def speaker(name: str, label: str, **more: Any) -> dict[str, Any]:
    role = "policy" if name in ("dpo", "ppo") else name
    return {"name": name, "role": role, "label": label, "fingerprint": name * 4, "group": None, "seed": None, **more}


def yes(count: int) -> list[float]:
    """`count` questions of yes, the first ones, then no."""
    return [1.0] * count + [0.0] * (QUESTIONS - count)


def score(each: Sequence[float | None], half: float = 0.1) -> dict[str, Any]:
    values = [value for value in each if value is not None]
    value = sum(values) / len(values)
    return {"value": value, "n": len(values), "low": value - half, "high": value + half, "each": list(each)}


def whole(value: float, n: int = 900) -> dict[str, Any]:
    """A metric of the whole set, without anything to compare in pairs."""
    return {"value": value, "n": n, "low": value - 0.01, "high": value + 0.02}


def evaluation() -> dict[str, Any]:
    """`final/accuracy` tells answers from nonsense, `final/eos_share` does not, `made/unknown` nobody describes.

    In accuracy dpo answers 20 questions that base doesn't and loses none, ppo 2. Repetition is lower for dpo on each
    question by 0.1 but for noise.
    """
    accuracy = {"reference": 38, "base": 10, "sft": 12, "dpo": 30, "ppo": 12, "echo": 1, "polite": 0, "shuffled": 3}
    accuracy["random"] = 0
    repeats = {"reference": 0.1, "base": 0.5, "sft": 0.5, "dpo": 0.4, "ppo": 0.5, "echo": 0.1, "polite": 0.1}
    repeats |= {"shuffled": 0.1, "random": 0.02}
    wobble = [0.01 * (place % 3 - 1) for place in range(QUESTIONS)]
    metrics = {
        "final/accuracy": {name: score(yes(count)) for name, count in accuracy.items()},
        "response/repetition": {
            name: score([value + (0 if name == "base" else own) for own in wobble], 0.02)
            for name, value in repeats.items()
        },
        "final/distinct_2": {name: whole(0.1 * place) for place, name in enumerate(accuracy, start=1)},
        "made/unknown": {"dpo": {"value": 12345.678, "n": 3, "low": None, "high": None, "each": []}},
    }
    lines = [[name, *(5 if own == name else 1 for own in ("pay", "cancel"))] for name in ("pay", "cancel")]
    return {
        "questions": QUESTIONS,
        "speakers": [speaker(name, label) for name, label in ROLES.items()],
        "metrics": metrics,
        "suites": {
            "answers": {
                "metrics": ["final/accuracy", "response/repetition"],
                "tables": {"confusion": {"dpo": {"columns": ["asked for", "pay", "cancel"], "rows": lines}}},
                "notes": ["no encoder is given: embeddings are left out"],
            },
            "whole": {"metrics": ["final/distinct_2", "made/unknown"], "tables": {}, "notes": []},
        },
        "notes": ["a note of all"],
        "failures": {"safety": "out of memory"},
        "settings": {"bootstrap": 400, "seed": 0},
        "samples": [],
    }
