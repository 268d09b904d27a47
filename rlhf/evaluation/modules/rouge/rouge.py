"""ROUGE-1, ROUGE-2 and ROUGE-L, mean F-measures, 0 to 1, over words of any script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate

from rlhf.evaluation.modules import described
from rlhf.evaluation.text.overlap import rouge


class Rouge(evaluate.Metric):
    """`compute(predictions=, references=)` -> {"rouge1", "rouge2", "rougeL"}."""

    def _info(self) -> Any:
        return described(str(__doc__))

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        each = [rouge(*pair) for pair in zip(predictions, references, strict=True)]
        return {name: sum(own[name] for own in each) / len(each) for name in each[0]}
