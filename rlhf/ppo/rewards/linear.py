"""`kind: linear`: a linear regression on which words an answer has, fitted at the start to texts marked +1 or -1.

It is the cheapest judge there is and the easiest to fool: a policy finds its heaviest words within a few steps. It is
fitted from the rows each time, since a stored scikit-learn model is a pickle, and loading one runs whatever is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlhf.data.rows import Row
from rlhf.errors import UserError
from rlhf.ppo.rewards.base import Scorer
from rlhf.ppo.sources.marked import read_marked
from rlhf.ppo_spec import LinearReward, place

WORDS = r"(?u)\b\w+\b|[^\w\s]"  # words of any length, and punctuation: an exclamation mark tells much about tone


def linear_scorer(name: str, spec: LinearReward) -> Scorer:
    """Return the scorer that predicts each answer's mark (near -1 to 1); `output: decision` gives its sign.

    Raises `UserError` for a file or column that is not there, a label that is none, and labels that are all the same.
    """
    texts, marks = read_marked(name, spec)
    regression = fit(name, texts, marks, spec.ridge)

    def score(rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
        values = [float(value) for value in regression.predict(list(answers))] if answers else []
        return values if spec.output == "score" else [1.0 if value > 0 else -1.0 for value in values]

    return score


def fit(name: str, texts: Sequence[str], marks: Sequence[float], ridge: float) -> Any:
    """Fit TF-IDF weights of the words and a least-squares line through them; return the scikit-learn pipeline."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LinearRegression, Ridge
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(token_pattern=WORDS)
    line = Ridge(alpha=ridge, solver="sparse_cg", tol=1e-8) if ridge else LinearRegression()
    pipeline = make_pipeline(words, line)
    try:
        return pipeline.fit(texts, marks)
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        raise UserError(place(name, "text"), "no row has a word in this column", "Name the answers' column") from error
