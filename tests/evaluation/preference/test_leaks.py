"""Style leaks by cross-validation, on sets whose answer is known by hand."""

from __future__ import annotations

import random

import pytest

from rlhf.data.rows import Row
from rlhf.evaluation.preference.leaks import style_leak

SETTINGS = {"folds": 5, "seed": 0, "resamples": 200}
PROMPT = ({"role": "user", "content": "Hi"},)


def pair(chosen: str, rejected: str, group: str) -> Row:
    return Row(PROMPT, group, chosen=chosen, rejected=rejected)


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice("abcdefgh") for _ in range(count))


def test_a_word_that_only_bad_answers_hold_gives_all_of_them_away() -> None:
    rng = random.Random(1)
    rows = []
    for at in range(100):
        text = words(rng, 6)
        rows.append(pair(f"{text} y", f"{text} x", str(at)))  # of the same length
    leak = style_leak(rows, **SETTINGS)
    assert leak is not None
    assert (leak.bag_of_words.mean, leak.bag_of_words.low, leak.bag_of_words.high) == (1.0, 1.0, 1.0)
    assert (leak.length_rule.mean, leak.length_rule.low, leak.length_rule.high) == (0.5, 0.5, 0.5)
    assert (leak.pairs, leak.groups, leak.folds, leak.worst) == (100, 100, 5, 1.0)


def test_the_longer_answer_three_times_in_four() -> None:
    """Every fold trains on a majority of longer answers, so the rule is right in exactly the three quarters."""
    rows = [pair("a a a", "a", str(at)) if at % 4 else pair("a", "a a a", str(at)) for at in range(200)]
    leak = style_leak(rows, **SETTINGS)
    assert leak is not None and leak.length_rule.mean == 0.75
    assert 0.67 < leak.length_rule.low < 0.72 and 0.78 < leak.length_rule.high < 0.83  # 0.75 +- 1.96 sqrt(.1875/200)


def test_the_shorter_answer_is_a_rule_as_well() -> None:
    leak = style_leak([pair("a", "a a", str(at)) for at in range(20)], **SETTINGS)
    assert leak is not None and leak.length_rule.mean == 1.0


def test_answers_that_differ_in_nothing_but_chance_are_told_by_chance() -> None:
    rng = random.Random(2)
    leak = style_leak([pair(words(rng, 6), words(rng, 6), str(at)) for at in range(400)], **SETTINGS)
    assert leak is not None and 0.4 < leak.bag_of_words.mean < 0.6
    assert leak.bag_of_words.low < 0.5 < leak.bag_of_words.high


def test_a_group_is_never_in_training_and_test() -> None:
    """Each group's own word tells its pairs apart and nobody else's: by rows 1.0, by groups chance."""
    rows = [pair(f"good{group}", f"bad{group}", str(group)) for group in range(30) for _ in range(5)]
    leak = style_leak(rows, **SETTINGS)
    assert leak is not None and leak.bag_of_words.mean == 0.5
    alone = [pair(row.chosen or "", row.rejected or "", f"{row.group}/{at}") for at, row in enumerate(rows)]
    leaking = style_leak(alone, **SETTINGS)
    assert leaking is not None and leaking.bag_of_words.mean > 0.9


def test_pairs_of_one_group_are_no_independent_evidence() -> None:
    """The same outcomes, ten to a group, make an interval about sqrt(10) times as wide."""
    outcomes = [at % 4 > 0 for at in range(40)]
    single = [
        pair("a a", "a", str(at)) if right else pair("a", "a a", str(at)) for at, right in enumerate(outcomes * 10)
    ]
    grouped = [
        pair("a a", "a", str(at)) if right else pair("a", "a a", str(at))
        for at, right in enumerate(outcomes)
        for _ in range(10)
    ]
    widths = []
    for rows in (single, grouped):
        leak = style_leak(rows, folds=5, seed=0, resamples=1000)
        assert leak is not None and leak.length_rule.mean == 0.75
        widths.append(leak.length_rule.high - leak.length_rule.low)
    assert 2.5 < widths[1] / widths[0] < 4.0


def test_the_same_call_gives_the_same_numbers_and_the_order_of_rows_does_not_matter() -> None:
    rng = random.Random(3)
    rows = [pair(words(rng, 5), words(rng, 6), str(at // 2)) for at in range(60)]
    assert style_leak(rows, **SETTINGS) == style_leak(rows, **SETTINGS) == style_leak(rows[::-1], **SETTINGS)


@pytest.mark.parametrize("groups", [0, 1, 3])
def test_too_few_groups_are_not_measured(groups: int) -> None:
    assert (
        style_leak([pair("a", "b", str(at % max(groups, 1))) for at in range(9 if groups else 0)], **SETTINGS) is None
    )


def test_fewer_groups_than_folds_make_fewer_folds() -> None:
    leak = style_leak([pair("a", "b", str(at % 4)) for at in range(12)], folds=10, seed=0, resamples=50)
    assert leak is not None and (leak.folds, leak.groups, leak.pairs) == (4, 4, 12)
    assert leak.bag_of_words.mean == 1.0


def test_answers_without_a_word_cannot_be_told_apart() -> None:
    leak = style_leak([pair(" ", "  ", str(at)) for at in range(12)], **SETTINGS)
    assert leak is not None and leak.bag_of_words.mean == 0.5
