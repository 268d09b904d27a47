"""The scores that suites give: means over questions and metrics of a whole set, each with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rlhf.evaluation.contract import Scores, Tools, corpus_scores, mean_scores
from rlhf.evaluation.text.resample import summed_scores


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    def nothing(*_: object) -> Sequence[object]:
        return []

    return Tools(nothing, nothing, lambda: None, 500, 0, tmp_path, print)  # type: ignore[arg-type]


def test_questions_without_a_value_are_neither_counted_nor_taken_for_0(tools: Tools) -> None:
    scores = mean_scores([1.0, None, 3.0], tools)
    assert (scores.value, scores.n, scores.each) == (2.0, 2, (1.0, None, 3.0))
    assert scores.low is not None and 1.0 <= scores.low <= 2.0
    with pytest.raises(ValueError, match="no question has a value"):
        mean_scores([None], tools)


def test_a_share_has_wilsons_interval_also_at_its_ends(tools: Tools) -> None:
    """0 of 8 reaches up to z^2 / (8 + z^2), 8 of 8 down to 8 / (8 + z^2), z = 1.96; a single one as 1 of 1."""
    square = 1.959964**2
    none, every, alone = (mean_scores(values, tools) for values in ([0.0] * 8, [1.0, None] * 8, [1.0]))
    assert (none.low, none.high) == (0.0, pytest.approx(square / (8 + square)))
    assert (every.low, every.high, every.n) == (pytest.approx(8 / (8 + square)), 1.0, 8)
    assert (alone.low, alone.high) == (pytest.approx(1 / (1 + square)), 1.0)


def test_ties_alone_are_not_sure_to_be_half(tools: Tools) -> None:
    ties = mean_scores([0.5] * 8, tools)
    assert ties.low is not None and ties.high is not None and ties.low < 0.3 < 0.7 < ties.high


def test_one_value_that_is_no_share_has_no_interval(tools: Tools) -> None:
    assert mean_scores([None, 3.25], tools) == Scores(3.25, 1, None, None, (None, 3.25))


def test_a_metric_of_the_whole_set_keeps_its_draws_in_pairs(tools: Tools) -> None:
    """Twice the same statistic on the same questions draws the same: their difference is 1 on every resample."""
    words = np.array([3, 4, 7, 9, 1])
    ours = corpus_scores(lambda places: float(words[places].sum()), 5, 24, tools)
    theirs = corpus_scores(lambda places: float(words[places].sum() - 1), 5, 24, tools)
    assert (ours.value, ours.n, ours.questions, ours.each, len(ours.draws)) == (24.0, 24, 5, (), 500)
    assert {round(a - b, 9) for a, b in zip(ours.draws, theirs.draws, strict=True)} == {1.0}
    assert ours.low is not None and ours.high is not None and 5 <= ours.low < 24 < ours.high <= 45


def test_one_question_has_no_interval(tools: Tools) -> None:
    alone = corpus_scores(lambda places: float(len(places)), 1, 24, tools)
    assert (alone.value, alone.questions, alone.low, alone.high) == (1.0, 1, None, None)
    ratio = summed_scores(np.array([[3.0, 4.0]]), lambda sums: sums[:, 0] / sums[:, 1], tools, 24)
    assert (ratio.value, ratio.n, ratio.questions, ratio.low, ratio.high) == (0.75, 24, 1, None, None)
