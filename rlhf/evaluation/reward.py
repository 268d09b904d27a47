"""How a reward model is measured: held-out pairs, with an interval and between two baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from rlhf.config import EvaluationSpec
from rlhf.data.rows import Corpus, Row
from rlhf.evaluation.baselines import bag_of_words_accuracy, length_rule_accuracy
from rlhf.evaluation.statistics import wilson
from rlhf.losses import preference_loss
from rlhf.models.codec import Codec
from rlhf.models.score import score


def judge_pairs(scorer: Any, codec: Codec, corpus: Corpus, spec: EvaluationSpec) -> dict[str, float]:
    """Score the held-out pairs of `corpus`; returns `final/loss`, `final/accuracy` and the baselines' accuracies."""
    rows = corpus.test
    texts = [(row.prompt, row.chosen or "") for row in rows] + [(row.prompt, row.rejected or "") for row in rows]
    scores = torch.tensor(score(scorer, codec, texts, batch_size=spec.batch_size), dtype=torch.float64)
    chosen, rejected = scores.chunk(2)
    right = float(((chosen > rejected).double() + 0.5 * (chosen == rejected).double()).sum())
    accuracy = wilson(right, len(rows))
    return {
        "final/loss": float(preference_loss(chosen, rejected).mean()),
        "final/accuracy": accuracy.mean,
        "final/accuracy_low": accuracy.low,
        "final/accuracy_high": accuracy.high,
        "final/margin": float((chosen - rejected).mean()),
        "final/accuracy_length_rule": length_rule_accuracy(corpus.train, rows),
        "final/accuracy_bag_of_words": bag_of_words_accuracy(some(corpus.train, spec.baseline_pairs), rows, spec.seed),
    }


def some(train: Sequence[Row], most: int) -> Sequence[Row]:
    """Return all rows, or of many `most` that are evenly spaced."""
    return train if len(train) <= most else [train[place * len(train) // most] for place in range(most)]
