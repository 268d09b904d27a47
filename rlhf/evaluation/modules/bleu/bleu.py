"""Corpus BLEU of predictions beside one reference each, 0 to 100: sacreBLEU's, by the references' language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate

from rlhf.data.detect.language import language
from rlhf.evaluation.modules import described
from rlhf.evaluation.text.overlap import bleu_formula, bleu_statistics, signature
from rlhf.evaluation.text.words import tokenizer_for
from rlhf.evaluation_spec import Tokenizer


class Bleu(evaluate.Metric):
    """`compute(predictions=, references=[, tokenize=])` -> {"bleu", "signature"}."""

    def _info(self) -> Any:
        return described(str(__doc__))

    def _compute(
        self, predictions: Sequence[str], references: Sequence[str], tokenize: Tokenizer | None = None
    ) -> dict[str, Any]:
        cut = tokenize or tokenizer_for(language(reference)[0] for reference in references)
        sums = bleu_statistics(predictions, references, cut).sum(axis=0, keepdims=True)
        return {"bleu": float(bleu_formula(sums)[0]), "signature": signature(cut)}
