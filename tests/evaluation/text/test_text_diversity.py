"""Variety of answers: counts by hand, sacreBLEU's sentence BLEU, and leaving answers out one by one."""

from __future__ import annotations

import random
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from rlhf.evaluation.text.diversity import (
    distinct,
    distinct_share,
    moving_ratio,
    moving_ratio_scores,
    repeated,
    repeated_share,
    type_token_ratio,
)
from rlhf.evaluation.text.resample import left_out_scores
from rlhf.evaluation.text.self_bleu import self_bleu
from rlhf.evaluation.text.words import normalised, reference_of, same_language, tokenizer_for, words
from tests.evaluation.text.text_tools import TEXTS, row, tools

ANSWERS = st.lists(TEXTS, min_size=3, max_size=7)
FEW = st.lists(st.lists(st.sampled_from("abc"), max_size=6).map(" ".join), min_size=3, max_size=7)  # much is shared


def test_words_of_many_scripts() -> None:
    assert words("Don't pay €5,50 at 9am_now!") == ["don", "t", "pay", "5", "50", "at", "9am", "now"]
    assert words("¿Dónde ESTÁ, señor?") == ["dónde", "está", "señor"]
    assert words("您的 order 到了。") == ["您", "的", "order", "到", "了"]
    assert words("ご注文コーヒー") == ["ご", "注", "文", "コ", "ー", "ヒ", "ー"]
    assert words("한국어 문장") == ["한국어", "문장"]
    assert words("हिन्दी में") == ["हिन्दी", "में"]  # vowel signs belong to their word
    assert words("สวัสดี") == ["ส", "วั", "ส", "ดี"]
    assert words("🙂 … ") == []


def test_normalised_words() -> None:
    assert normalised("The  U.S. has an apple; a-b, theatre") == ["us", "has", "apple", "ab", "theatre"]
    assert normalised("「到了」吗？") == ["到", "了", "吗"]


def test_distinct_by_hand() -> None:
    """Words a b a | b c: 3 different of 5. Pairs ab ba | bc: 3 different of 3; none spans two answers."""
    answers = [["a", "b", "a"], ["b", "c"], []]
    assert (distinct_share(answers, 1), distinct_share(answers, 2)) == (3 / 5, 1.0)
    scores = distinct(answers, 1, tools())
    assert scores is not None and (scores.value, scores.n) == (3 / 5, 5)
    assert distinct([["a"], []], 2, tools()) is None


def test_repeated_by_hand() -> None:
    """Two say hello, up to case and space; three say nothing."""
    assert repeated_share(["Hello  you", "hello you ", "bye", "", " ", ""]) == 5 / 6
    assert repeated_share(["one"]) == 0


def test_ratios_by_hand() -> None:
    """Windows of three over a b | a c: a b a has 2 different words, b a c has 3."""
    assert type_token_ratio(["a", "b", "a", "c"]) == 3 / 4
    assert type_token_ratio([]) == 0
    assert moving_ratio([["a", "b"], ["a", "c"]], 3) == pytest.approx((2 + 3) / 2 / 3)
    assert moving_ratio([["a", "b"], ["a", "c"]], 5) is None


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=5), max_size=5), st.integers(1, 6))
def test_moving_ratio_is_the_mean_over_windows(answers, window: int) -> None:
    joined = [word for answer in answers for word in answer]
    windows = [joined[at : at + window] for at in range(len(joined) - window + 1)]
    expected = fmean(len(set(own)) / window for own in windows) if windows else None
    assert moving_ratio(answers, window) == (None if expected is None else pytest.approx(expected))


def test_self_bleu_by_hand() -> None:
    """Answers a b c d, twice, repeat each other; x y has nothing of theirs. (100 + 100 + 0) / 3."""
    scores, without = self_bleu(["a b c d", "a b c d", "x y"], "13a")
    assert scores == pytest.approx([100, 100, 0])
    assert without == pytest.approx([0, 0, 100])  # without one of the twins nothing is left in common


def literal_self_bleu(answers: list[str], tokenize: str) -> list[float]:
    metric = BLEU(tokenize=tokenize, effective_order=True)
    return [metric.sentence_score(own, answers[:at] + answers[at + 1 :]).score for at, own in enumerate(answers)]


