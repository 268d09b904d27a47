"""The small classifier of rudeness: what it learns from, and that it tells how often it is right."""

from __future__ import annotations

from collections import Counter

import pytest

from rlhf.config import ToyDataset
from rlhf.data.rows import Row
from rlhf.data.support_toy import toy_rows
from rlhf.data.toy_gold import is_rude
from rlhf.evaluation.safety.asks import LANGUAGES, lexicon
from rlhf.evaluation.safety.rude import (
    Rudeness,
    Tried,
    labelled_answers,
    own_sentences,
    train,
    training_answers,
)

ASK = ({"role": "user", "content": "Where is my lamp?"},)


def toy(seed: int) -> list[Row]:
    split = {"validation": 0.1, "test": 0.1, "seed": 0, "folds": None, "fold": 0}
    spec = ToyDataset(
        name="toy", format="support_toy", rows=1200, seed=seed, languages=["en", "es"], multi_turn_share=0.25,
        annotator_noise=0.1, limit=None, fraction=1.0, strict=False, split=split,
    )  # fmt: skip
    return toy_rows(spec, "demonstration")


def test_our_sentences_are_distinct_and_as_many_rude_as_civil_in_each_language() -> None:
    own = own_sentences()
    assert len({said for said, _ in own}) == len(own) == 200
    assert Counter(rude for _, rude in own) == {True: 100, False: 100}
    for language in LANGUAGES:
        lists = lexicon("rude")[language]
        assert len(lists["rude"]) == len(lists["civil"]) >= 14


def test_trained_on_the_toy_world_it_agrees_with_the_gold_reward_on_another_one() -> None:
    judged = train(training_answers(lambda shape: toy(0), 0), 0.01, 0)
    answers = [str(row.completion) for row in toy(7)]
    marks = judged(answers)
    truth = [is_rude(text) for text in answers]
    assert sum(truth) > 40
    assert all(mark for mark, rude in zip(marks, truth, strict=True) if rude)
    alarms = sum(mark for mark, rude in zip(marks, truth, strict=True) if not rude)
    assert alarms <= 0.01 * len(answers)
    own, held = judged.tried
    assert (own.rude, own.civil) == (100, 100)
    assert held.found == held.rude > 5
    assert held.alarms <= 0.02 * held.civil
    assert judged(["", "?!", "Your lamp will come. STOP BOTHERING US!"]) == [False, False, True]


def test_the_same_rows_and_seed_make_the_same_classifier() -> None:
    answers = [("a", "It is on its way.", False), ("b", "Go away, you fool.", True), ("c", "We are open.", False)] * 5
    texts = ["Go away, you fool.", "Your lamp is on its way.", "你是不是傻？"]
    first, second = train(answers, 0.05, 3), train(list(reversed(answers)), 0.05, 3)
    assert first(texts) == second(texts)
    assert first.tried == second.tried and first.threshold == second.threshold


@pytest.mark.parametrize("alarms", [0.0, 0.1, 0.5])
def test_the_share_of_false_alarms_is_the_one_that_is_allowed(alarms: float) -> None:
    """Without other rows the civil sentences are our 100, so at most 100 x `alarms` of them are taken for rude."""
    (own,) = train([], alarms, 0).tried
    assert own.alarms <= 100 * alarms
    assert own.found >= own.alarms


@pytest.mark.parametrize(
    ("found", "alarms", "enough"),
    [
        (50, 1, True),
        (49, 1, False),  # below one half
        (60, 55, False),  # Wilson: 0.50 to 0.69, and 0.45 to 0.64
        (60, 30, True),  # 0.22 to 0.40
    ],
)
def test_what_a_classifier_must_find_to_be_relied_on(found: int, alarms: int, enough: bool) -> None:
    assert Tried("x", found, 100, alarms, 100).finds(0.5) is enough
    assert Tried("x", 0, 0, alarms, 100).finds(0.5)


def test_one_trial_that_fails_is_enough_to_doubt() -> None:
    good, bad = Tried("held out", 10, 10, 0, 90), Tried("our own", 10, 100, 1, 100)
    assert Rudeness(None, 0.5, (good,)).finds(0.5)
    assert not Rudeness(None, 0.5, (bad, good)).finds(0.5)


def test_what_rows_say_of_manners() -> None:
    rude = Row(ASK, "a", chosen="It comes.", rejected="Ask somebody else.", meta={"source": "rude"})
    other = Row(ASK, "b", chosen="It comes soon.", rejected="It", meta={"source": "truncated"})
    plain = Row(ASK, "c", chosen="Yes.", rejected="No.")
    assert labelled_answers([rude, other, plain]) == [
        ("a", "It comes.", False), ("a", "Ask somebody else.", True), ("b", "It comes soon.", False),
        ("c", "Yes.", False),
    ]  # fmt: skip
    assert labelled_answers([plain]) == [("c", "Yes.", False)]
    shown = Row(ASK, "d", completion="That is your problem.", meta={"kind": "rude"})
    assert labelled_answers([shown]) == [("d", "That is your problem.", True)]
    bad = Row(ASK, "e", completion="Bad.", label=False)
    swears = Row(ASK, "f", completion="You idiot.")
    assert labelled_answers([bad, swears]) == []


def test_pairs_are_read_only_where_they_say_which_answer_is_rude() -> None:
    asked: list[str] = []

    def give(rows: list[Row]):
        def train(shape: str) -> list[Row]:
            asked.append(shape)
            return rows

        return train

    assert training_answers(give([Row(ASK, "a", completion="Yes.")]), 0) == [("a", "Yes.", False)]
    assert asked == ["demonstration"]
    pair = Row(ASK, "a", chosen="Yes.", rejected="Go away.", meta={"source": "rude"})
    assert training_answers(give([pair]), 0) == [("a", "Yes.", False), ("a", "Go away.", True)]
    assert asked[1:] == ["demonstration", "preference"]
    assert training_answers(give([]), 0) == []
