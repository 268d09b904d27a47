"""Linear regression on words against scikit-learn's own, and rows that teach nothing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, Ridge

from rlhf.ppo.rewards import build_scorer
from rlhf.ppo.rewards.linear import WORDS
from tests.ppo.sources import ANSWERS, PARTS, ROWS, refusal, spec


def linear(path: Path | str, **values: Any) -> Any:
    settings = {"path": str(path), "text": "text", "label": "label", "ridge": 1.0, "output": "score"}
    return spec("linear", **(settings | values))


MARKED = [
    ("thank you , i can help with your order", 1),
    ("please wait , i can help", 1),
    ("your order is on its way", 1),
    ("no", -1),
    ("go away !", -1),
    ("what is your password ? no password , no order", -1),
]


def marked(folder: Path, values: dict[int, Any], ending: str) -> Path:
    """Write `MARKED` with labels as `values` says."""
    rows = [{"text": text, "label": values[mark]} for text, mark in MARKED]
    if ending == "csv":
        body = "text,label\n" + "".join(f'"{row["text"]}",{row["label"]}\n' for row in rows)
    else:
        body = "".join(json.dumps(row) + "\n" for row in rows)
    file = folder / f"marked.{ending}"
    file.write_bytes(gzip.compress(body.encode()) if ending.endswith("gz") else body.encode())
    return file


@pytest.mark.parametrize(
    ("values", "ending"),
    [
        ({1: "1", -1: "-1"}, "csv"),
        ({1: "True", -1: "false"}, "csv"),
        ({1: 1.0, -1: 0}, "jsonl.gz"),
        ({1: True, -1: False}, "jsonl"),
    ],
)
@pytest.mark.parametrize("ridge", [1.0, 0.0])
def test_a_linear_reward_is_sklearns_own_regression(
    values: dict[int, Any], ending: str, ridge: float, tmp_path: Path
) -> None:
    """Solved here in dense matrices and another solver."""
    words = TfidfVectorizer(token_pattern=WORDS)
    seen = words.fit_transform([text for text, _ in MARKED]).toarray()
    line = Ridge(alpha=ridge, solver="cholesky") if ridge else LinearRegression()
    line.fit(seen, [mark for _, mark in MARKED])
    truth = line.predict(words.transform(ANSWERS).toarray()).tolist()
    file = marked(tmp_path, values, ending)
    assert build_scorer("own", linear(file, ridge=ridge), PARTS)(ROWS, ANSWERS) == pytest.approx(truth, abs=1e-4)
    signs = build_scorer("own", linear(file, ridge=ridge, output="decision"), PARTS)(ROWS, ANSWERS)
    assert signs == [1.0 if value > 0 else -1.0 for value in truth]
    assert signs[0] == 1.0 and signs[1] == -1.0
    assert build_scorer("own", linear(file), PARTS)([], []) == []


@pytest.mark.parametrize(
    ("content", "values", "place", "words"),
    [
        (None, {}, "method.rewards.own.path", "there is no"),
        ("", {}, "marked.csv", "no rows"),
        ("text,label\n", {}, "marked.csv", "no rows"),
        ("text,label\na,1,2\n", {}, "marked.csv:2", "not as many fields"),
        ("text,label\na,1\nb,-1\n", {"text": "txt"}, "method.rewards.own.text", "Did you mean `text`?"),
        ("text,label\na,1\nb,-1\n", {"label": "lable"}, "method.rewards.own.label", "Did you mean `label`?"),
        ("text,label\na,1\nb,maybe\n", {}, "method.rewards.own.label", "'maybe' is no label"),
        ("text,label\na,1\nb,\n", {}, "method.rewards.own.label", "marked.csv:3: '' is no label"),
        ("text,label\na,1\nb,1\n", {}, "method.rewards.own.label", "all 2 rows"),
        ("text,label\na,1\nb,0\nc,-1\n", {}, "method.rewards.own.label", "both 0 and -1"),
        ("text,label\n,1\n,-1\n", {}, "method.rewards.own.text", "no row has a word"),
    ],
)
def test_rows_that_teach_nothing_are_refused(
    content: str | None, values: dict[str, str], place: str, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "marked.csv"
    if content is not None:
        file.write_text(content)
    error = refusal(linear(file, **values))
    assert error.place.endswith(place) and words in str(error)


def test_texts_that_are_none_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "marked.jsonl"
    file.write_text('{"text": 5, "label": 1}\n')
    error = refusal(linear(file))
    assert error.place == "method.rewards.own.text" and "marked.jsonl:1" in error.problem
