"""The baselines on rows made by hand."""

from __future__ import annotations

import random

import pytest

from rlhf.evaluation.preference.baselines import bag_of_words_accuracy, length_rule_accuracy
from tests.bench import pair

LONGER = [pair("a", "four", "no"), pair("b", "a longer one", "short"), pair("c", "ok", "not ok")]  # 2 of 3 are longer
TEST = [pair("d", "yes sir", "no"), pair("e", "x", "yy"), pair("f", "same", "size")]  # longer, shorter, tie


def test_length_rule_by_hand() -> None:
    """2 of 3 training pairs prefer the longer answer, so the rule says longer: right, wrong, half -> 0.5.

    Against two longer ones and a shorter one it scores 2/3; trained on the reverse it says shorter, so 1/3.
    """
    assert length_rule_accuracy(LONGER, TEST) == pytest.approx(0.5)
    assert length_rule_accuracy(LONGER, LONGER) == pytest.approx(2 / 3)
    shorter = [pair("g", "no", "a long answer"), pair("h", "ok", "okay then"), pair("i", "fine", "ok")]
    assert length_rule_accuracy(shorter, LONGER) == pytest.approx(1 / 3)
    assert length_rule_accuracy(shorter, TEST[:1]) == 0.0


def test_bag_of_words_finds_a_word_that_separates() -> None:
    rng = random.Random(0)
    words = ["room", "order", "today", "train", "money", "ticket"]

    def row(index: int):
        body = " ".join(rng.choices(words, k=5))
        return pair(f"q{index}", f"{body} please", f"{' '.join(rng.choices(words, k=5))} whatever")

    rows = [row(index) for index in range(80)]
    assert bag_of_words_accuracy(rows[:60], rows[60:], 0) == 1.0


def test_bag_of_words_reads_marks_and_ignores_the_prompt() -> None:
    """Exclamation marks are words too; a label written into the prompt alone teaches nothing: ties, 0.5."""
    rows = [pair(f"good {index}", "well!", "well.") for index in range(20)]
    assert bag_of_words_accuracy(rows[:10], rows[10:], 0) == 1.0
    told = [pair(f"chosen is {index}", "same words", "same words") for index in range(20)]
    assert bag_of_words_accuracy(told[:10], told[10:], 0) == 0.5


def test_bag_of_words_is_at_chance_where_words_say_nothing() -> None:
    """600 test pairs of random words: one half, within four standard errors of 0.02."""
    rng = random.Random(1)
    words = [f"w{index}" for index in range(30)]
    rows = [
        pair(str(index), " ".join(rng.choices(words, k=6)), " ".join(rng.choices(words, k=6))) for index in range(1200)
    ]
    assert bag_of_words_accuracy(rows[:600], rows[600:], 0) == pytest.approx(0.5, abs=0.08)
