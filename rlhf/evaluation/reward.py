"""How a reward model is measured: held-out pairs, with an interval and between two baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlhf.config import EvaluationSpec
from rlhf.data.rows import Corpus, Row
from rlhf.evaluation.comparison.statistics import wilson, wins
from rlhf.evaluation.preference.baselines import bag_of_words_outcomes, length_rule_outcomes
from rlhf.losses import preference_loss
from rlhf.models.codec import Codec
from rlhf.models.score import score


@dataclass(frozen=True)
class JudgedPairs:
    """Scores of held-out pairs in their order, and whether the baselines are right about each: 1, 0, 0.5 on a tie."""

    chosen: list[float]
    rejected: list[float]
    length_rule: list[float]
    bag_of_words: list[float]

    @property
    def margins(self) -> list[float]:
        """Score of chosen minus score of rejected."""
        return [chosen - rejected for chosen, rejected in zip(self.chosen, self.rejected, strict=True)]

    @property
    def right(self) -> list[float]:
        """1 where chosen scores above rejected, 0.5 on a tie."""
        return wins(self.chosen, self.rejected)

    def metrics(self) -> dict[str, float]:
        """Return `final/loss`, `final/accuracy` with its interval, `final/margin` and the baselines' accuracies."""
        chosen, rejected = (torch.tensor(own, dtype=torch.float64) for own in (self.chosen, self.rejected))
        accuracy = wilson(sum(self.right), len(self.right))
        return {
            "final/loss": float(preference_loss(chosen, rejected).mean()),
            "final/accuracy": accuracy.mean,
            "final/accuracy_low": accuracy.low,
            "final/accuracy_high": accuracy.high,
            "final/margin": _mean(self.margins),
            "final/accuracy_length_rule": _mean(self.length_rule),
            "final/accuracy_bag_of_words": _mean(self.bag_of_words),
        }


def judge_pairs(scorer: Any, codec: Codec, corpus: Corpus, spec: EvaluationSpec) -> JudgedPairs:
    """Score the held-out pairs of `corpus` by the model, and by the baselines that are fitted to its training pairs."""
    rows = corpus.test
    texts = [(row.prompt, row.chosen or "") for row in rows] + [(row.prompt, row.rejected or "") for row in rows]
    scores = score(scorer, codec, texts, batch_size=spec.batch_size)
    return JudgedPairs(
        chosen=scores[: len(rows)],
        rejected=scores[len(rows) :],
        length_rule=length_rule_outcomes(corpus.train, rows),
        bag_of_words=bag_of_words_outcomes(some(corpus.train, spec.baseline_pairs), rows, spec.seed),
    )


def some(train: Sequence[Row], most: int) -> Sequence[Row]:
    """Return all rows, or of many `most` that are evenly spaced."""
    return train if len(train) <= most else [train[place * len(train) // most] for place in range(most)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
