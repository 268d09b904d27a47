"""Variety of predictions: distinct-1, distinct-2, share that is repeated, type-token ratios."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate

from rlhf.evaluation.modules import described
from rlhf.evaluation.text.diversity import distinct_share, moving_ratio, repeated_share, type_token_ratio
from rlhf.evaluation.text.words import words


class Diversity(evaluate.Metric):
    """`compute(predictions=, window=)` -> the five shares; None of those that too few words leave undefined."""

    def _info(self) -> Any:
        return described(str(__doc__), references=False)

    def _compute(self, predictions: Sequence[str], window: int) -> dict[str, float | None]:
        answers = [words(text) for text in predictions]
        return {
            "distinct_1": distinct_share(answers, 1),
            "distinct_2": distinct_share(answers, 2),
            "repeated": repeated_share(predictions),
            "lexical_diversity": sum(map(type_token_ratio, answers)) / len(answers),
            "mattr": moving_ratio(answers, window),
        }
