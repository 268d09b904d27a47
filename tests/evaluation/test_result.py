"""What an evaluation found as plain values that any reader of JSON takes."""

from __future__ import annotations

import json
import math

from rlhf.evaluation.contract import Findings, Scores, Table
from rlhf.evaluation.result import Evaluation, Voice, finite


def test_numbers_that_json_has_no_words_for_are_null() -> None:
    """An infinite perplexity, a resample without a value, an interval without an end, a cell of a table."""
    scores = {
        "text/perplexity": Scores(math.inf, 9, 1.0, math.inf, draws=(2.0, math.nan), questions=2),
        "text/f1": Scores(0.5, 2, each=(0.5, None)),
    }
    table = Table(("bin", "share"), (("first", math.nan), ("second", 1.0)))
    voice = Voice("policy", "policy", "the policy", "f", None, 1)
    found = Evaluation(2, (voice,), {"text": {"policy": Findings(scores, {"bins": table})}}, (), {})
    held = json.loads(json.dumps(found.dump(whole=True), allow_nan=False))
    perplexity = held["metrics"]["text/perplexity"]["policy"]
    assert perplexity == {
        "value": None, "n": 9, "low": 1.0, "high": None, "each": [], "draws": [2.0, None], "questions": 2,
    }  # fmt: skip
    assert held["suites"]["text"]["tables"]["bins"]["policy"]["rows"] == [["first", None], ["second", 1.0]]
    assert found.values_of("policy") == {"text/f1": 0.5}


def test_what_is_finite_stays() -> None:
    values = {"a": (1, 0.0, -2.5, True, None, "inf"), "b": {"c": [math.inf, -math.inf, 1e308]}}
    assert finite(values) == {"a": [1, 0.0, -2.5, True, None, "inf"], "b": {"c": [None, None, 1e308]}}
