"""Self-BLEU of predictions, 0 to 100: mean sentence BLEU of each with all the others as references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate

from rlhf.evaluation.modules import described
from rlhf.evaluation.text.self_bleu import self_bleu
from rlhf.evaluation_spec import Tokenizer


class SelfBleu(evaluate.Metric):
    """`compute(predictions=, tokenize=)` -> {"self_bleu"}; takes two predictions or more."""

    def _info(self) -> Any:
        return described(str(__doc__), references=False)

    def _compute(self, predictions: Sequence[str], tokenize: Tokenizer) -> dict[str, float]:
        scores, _ = self_bleu(predictions, tokenize)
        return {"self_bleu": sum(scores) / len(scores)}
