"""`kind: linear`: a linear regression on which words an answer has, fitted at the start to texts marked +1 or -1.

It is the cheapest judge there is and the easiest to fool: a policy finds its heaviest words within a few steps. It is
fitted from the rows each time, since a stored scikit-learn model is a pickle, and loading one runs whatever is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.data import columns
from rlhf.data.files import read_records
from rlhf.data.rows import Row
from rlhf.errors import UserError
from rlhf.ppo.rewards.base import Scorer, place
from rlhf.ppo_spec import LinearReward
from rlhf.suggest import did_you_mean

WORDS = r"(?u)\b\w+\b|[^\w\s]"  # words of any length, and punctuation: an exclamation mark tells much about tone
LABELS = {"1": 1, "+1": 1, "1.0": 1, "true": 1, "-1": -1, "-1.0": -1, "0": 0, "0.0": 0, "false": 0}


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


def read_marked(name: str, spec: LinearReward) -> tuple[list[str], list[float]]:
    """Return the texts of the file and their marks, 1 or -1."""
    texts, labels = [], []
    try:
        for where, record in read_records(spec.path):
            if isinstance(record, UserError):
                raise record
            texts.append(_text(name, spec, where, record))
            labels.append(_label(name, spec, where, record))
    except UserError as error:
        if error.place != "dataset.path":  # the reader's name for the file that it is given
            raise
        raise UserError(place(name, "path"), error.problem, error.remedy) from None
    kinds = set(labels)
    if {0, -1} <= kinds:
        problem = f"column {spec.label!r} of {spec.path} has both 0 and -1"
        raise UserError(place(name, "label"), problem, "Mark rejected texts either way, not both")
    if len(kinds) < 2:
        problem = f"all {len(labels)} rows of {spec.path} have the same label {labels[0]}"
        raise UserError(place(name, "label"), problem, "Give accepted and rejected texts")
    return texts, [1.0 if label == 1 else -1.0 for label in labels]


def _column(name: str, spec: LinearReward, key: str, where: str, record: Mapping[str, Any]) -> Any:
    column = getattr(spec, key)
    if column not in record:
        problem = f"{where} has no column {column!r}"
        raise UserError(place(name, key), problem, did_you_mean(column, map(str, record)))
    return record[column]


def _text(name: str, spec: LinearReward, where: str, record: Mapping[str, Any]) -> str:
    content = _column(name, spec, "text", where, record)
    try:
        return columns.clean(content, spec.text)
    except UserError as error:
        raise UserError(place(name, "text"), f"{where}: {error.place}: {error.problem}", error.remedy) from None


def _label(name: str, spec: LinearReward, where: str, record: Mapping[str, Any]) -> int:
    value = _column(name, spec, "label", where, record)
    label = LABELS.get(str(value).strip().casefold())
    if label is None:
        remedy = "Mark accepted texts 1 (or true), rejected ones -1 (or 0, or false)"
        raise UserError(place(name, "label"), f"{where}: {value!r} is no label", remedy)
    return label
