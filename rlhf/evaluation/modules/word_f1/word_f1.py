"""Exact match and word F1, means from 0 to 1, as SQuAD and ConvAI2 compare answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate

from rlhf.evaluation.modules import described
from rlhf.evaluation.text.overlap import exact_match, word_f1


class WordF1(evaluate.Metric):
    """`compute(predictions=, references=)` -> {"exact_match", "f1"}."""

    def _info(self) -> Any:
        return described(str(__doc__))

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        pairs = list(zip(predictions, references, strict=True))
        return {
            "exact_match": sum(exact_match(*pair) for pair in pairs) / len(pairs),
            "f1": sum(word_f1(*pair) for pair in pairs) / len(pairs),
        }