@settings(max_examples=60)
@given(ANSWERS | FEW, st.sampled_from(["13a", "char", "zh"]))
def test_self_bleu_is_sacrebleus_with_all_others_as_references(answers, tokenize: str) -> None:
    """And the means without one answer are those of the answers that are left."""
    scores, without = self_bleu(answers, tokenize)
    assert scores == pytest.approx(literal_self_bleu(answers, tokenize))
    left = [answers[:at] + answers[at + 1 :] for at in range(len(answers))]
    assert without == pytest.approx([fmean(literal_self_bleu(own, tokenize)) for own in left], abs=1e-9)


def test_self_bleu_of_two() -> None:
    assert self_bleu(["a b c d", "a b c d"], "13a") == (pytest.approx([100, 100]), None)


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=5), min_size=2, max_size=6), st.integers(1, 6))
def test_the_interval_of_the_moving_ratio_comes_from_leaving_answers_out(answers, window: int) -> None:
    scores = moving_ratio_scores(answers, window, tools())
    literal = [moving_ratio(answers[:at] + answers[at + 1 :], window) for at in range(len(answers))]
    if scores is None or None in literal:
        assert scores is None or scores.low is None
        return
    assert (scores.value, scores.n) == (moving_ratio(answers, window), sum(map(len, answers)))
    expected = left_out_scores(scores.value, np.array(literal), scores.n, 1.0, tools())
    assert scores.draws == pytest.approx(expected.draws, abs=1e-5)


@settings(max_examples=60)
@given(FEW)
def test_intervals_of_variety_come_from_leaving_answers_out(answers: list[str]) -> None:
    """The same draws as of the literal values without each answer."""
    cut = [answer.split() for answer in answers]
    left = [cut[:at] + cut[at + 1 :] for at in range(len(cut))]
    for size in (1, 2):
        scores, literal = distinct(cut, size, tools()), [distinct_share(own, size) for own in left]
        if scores is not None and None not in literal:
            assert scores == left_out_scores(scores.value, np.array(literal), scores.n, 1.0, tools())
    literal = [repeated_share([" ".join(one) for one in own]) for own in left]
    found = repeated(answers, tools())
    expected = left_out_scores(repeated_share(answers), np.array(literal), len(answers), 1.0, tools())
    assert found.draws == pytest.approx(expected.draws, abs=1e-5)


def test_the_interval_of_a_mean_is_the_jackknifes() -> None:
    """Of a mean, what a question adds is its distance to it: the draws are an ordinary bootstrap of the mean."""
    values = np.array([0.1, 0.4, 0.7, 0.8])
    without = (values.sum() - values) / 3
    scores = left_out_scores(float(values.mean()), without, 4, 1.0, tools(resamples=200))
    rng = np.random.default_rng(0)
    drawn = [float(values[rng.integers(0, 4, size=4)].mean()) for _ in range(200)]
    assert scores.draws == pytest.approx(drawn, rel=1e-5)


def test_intervals_of_variety_are_as_wide_as_the_noise() -> None:
    """60 worlds of 40 answers: the interval's half, over 1.96, is the standard deviation from world to world or more.

    A bootstrap that draws answers would put the whole interval below the value: a repeated answer has nothing new.
    """
    values, halves = [], []
    for seed in range(60):
        dice = random.Random(seed)
        answers = [[str(int(dice.paretovariate(0.7))) for _ in range(dice.randint(1, 12))] for _ in range(40)]
        scores = distinct(answers, 1, tools(resamples=300, seed=seed))
        assert scores is not None and scores.low is not None and scores.high is not None
        assert scores.low < scores.value < scores.high
        values.append(scores.value)
        halves.append((scores.high - scores.low) / 2 / 1.96)
    assert 0.85 * stdev(values) < fmean(halves) < 1.6 * stdev(values)


def test_what_serves_as_reference() -> None:
    assert reference_of(row("yes")) == "yes"
    assert reference_of(row(None, chosen="good", rejected="bad")) == "good"
    assert reference_of(row("bad", label=False)) is None  # judged to be no good answer
    assert reference_of(row("good", label=True)) == "good"
    assert reference_of(row(None)) is None


def test_tokenizer_follows_the_references_language() -> None:
    assert tokenizer_for(["zh", "zh", "en", "es", "fr"]) == "13a"
    assert tokenizer_for(["zh", "en"]) == "zh"  # which cuts English as 13a does
    assert tokenizer_for(["unknown", "unknown", "zh"]) == "zh"
    assert tokenizer_for(["ja", "ja", "en"]) == "char"
    assert tokenizer_for([]) == "13a"


def test_same_language() -> None:
    """What is too short to tell counts as another language, unless nobody knows what it should be."""
    assert same_language(["en", "es", "unknown", "en"], ["en", "en", "en", "unknown"]) == [1, 0, 0, None]
