"""Length of predictions: mean words, different words and characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate

from rlhf.evaluation.modules import described
from rlhf.evaluation.text.words import words


class Length(evaluate.Metric):
    """`compute(predictions=)` -> {"words", "unique_words", "characters"}."""

    def _info(self) -> Any:
        return described(str(__doc__), references=False)

    def _compute(self, predictions: Sequence[str]) -> dict[str, float]:
        answers = [words(text) for text in predictions]
        return {
            "words": sum(map(len, answers)) / len(answers),
            "unique_words": sum(len(set(own)) for own in answers) / len(answers),
            "characters": sum(map(len, predictions)) / len(predictions),
        }
