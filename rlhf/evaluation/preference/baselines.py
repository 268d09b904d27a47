"""What a reward model must beat to have understood anything: answer length and single words."""

from __future__ import annotations

from collections.abc import Sequence

from rlhf.data.rows import Row


def length_rule_accuracy(train: Sequence[Row], test: Sequence[Row]) -> float:
    """Accuracy on `test` of always choosing the longer (or the shorter, whichever suits `train`) answer; ties half."""
    outcomes = length_rule_outcomes(train, test)
    return sum(outcomes) / len(outcomes)


def length_rule_outcomes(train: Sequence[Row], test: Sequence[Row]) -> list[float]:
    """Say per row of `test` whether the rule is right: 1, 0, or 0.5 where both answers are as long."""
    longer = sum(_longer(row) for row in train) / len(train)
    return [_longer(row) if longer >= 0.5 else 1 - _longer(row) for row in test]


def _longer(row: Row) -> float:
    chosen, rejected = len(row.chosen or ""), len(row.rejected or "")
    return 1.0 if chosen > rejected else 0.5 if chosen == rejected else 0.0


def bag_of_words_accuracy(train: Sequence[Row], test: Sequence[Row], seed: int) -> float:
    """Accuracy on `test` of a logistic regression on which words occur (chosen minus rejected); ties half.

    It is fit on `train`, each pair in both orders, and never sees the prompt: this is what style alone gives away.
    """
    outcomes = bag_of_words_outcomes(train, test, seed)
    return sum(outcomes) / len(outcomes)


def bag_of_words_outcomes(train: Sequence[Row], test: Sequence[Row], seed: int) -> list[float]:
    """Say per row of `test` whether that regression is right: 1, 0, or 0.5 where it cannot tell."""
    from scipy.sparse import vstack
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    words = CountVectorizer(binary=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]")
    texts = [text for row in train for text in (row.chosen or "", row.rejected or "")]
    if not any(text.strip() for text in texts):
        return [0.5] * len(test)  # no word was ever seen
    words.fit(texts)

    def differences(rows: Sequence[Row]):  # type: ignore[no-untyped-def]  # a scipy sparse matrix
        chosen = words.transform([row.chosen or "" for row in rows])
        return chosen.astype(float) - words.transform([row.rejected or "" for row in rows])

    seen = differences(train)
    model = LogisticRegression(C=0.1, max_iter=1000, fit_intercept=False, random_state=seed)
    model.fit(vstack([seen, -seen]), [1] * len(train) + [0] * len(train))
    margins = differences(test) @ model.coef_[0]
    return [float(value) for value in (margins > 0) + 0.5 * (margins == 0)]
