"""What is said of a reward model's scores: each number from margins made by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
from scipy.stats import binomtest
from sklearn.metrics import log_loss

from rlhf.data.rows import Row
from rlhf.evaluation.comparison.statistics import wilson
from rlhf.evaluation.contract import Findings
from rlhf.evaluation.preference import metrics as names
from rlhf.evaluation.preference.pairs import BASELINES, RELIABILITY, SINGLE, examine
from rlhf.evaluation.reward import JudgedPairs
from rlhf.evaluation_spec import PreferenceSpec
from rlhf.stages.reward_pairs import examined, kept_pairs, pair_lines
from rlhf.store import write_json
from tests.bench import run_of, user

SETTINGS = run_of().evaluation.preference.model_dump()


def spec_of(**values: Any) -> PreferenceSpec:
    return PreferenceSpec(**(SETTINGS | values))


def rows_of(count: int, **meta: list[Any]) -> list[Row]:
    """Pairs of one group each, whose chosen answer is the shorter one in every third."""
    rows = []
    for at in range(count):
        chosen, rejected = ("no", "longer") if at % 3 == 0 else ("longer", "no")
        own = {key: values[at] for key, values in meta.items() if values[at] is not None}
        rows.append(Row(user(f"Q{at}"), f"g{at}", chosen=chosen, rejected=rejected, meta=own))
    return rows


def judged_of(margins: list[float], length: list[float], words: list[float]) -> JudgedPairs:
    return JudgedPairs([margin + 1 for margin in margins], [1.0] * len(margins), length, words)


def against_baselines(found: Findings) -> list[dict[str, Any]]:
    table = found.tables[BASELINES]
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


MARGINS = [2.0, -1.0, 0.5, 3.0, 0.0, 1.0]  # 4.5 of 6 right; of those with a shorter chosen answer (0 and 3) both


@pytest.fixture(scope="module")
def found():
    judged = judged_of(MARGINS, [0.0, 1.0, 1.0, 0.0, 1.0, 1.0], [0.5] * 6)
    return examine(rows_of(6), judged, spec_of(bins=1, binning="fixed", shown=3), 500, 0)


def test_final_metrics_are_those_of_the_scores() -> None:
    metrics = judged_of(MARGINS, [1.0] * 3 + [0.0] * 3, [0.5] * 6).metrics()
    losses = [math.log(1 + math.exp(-margin)) for margin in MARGINS]
    assert metrics["final/loss"] == pytest.approx(sum(losses) / 6)
    shares = [1 / (1 + math.exp(-margin)) for margin in MARGINS]
    assert metrics["final/loss"] == pytest.approx(log_loss([1] * 6, shares, labels=[0, 1]))
    assert metrics["final/accuracy"] == 0.75 and metrics["final/margin"] == pytest.approx(5.5 / 6)
    assert metrics["final/accuracy_length_rule"] == metrics["final/accuracy_bag_of_words"] == 0.5
    assert metrics["final/accuracy_low"] == wilson(4.5, 6).low


def test_one_bin_compares_mean_confidence_with_accuracy(found) -> None:
    confidence = sum(1 / (1 + math.exp(-abs(margin))) for margin in MARGINS) / 6
    assert found.tables[RELIABILITY].rows == ((0.5, 1.0, pytest.approx(confidence), 0.75, 6),)
    assert found.scores[names.ECE.name].value == pytest.approx(abs(confidence - 0.75))


def test_a_shorter_chosen_answer_is_looked_at_by_itself(found) -> None:
    share = found.scores[names.ACCURACY_SHORTER.name]
    assert (share.value, share.n) == (1.0, 2)
    longer = [Row(user("Q"), str(at), chosen="longer", rejected="no") for at in range(6)]
    without = examine(longer, judged_of(MARGINS, [0.5] * 6, [0.5] * 6), spec_of(), 50, 0)
    assert names.ACCURACY_SHORTER.name not in without.scores
    assert any(names.ACCURACY_SHORTER.name in note for note in without.notes)


def test_baselines_are_compared_pair_by_pair(found) -> None:
    """Right: 1 0 1 1 .5 1. Length rule: 0 1 1 0 1 1, better twice, worse twice: 0.0833 more on average. Of the words
    rule's halves: 0.25 more, better four times, worse once.
    """
    lines = {
        row[0]: dict(zip(found.tables[BASELINES].columns, row, strict=True)) for row in found.tables[BASELINES].rows
    }
    length, words = lines["answer length"], lines["bag of words"]
    assert length["difference"] == pytest.approx((1 - 1 + 0 + 1 - 0.5 + 0) / 6)
    assert (length["better"], length["worse"]) == (2, 2) and length["p, corrected"] == 1.0
    assert words["difference"] == pytest.approx(0.25)
    assert (words["better"], words["worse"]) == (4, 1)
    assert words["p, corrected"] == pytest.approx(2 * binomtest(4, 5).pvalue)  # the smaller of two
    over = found.scores[names.OVER_WORDS.name]
    assert over.value == pytest.approx(0.25) and over.low is not None and over.low < 0.25 < over.high  # type: ignore[operator]
    assert over.each == (0.5, -0.5, 0.5, 0.5, 0.0, 0.5)


def test_pairs_of_one_group_are_one_piece_of_evidence() -> None:
    """Forty pairs of two groups, one all right and one all wrong: no interval excludes 0, and 1 group against 1."""
    rows = [Row(user(f"Q{at}"), "a" if at < 20 else "b", chosen="x", rejected="yy") for at in range(40)]
    judged = judged_of([1.0] * 20 + [-1.0] * 20, [0.5] * 40, [0.0] * 20 + [1.0] * 20)
    found = examine(rows, judged, spec_of(), 400, 0)
    length, _ = against_baselines(found)
    assert (length["better"], length["worse"]) == (1, 1)
    assert (length["low"], length["high"]) == (-0.5, 0.5)


def test_subsets_are_counted_and_small_ones_pooled() -> None:
    """Intent a has four pairs, b and c one each: pooled. All rows have one language: no table. One has no intent."""
    rows = rows_of(7, intent=["a", "a", "b", "a", "c", "a", None], language=["en"] * 7)
    judged = judged_of([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0], [0.5] * 7, [0.5] * 7)
    found = examine(rows, judged, spec_of(subsets=["intent", "language", "nowhere"], least=2), 50, 0)
    table = found.tables["accuracy by intent"]
    assert table.columns == ("intent", "accuracy", "low", "high", "n")
    a, others = wilson(3, 4), wilson(1, 2)
    assert table.rows == (("a", 0.75, a.low, a.high, 4), ("others (2)", 0.5, others.low, others.high, 2))
    assert not {"accuracy by language", "accuracy by nowhere"} & found.tables.keys()


def test_single_pairs_go_from_the_most_wrong_to_the_most_right(found) -> None:
    rows = [dict(zip(found.tables[SINGLE].columns, row, strict=True)) for row in found.tables[SINGLE].rows]
    assert [row["margin"] for row in rows] == [-1.0, 0.5, 3.0]
    assert [row["pair"] for row in rows] == [1, 2, 3]
    assert rows[0] | {"question": "Q1", "chosen": "longer", "rejected": "no", "score of rejected": 1.0} == rows[0]
    assert SINGLE not in examine(rows_of(6), judged_of(MARGINS, [0.5] * 6, [0.5] * 6), spec_of(shown=0), 50, 0).tables


def test_a_temperature_that_does_not_exist_is_left_out_and_said() -> None:
    for margins, why in (
        ([1.0, 2.0], "every pair is in the right order"),
        ([-1.0, 0.5], "the mean margin is not above 0"),
    ):
        found = examine(rows_of(2), judged_of(margins, [0.5] * 2, [0.5] * 2), spec_of(), 50, 0)
        assert names.TEMPERATURE.name not in found.scores
        assert any(why in note for note in found.notes)
    found = examine(rows_of(4), judged_of([4.0, 4.0, 4.0, -4.0], [0.5] * 4, [0.5] * 4), spec_of(), 50, 0)
    assert found.scores[names.TEMPERATURE.name].value == pytest.approx(4 / math.log(3))


def test_every_number_and_none_else_is_described(found) -> None:
    described = {metric.name for metric in names.OF_REWARD_MODEL}
    assert found.scores.keys() == described
    for metric in (*names.OF_REWARD_MODEL, *names.OF_IMPLICIT_REWARD, *names.OF_ANSWERS):
        assert metric.meaning and metric.unit and metric.estimator and metric.range


def test_kept_scores_are_read_back_and_told(tmp_path) -> None:
    """Sixty pairs, all right but every third, with the confidence of margin 2, 0.88: too sure, and better than the
    rules that are never right about those.
    """
    rows = rows_of(60)
    margins = [-2.0 if at % 3 == 0 else 2.0 for at in range(60)]
    judged = judged_of(margins, [0.0] * 60, [1.0] * 60)
    write_json(tmp_path / "pairs.json", {name: getattr(judged, name) for name in judged.__dataclass_fields__})
    assert kept_pairs(tmp_path, rows) == judged
    assert kept_pairs(tmp_path, rows[1:]) is None and kept_pairs(tmp_path / "none", rows) is None
    told = pair_lines(examined(rows, judged, run_of("evaluation.bootstrap=200").evaluation))
    assert told[0].startswith("beats answer length: accuracy +0.667 [")
    assert told[1].startswith("is worse than bag of words: accuracy -0.333 [")
    assert "does not come true: ECE 0.214" in told[2]  # 0.8808 - 2/3
    assert told[2].endswith("best divided by 2.9")  # sigmoid(2 / T) = 2/3
