"""Reading intents out of answers: numbers worked by hand, scikit-learn's F1, and what nonsense may not score."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from rlhf.data.rows import Row
from rlhf.evaluation.suites.task import METRICS, build
from rlhf.evaluation.task.intent import (
    NOTHING,
    MacroF1,
    chance,
    classifier,
    confusion,
    drawn,
    majority,
    own_words,
    shared,
)
from tests.evaluation.task.task_world import SPEC, TEST, TRAIN, measured, references, tools_of


def questions() -> list[str]:
    return [row.prompt[-1]["content"] for row in TEST]


def asks(*texts: str) -> Row:
    """A row whose prompt has these messages, the user's and the assistant's in turns."""
    return Row(tuple({"role": "user" if i % 2 == 0 else "assistant", "content": t} for i, t in enumerate(texts)), "g")


@pytest.mark.parametrize(
    ("prompt", "answer", "left"),
    [
        (["cancel my order"], "Your order is cancelled.", ["Your", "is", "cancelled"]),
        (["Cancel MY order!"], "cancel my order", []),
        (["hi", "May I have your number?", "12"], "Your number is 12, hi", ["is"]),  # of every turn
        (["取消我的订单"], "订单已取消", ["已"]),  # each sign is a word
        ([""], "anything", ["anything"]),
        (["a"], "", []),
    ],
)
def test_words_of_the_question_are_no_words_of_the_answer(prompt, answer, left) -> None:
    assert own_words(asks(*prompt), answer).replace(".", "").replace(",", "").split() == left


def test_an_echo_with_other_punctuation_has_no_word_of_its_own() -> None:
    assert own_words(asks("Where is it?"), "WHERE, is it?!") == ""


def test_macro_f1_by_hand_and_by_scikit_learn() -> None:
    """a: TP 1, FP 1, FN 1 -> 1/2. b: TP 2, FP 1 -> 4/5. c: TP 0 -> 0. NOTHING is no kind that is asked for."""
    from sklearn.metrics import f1_score

    asked = ["a", "a", "b", "b", "c", "c"]
    said = ["a", "b", "b", "b", "a", NOTHING]
    ours = MacroF1(asked, said)(np.arange(6))
    assert ours == pytest.approx((1 / 2 + 4 / 5 + 0) / 3)
    assert ours == pytest.approx(f1_score(asked, said, labels=["a", "b", "c"], average="macro", zero_division=0))
    places = np.array([0, 0, 1, 2])  # a resample without c: a has TP 2, FN 1; b has TP 1, FP 1
    assert MacroF1(asked, said)(places) == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_floors_by_hand() -> None:
    """Trained a a a b, asked a b b c: the majority is right once; chance is (3 + 1 + 1 + 0) / 16."""
    assert majority(["a", "a", "b", "a"], ["a", "b", "b", "c"]) == 1 / 4
    assert chance(["a", "a", "b", "a"], ["a", "b", "b", "c"]) == 5 / 16
    assert majority(["b", "a"], ["a", "a", "b"]) == 2 / 3  # of equally frequent ones the first by name


def test_confusion_matrix_is_sorted_and_capped() -> None:
    asked = ["b", "b", "b", "a", "a", "c", "d"]
    said = ["b", "a", "c", "a", NOTHING, "c", "b"]
    whole = confusion(asked, said, most=9)
    assert whole.columns == ("asked for", "b", "a", "c", "d", "(nothing)")
    assert whole.rows == (("b", 1, 1, 1, 0, 0), ("a", 0, 1, 0, 0, 1), ("c", 0, 0, 1, 0, 0), ("d", 1, 0, 0, 0, 0))
    capped = confusion(asked, said, most=2)
    assert capped.columns == ("asked for", "b", "a", "(others)", "(nothing)")
    assert capped.rows == (("b", 1, 1, 1, 0), ("a", 0, 1, 0, 1), ("(others)", 1, 0, 1, 0))
    strange = confusion(["a"], ["z"], most=2)  # a kind that nobody asked for
    assert (strange.columns, strange.rows) == (("asked for", "a", "(others)"), (("a", 0, 1),))


def test_answers_that_several_intents_have_are_counted() -> None:
    rows = [Row((), "", completion=text, meta={"intent": kind}) for text, kind in ["xa", "xb", "ya", "ya"]]
    assert shared(rows, "intent") == 1 / 2


def test_rows_to_learn_from_are_drawn_with_the_seed_and_without_gaps() -> None:
    odd = [
        Row((), "", completion="x"),
        Row((), "", meta={"intent": "a"}),
        Row((), "", completion="x", meta={"intent": ""}),
    ]
    assert drawn(odd, "intent", 10, 0) == []
    assert drawn(TRAIN, "intent", 999, 0) == TRAIN
    assert drawn(TRAIN, "intent", 20, 0) == drawn(TRAIN, "intent", 20, 0) != drawn(TRAIN, "intent", 20, 1)
    assert len(drawn(TRAIN, "intent", 20, 0)) == 20


def test_reference_answers_are_the_ceiling_and_shuffled_ones_the_floor() -> None:
    good = measured(references())
    assert good.scores["task/intent_accuracy"].value > 0.95
    assert good.scores["task/intent_accuracy_own"].value > 0.95
    assert good.scores["task/category_accuracy"].value > 0.95
    shuffled = references()
    random.Random(0).shuffle(shuffled)
    asked = [row.meta["intent"] for row in TEST]
    by_text = {row.completion: row.meta["intent"] for row in TEST}
    expected = np.mean([by_text[text] == kind for text, kind in zip(shuffled, asked, strict=True)])
    for name in ("task/intent_accuracy", "task/intent_accuracy_own"):
        assert measured(shuffled).scores[name].value == pytest.approx(expected, abs=0.05)


def test_an_echo_names_intents_but_says_nothing_of_its_own() -> None:
    """Questions of two of the four intents have words of their answers; the whole-answer metric is fooled by them."""
    echo = measured(questions())
    asked = [row.meta["intent"] for row in TEST]
    named = np.mean([kind in ("cancel_order", "get_refund") for kind in asked])
    assert echo.scores["task/intent_accuracy"].value >= named - 0.05
    assert echo.scores["task/intent_accuracy_own"].value == 0
    assert echo.scores["task/intent_macro_f1_own"].value == 0
    table = echo.tables["intent asked for and served in its own words"]
    assert table.columns[-1] == NOTHING
    assert sum(line[-1] for line in table.rows) == len(TEST)


def test_empty_answers_serve_nothing() -> None:
    empty = measured([""] * len(TEST))
    for metric in METRICS:
        if metric.name in empty.scores and metric.better == "higher":
            assert empty.scores[metric.name].value == 0
    assert empty.scores["task/intent_accuracy"].n == len(TEST)


def test_a_classifier_of_shuffled_labels_is_at_chance() -> None:
    """Whatever it reads then is no intent: the suite gives no number rather than a low one."""
    labels = [row.meta["intent"] for row in TRAIN]
    texts = references(TRAIN)
    scores = []
    for seed in range(6):
        mixed = labels[:]
        random.Random(seed).shuffle(mixed)
        read = classifier(texts, mixed, seed=0)
        assert read is not None
        scores.append(np.mean([a == row.meta["intent"] for a, row in zip(read(references()), TEST, strict=True)]))
    assert np.mean(scores) == pytest.approx(0.25, abs=0.1)
    mixed = labels[:]
    random.Random(0).shuffle(mixed)
    train = [Row(row.prompt, row.group, completion=row.completion, meta={"intent": kind})
             for row, kind in zip(TRAIN, mixed, strict=True)]  # fmt: skip
    found = measured(references(), train=train)
    assert not [name for name in found.scores if "intent" in name]
    assert any("No intent accuracy" in note and "floor" in note for note in found.notes)


def test_questions_are_never_read() -> None:
    """Other questions of the same intents, none of whose words is in an answer: the same numbers of whole answers."""
    other = [
        Row(({"role": "user", "content": "zzz"},), row.group, completion=row.completion, meta=row.meta) for row in TEST
    ]
    first, second = measured(references()), measured(references(), test=other)
    for name in ("task/intent_accuracy", "task/intent_macro_f1", "task/category_accuracy"):
        assert first.scores[name].each == second.scores[name].each


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: {**row.meta, "intent": "one"}, "all training answers serve one intent"),
        (lambda row: {"category": row.meta["category"]}, "no training row has an answer and a 'intent'"),
    ],
)
def test_where_there_is_nothing_to_tell_apart_a_note_stands_for_the_number(change, said) -> None:
    rows = [Row(row.prompt, row.group, completion=row.completion, meta=change(row)) for row in TRAIN]
    found = measured(references(), train=rows)
    assert not [name for name in found.scores if "intent" in name]
    assert "task/category_accuracy" in found.scores
    assert any(said in note for note in found.notes)


def test_answers_shared_among_intents_give_a_note() -> None:
    rows = [Row(row.prompt, row.group, completion="We will help.", meta=row.meta) for row in TRAIN]
    found = measured(references(), train=rows)
    assert not [name for name in found.scores if "intent" in name]
    assert any("100% of the training answers serve more than one intent" in note for note in found.notes)


def test_questions_of_unknown_intents_or_without_a_reference_are_left_out() -> None:
    test = [
        TEST[0],
        Row(TEST[1].prompt, "b", completion="x", meta={"intent": "never trained"}),
        Row(TEST[2].prompt, "c", meta=TEST[2].meta),
        *TEST[3:],
    ]
    found = measured([row.completion or "" for row in test], test=test)
    score = found.scores["task/intent_accuracy"]
    assert score.each[1:3] == (None, None)
    assert score.n == len(TEST) - 2 == sum(value is not None for value in score.each)
    assert any(note.startswith("2 questions without a reference answer") for note in found.notes)
    none = measured(["x"], test=[test[1]])
    assert not none.scores
    assert any("no question has a reference answer" in note for note in none.notes)


def test_a_key_that_is_null_is_not_measured() -> None:
    found = measured(references(), category=None)
    assert not [name for name in found.scores if "category" in name]
    assert not [note for note in found.notes if "category" in note]


def test_the_same_answers_get_the_same_numbers() -> None:
    texts = [*references()[:40], *questions()[40:]]
    assert measured(texts) == measured(texts)


def test_texts_without_a_word_that_comes_twice_make_no_classifier() -> None:
    assert classifier(["one", "two"], ["a", "b"], 0) is None
    assert classifier(["", ""], ["a", "b"], 0) is None
    assert classifier(["one", "one"], ["a", "a"], 0) is None


def test_every_metric_is_described_in_full() -> None:
    for metric in METRICS:
        assert metric.name.startswith("task/")
        assert metric.meaning and metric.unit and metric.estimator and metric.range and metric.source and metric.fooled
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_bitext_references_lie_far_above_shuffled_answers_and_the_echo(shared_data: Path) -> None:
    """On real data the echo fools whole answers, and not the answers' own words."""
    import gzip
    import json

    with gzip.open(shared_data / "derived" / "bitext_27k_schema.jsonl.gz", "rt", encoding="utf-8") as file:
        raw = [json.loads(line) for line in file][:900]
    rows = [
        Row(
            ({"role": "user", "content": r["instruction"]},), "", completion=r["response"], meta={"intent": r["intent"]}
        )
        for r in raw
    ]
    train, test = rows[:750], rows[750:]
    suite = build(SPEC.model_copy(update={"category": None}), tools_of(train))
    answers = references(test)
    good = suite(test, answers).scores
    assert good["task/intent_accuracy_own"].value > 0.75
    assert good["task/intent_accuracy"].value > 0.85
    shuffled = suite(test, answers[7:] + answers[:7]).scores
    assert shuffled["task/intent_accuracy"].value < 0.15
    echo = suite(test, [row.prompt[-1]["content"] for row in test]).scores
    assert echo["task/intent_accuracy_own"].value == 0
    assert echo["task/intent_accuracy"].value > 0.7  # why there is a metric of own words
