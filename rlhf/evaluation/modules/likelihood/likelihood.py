"""Nats per token and perplexity of texts that are given as the log-probs of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate

from rlhf.evaluation.modules import described
from rlhf.evaluation.text.overlap import nll_formula, nll_statistics, perplexity_formula


class Likelihood(evaluate.Metric):
    """`compute(predictions=)`, a list of log-probs per text -> {"nll", "perplexity"}."""

    def _info(self) -> Any:
        return described(str(__doc__), references=False, predictions="floats")

    def _compute(self, predictions: Sequence[Sequence[float]]) -> dict[str, float]:
        sums = nll_statistics(predictions).sum(axis=0, keepdims=True)
        return {"nll": float(nll_formula(sums)[0]), "perplexity": float(perplexity_formula(sums)[0])}
