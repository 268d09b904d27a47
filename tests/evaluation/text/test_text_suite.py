"""The text suite: what it finds, over how many, what it leaves out and why; and its numbers through `evaluate`."""

from __future__ import annotations

import math
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.evaluation.contract import Findings
from rlhf.evaluation.modules import HERE, NAMES, load
from rlhf.evaluation.suites.text import METRICS, build
from rlhf.evaluation.text import metrics
from tests.bench import run_of
from tests.evaluation.text.text_tools import TEXTS, row, tools

ANSWERS = [
    "Your order arrives on Monday.",
    "",
    "Su pedido llega el lunes por la mañana.",
    "Your order arrives on Monday.",
]
REFERENCES = [
    "Your order arrives on Monday.",
    "We are sorry for the long wait.",
    "El pedido llega el martes por la mañana.",
    None,
]
BOUNDS = {"0 to 1": (0, 1), "0 to 100": (0, 100), "1 / window to 1": (0, 1), "0 and more": (0, math.inf)}
BOUNDS["1 and more"] = (1, math.inf)


@cache
def spec(*words: str):
    return run_of("method=sft", *words).evaluation.text


def find(texts, references, *words: str, **settings_) -> Findings:
    suite = build(spec("evaluation.text.window=3", *words), tools(**settings_))
    return suite([row(reference) for reference in references], texts)


def test_findings_of_four_answers() -> None:
    """Over three references, four answers, 18 words (13 of them different), 36 letters of one answer."""
    found = find(ANSWERS, REFERENCES)
    scores = found.scores
    assert scores["text/exact_match"].each == (1.0, 0.0, 0.0, None)
    assert (scores["text/exact_match"].value, scores["text/exact_match"].n) == (pytest.approx(1 / 3), 3)
    # Spanish: 8 words each, shared are pedido, llega, el (once), por, la, mañana
    assert scores["text/f1"].each == pytest.approx((1.0, 0.0, 2 * 6 / 16, None), nan_ok=True)
    assert scores["text/same_language"].each == (1.0, 0.0, 1.0, None)
    assert scores["text/words"].each == (5.0, 0.0, 8.0, 5.0)
    assert scores["text/unique_words"].each == (5.0, 0.0, 8.0, 5.0)
    assert scores["text/characters"].each == (29.0, 0.0, 39.0, 29.0)
    assert scores["text/empty"].each == (0.0, 1.0, 0.0, 0.0)
    assert scores["text/lexical_diversity"].each == (1.0, 0.0, 1.0, 1.0)
    assert (scores["text/distinct_1"].value, scores["text/distinct_1"].n) == (13 / 18, 18)
    assert (scores["text/distinct_2"].value, scores["text/distinct_2"].n) == (11 / 15, 15)
    assert (scores["text/repeated"].value, scores["text/repeated"].n) == (0.5, 4)
    assert scores["text/mattr"].value == 1.0
    assert scores["text/self_bleu"].n == 4
    # one nat for each of 18 words and 4 ends
    assert (scores["text/nll"].value, scores["text/nll"].n) == (1.0, 22)
    assert scores["text/perplexity"].value == pytest.approx(math.e)
    assert (scores["text/bleu"].n, len(scores["text/bleu"].draws), scores["text/bleu"].each) == (3, 50, ())
    assert any("3 of 4 questions have a reference answer" in note for note in found.notes)
    assert any("tok:13a" in note for note in found.notes)
    assert any("BERTScore is left out" in note for note in found.notes)


def test_tables_of_length_and_language() -> None:
    """Words 0, 5, 5, 8: quartiles lie between neighbours, 95% is 85% of the way from 5 to 8."""
    tables = find(ANSWERS, REFERENCES).tables
    length = tables["Length of answers"]
    assert length.columns == ("unit", "min", "25%", "median", "75%", "95%", "max")
    assert length.rows[0] == ("words", 0.0, 3.75, 5.0, 5.75, 7.55, 8.0)
    languages = tables["Languages of answers and references"]
    assert languages.columns == ("language", "answers", "references")
    assert sorted(languages.rows) == [("en", 2, 2), ("es", 1, 1), ("unknown", 1, 1)]


def test_without_references_what_needs_one_is_left_out() -> None:
    found = find(["Your order arrives on Monday.", "Hello there"], [None, None])
    beside = {metrics.BLEU, metrics.CHRF, metrics.ROUGE_1, metrics.ROUGE_2, metrics.ROUGE_L, metrics.EXACT_MATCH}
    beside |= {metrics.F1, metrics.BERTSCORE_F1, metrics.SAME_LANGUAGE}
    assert set(found.scores) == {metric.name for metric in METRICS} - {metric.name for metric in beside}
    assert any("No question has a reference answer" in note for note in found.notes)
    assert any("text/same_language is left out" in note for note in found.notes)


