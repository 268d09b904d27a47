"""Overlap with references: sums worked by hand, and the numbers of sacreBLEU, rouge-score and NLTK."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from nltk.translate.bleu_score import corpus_bleu
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from rlhf.evaluation.contract import corpus_scores
from rlhf.evaluation.text.overlap import (
    bleu_formula,
    bleu_statistics,
    chrf_formula,
    chrf_statistics,
    exact_match,
    nll_formula,
    nll_statistics,
    perplexity_formula,
    rouge,
    rouge_scorer,
    signature,
    word_f1,
)
from rlhf.evaluation.text.resample import summed_scores
from tests.evaluation.text.text_tools import PLAIN, TEXTS, pairs_of, tools

TOKENIZERS = ("13a", "intl", "char", "zh", "none")


def bleu(answers, references, tokenize="13a") -> float:
    return float(bleu_formula(bleu_statistics(answers, references, tokenize).sum(axis=0, keepdims=True))[0])


def chrf(answers, references) -> float:
    return float(chrf_formula(chrf_statistics(answers, references).sum(axis=0, keepdims=True))[0])


def test_bleu_by_hand() -> None:
    """Words 5 of 6, pairs 3 of 5, triples 1 of 4; no run of four of 3, smoothed to a half; as long as the reference.

    (5/6 x 3/5 x 1/4 x (1/2)/3) ^ (1/4) = (1/48) ^ (1/4).
    """
    assert bleu(["the cat sat on the mat"], ["the cat is on the mat"]) == pytest.approx(100 * (1 / 48) ** 0.25)


def test_bleu_of_a_short_answer_by_hand() -> None:
    """All of four words, three pairs, two triples, one run of four; the reference has six words: e^(1 - 6/4)."""
    assert bleu(["a b c d"], ["a b c d e f"]) == pytest.approx(100 * math.exp(-0.5))


def test_bleu_sums_counts_before_it_divides() -> None:
    """Words 5 of 8, pairs 4 of 6, triples 3 of 4, runs of four 2 of 2: not the mean of 100 and 0."""
    answers, references = ["a b c d e", "x y z"], ["a b c d e", "u v w"]
    expected = 100 * (5 / 8 * 4 / 6 * 3 / 4 * 2 / 2) ** 0.25
    assert bleu(answers, references) == pytest.approx(expected)


def test_chrf_by_hand() -> None:
    """`ab` beside `abc`: precision 1 and 1, recall 2/3 and 1/2, no run of three: F2 = 5 x 7/12 / (4 + 7/12)."""
    assert chrf(["ab"], ["abc"]) == pytest.approx(100 * 35 / 55)


def test_rouge_by_hand() -> None:
    """Two words of 3 and 4 are shared, one pair of 2 and 3, and they stand in the same order."""
    assert rouge("The cat sat.", "the cat is on") == pytest.approx({"rouge1": 4 / 7, "rouge2": 2 / 5, "rougeL": 4 / 7})
    assert rouge("b a", "a b") == pytest.approx({"rouge1": 1.0, "rouge2": 0.0, "rougeL": 0.5})


def test_rouge_reads_every_script() -> None:
    """rouge-score's own tokenizer sees no word in Chinese and cuts Spanish words at their accents."""
    spanish, chinese = rouge("¿Dónde está?", "Dónde estaba"), rouge("您的订单到了。", "您的包裹到了。")
    assert spanish["rouge1"] == 0.5  # one word of two and two; está and estaba are two words
    assert chinese["rouge1"] == pytest.approx(4 / 6)  # six signs each, 您 的 到 了 in both
    assert rouge_scorer()(["rouge1"]).score("您的订单到了。", "您的订单到了。")["rouge1"].fmeasure == 0


@pytest.mark.parametrize(
    ("answer", "reference", "equal", "f1"),
    [
        ("The order arrives, on Monday!", "an order arrives on monday", 1.0, 1.0),
        ("Order arrives", "order arrives on monday", 0.0, 2 * 2 / (2 + 4)),
        ("no no", "no", 0.0, 2 * 1 / (2 + 1)),  # a word counts as often as both have it
        ("", "", 1.0, 1.0),
        ("", "yes", 0.0, 0.0),
        ("the", "yes", 0.0, 0.0),
        ("¿Sí?", "sí", 1.0, 1.0),
        ("您的订单", "您的包裹。", 0.0, 2 * 2 / (4 + 4)),
        ("🙂", "🙂", 1.0, 1.0),
        ("🙂", "🙁", 0.0, 0.0),
        ("don't", "dont", 1.0, 1.0),  # punctuation is deleted, not turned into space
    ],
)
def test_exact_match_and_word_f1(answer: str, reference: str, equal: float, f1: float) -> None:
    assert exact_match(answer, reference) == equal
    assert word_f1(answer, reference) == pytest.approx(f1)


