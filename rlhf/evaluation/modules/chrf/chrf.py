"""chrF2 of predictions beside one reference each, 0 to 100: sacreBLEU's, of the whole set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate

from rlhf.evaluation.modules import described
from rlhf.evaluation.text.overlap import chrf_formula, chrf_statistics


class Chrf(evaluate.Metric):
    """`compute(predictions=, references=)` -> {"chrf"}."""

    def _info(self) -> Any:
        return described(str(__doc__))

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        return {"chrf": float(chrf_formula(chrf_statistics(predictions, references).sum(axis=0, keepdims=True))[0])}