def test_empty_answers_have_no_variety_and_no_zero_in_its_place() -> None:
    found = find(["", " "], ["Your order arrives on Monday.", "Hello"])
    assert {"text/distinct_1", "text/distinct_2", "text/mattr"} & set(found.scores) == set()
    assert found.scores["text/empty"].value == found.scores["text/repeated"].value == 1.0
    for name in ("text/bleu", "text/chrf", "text/rouge_1", "text/f1", "text/same_language"):
        assert found.scores[name].value == 0
    assert sum("is left out" in note for note in found.notes) == 4  # BERTScore and those three


def test_no_answers_at_all() -> None:
    assert find([], []).scores == {}


def test_one_answer_has_no_others_to_be_like() -> None:
    found = find(["Your order arrives on Monday."], ["Your order arrives on Monday."])
    assert "text/self_bleu" not in found.scores
    assert found.scores["text/bleu"].value == pytest.approx(100)
    assert found.scores["text/distinct_1"].low is None  # nothing is left without it


def test_chinese_references_are_cut_into_signs() -> None:
    """Six of seven signs alike; cut as English the sentences are two different words."""
    texts, references = ["您的订单今天到了。"] * 2, ["您的订单明天到了。"] * 2
    found = find(texts, references)
    assert any("tok:zh" in note for note in found.notes)
    assert found.scores["text/bleu"].value > 30
    assert find(texts, references, "evaluation.text.tokenize=13a").scores["text/bleu"].value == 0
    assert find(texts, ["ご注文は今日届きます。"] * 2).notes[0].count("tok:char") == 1


def test_self_bleu_is_over_the_same_questions_for_every_speaker() -> None:
    """Of 40 answers 10 are drawn by the seed, and those places for the next speaker too."""
    texts = [f"answer number {at} is here" for at in range(40)]
    ones = find(texts, [None] * 40, "evaluation.text.self_bleu_answers=10", seed=3).scores["text/self_bleu"]
    again = find(texts, [None] * 40, "evaluation.text.self_bleu_answers=10", seed=3).scores["text/self_bleu"]
    assert ones == again and ones.n == 10


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS | st.none()), min_size=1, max_size=5))
def test_any_texts_give_finite_numbers_within_their_range(pairs) -> None:
    texts, references = [text for text, _ in pairs], [reference for _, reference in pairs]
    described = {metric.name: metric for metric in METRICS}
    for name, scores in find(texts, references).scores.items():
        low, high = BOUNDS[described[name].range]
        ends = [scores.low, scores.value, scores.high] if scores.low is not None else [scores.value]
        assert all(low - 1e-9 <= end <= high + 1e-9 for end in ends), (name, scores)
        assert scores.n > 0
        assert not scores.each or len(scores.each) == len(texts)
        assert not scores.each or sum(value is not None for value in scores.each) == scores.n


def test_every_metric_is_described_whole() -> None:
    for metric in METRICS:
        assert all((metric.meaning, metric.unit, metric.estimator, metric.range, metric.fooled)), metric.name
    assert len({metric.name for metric in METRICS}) == len(METRICS) == 21


def test_evaluate_gives_the_suites_numbers() -> None:
    """`evaluate.load(folder).compute` on the same texts, without a network."""
    texts, references = ANSWERS[:3], [str(reference) for reference in REFERENCES[:3]]
    scores = {name.removeprefix("text/"): one.value for name, one in find(texts, references).scores.items()}
    beside, found = {"predictions": texts, "references": references}, {}
    for name in ("bleu", "chrf", "rouge", "word_f1", "same_language"):
        found |= load(name).compute(**beside)
    found |= load("diversity").compute(predictions=texts, window=3)
    found |= load("self_bleu").compute(predictions=texts, tokenize="13a")
    found |= load("length").compute(predictions=texts)
    found |= load("likelihood").compute(predictions=[[-1.0] * (len(text.split()) + 1) for text in texts])
    assert "tok:13a" in found.pop("signature")
    renamed = {"rouge1": "rouge_1", "rouge2": "rouge_2", "rougeL": "rouge_l"}
    expected = {name: value for name, value in scores.items() if name != "empty"}
    assert {renamed.get(name, name): value for name, value in found.items()} == pytest.approx(expected)


def test_there_is_a_folder_for_each_module() -> None:
    assert set(NAMES) == {folder.name for folder in HERE.iterdir() if folder.is_dir() and folder.name != "__pycache__"}