def test_likelihood_by_hand() -> None:
    """Six nats over three tokens, whichever answer they are in; an empty answer adds nothing."""
    sums = nll_statistics([[-1.0, -2.0], [-3.0], []]).sum(axis=0, keepdims=True)
    assert nll_formula(sums) == pytest.approx([2.0])
    assert perplexity_formula(sums) == pytest.approx([math.exp(2)])


@given(pairs_of(TEXTS))
def test_bleu_and_chrf_are_sacrebleus(pairs) -> None:
    answers, references = [answer for answer, _ in pairs], [reference for _, reference in pairs]
    for tokenize in TOKENIZERS:
        expected = BLEU(tokenize=tokenize).corpus_score(answers, [references]).score
        assert bleu(answers, references, tokenize) == pytest.approx(expected, abs=1e-9)
    assert chrf(answers, references) == pytest.approx(CHRF().corpus_score(answers, [references]).score, abs=1e-9)


@given(pairs_of(PLAIN))
def test_rouge_of_plain_english_is_the_librarys(pairs) -> None:
    library = rouge_scorer()(["rouge1", "rouge2", "rougeL"])
    for answer, reference in pairs:
        expected = {name: score.fmeasure for name, score in library.score(reference, answer).items()}
        assert rouge(answer, reference) == expected


def test_bleu_is_nltks_where_nothing_is_smoothed() -> None:
    answers = ["the order arrives on monday in the morning", "we are sorry for the late answer to you"]
    references = ["your order arrives on monday in the evening", "we are sorry for the late answer"]
    expected = corpus_bleu([[one.split()] for one in references], [one.split() for one in answers])
    assert bleu(answers, references, "none") == pytest.approx(100 * expected)


def test_the_signature_is_sacrebleus() -> None:
    metric = BLEU(tokenize="zh")
    metric.corpus_score(["a"], [["a"]])
    assert signature("zh") == str(metric.get_signature())


@settings(max_examples=20)
@given(pairs_of(TEXTS))
def test_draws_are_the_metric_of_the_drawn_texts(pairs) -> None:
    """As measured one resample after the other by sacreBLEU itself, on the places that `corpus_scores` draws."""
    answers, references = [answer for answer, _ in pairs], [reference for _, reference in pairs]
    for metric, statistics, formula in (
        (BLEU(), bleu_statistics(answers, references, "13a"), bleu_formula),
        (CHRF(), chrf_statistics(answers, references), chrf_formula),
    ):

        def slow(places, metric=metric) -> float:
            drawn = [answers[place] for place in places], [[references[place] for place in places]]
            return metric.corpus_score(*drawn).score

        fast = summed_scores(statistics, formula, tools(resamples=7))
        expected = corpus_scores(slow, len(answers), len(answers), tools(resamples=7))
        assert fast.draws == pytest.approx(expected.draws, rel=1e-5, abs=1e-5)
        assert (fast.value, fast.low, fast.high) == pytest.approx((expected.value, expected.low, expected.high))
        assert fast.n == len(answers)


def test_many_questions_are_drawn_in_blocks(monkeypatch) -> None:
    """The same draws, whatever fits in memory at a time."""
    statistics = nll_statistics([[-float(at)] for at in range(10)])
    whole = summed_scores(statistics, nll_formula, tools(resamples=9))
    monkeypatch.setattr("rlhf.evaluation.text.resample.AT_ONCE", 25)  # two resamples of ten questions
    assert summed_scores(statistics, nll_formula, tools(resamples=9)) == whole


def test_a_resample_without_tokens_is_left_out() -> None:
    """Drawn alone, the empty answer has no nats per token."""
    scores = summed_scores(nll_statistics([[-2.0], []]), nll_formula, tools(resamples=40), n=1)
    assert (scores.value, scores.low, scores.high, scores.n) == (2.0, 2.0, 2.0, 1)
    assert np.isnan(scores.draws).any()


@given(pairs_of(TEXTS))
def test_identical_texts_are_perfect(pairs) -> None:
    texts = [answer for answer, _ in pairs]
    long_enough = bleu_statistics(texts, texts, "13a")[:, 0].max() >= 4
    assert bleu(texts, texts) == pytest.approx(100 if long_enough else 0)
    assert chrf(texts, texts) == pytest.approx(100 if any(text.strip() for text in texts) else 0)
    assert all(word_f1(text, text) == exact_match(text, text) == 1 for text in texts)


def test_a_stream_that_is_stderr_when_rouge_is_loaded_is_not_closed_when_logging_is_set_up_anew() -> None:
    script = """
import io, logging.config, sys
sys.stderr = caught = io.StringIO()  # as in a notebook
from rlhf.evaluation.text.overlap import rouge
assert rouge("a b", "a b")["rouge1"] == 1
sys.stderr = sys.__stderr__
logging.config.dictConfig({"version": 1})
print(caught.closed)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
