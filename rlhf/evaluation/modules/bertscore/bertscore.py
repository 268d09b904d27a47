"""BERTScore F1, mean, of predictions beside one reference each, by any encoder of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate

from rlhf.evaluation.modules import described
from rlhf.evaluation.text.bertscore import Encoder


class Bertscore(evaluate.Metric):
    """`compute(predictions=, references=, encoder=FOLDER_OR_HUB_ID[, layer=])` -> {"bertscore_f1"}."""

    def _info(self) -> Any:
        return described(str(__doc__))

    def _compute(
        self, predictions: Sequence[str], references: Sequence[str], encoder: str, layer: int | None = None
    ) -> dict[str, float]:
        scores = Encoder(encoder, None, layer, device="auto", batch_size=32).f1(predictions, references)
        return {"bertscore_f1": sum(scores) / len(scores)}
