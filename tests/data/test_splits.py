"""Splits: no group on both sides, folds that partition, and nothing but the seed and the group decides."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.compose import jobs, parse_words
from rlhf.config import SplitSpec
from rlhf.data import load_corpus
from rlhf.data.arrow import encode
from rlhf.data.rows import Row
from rlhf.data.splits import distinct, draw, keep, keys_of, overlap, shared, split
from rlhf.errors import UserError

SPEC = SplitSpec(validation=0.2, test=0.1, seed=7, folds=None, fold=0)


def row(prompt: str, group: str, answer: str) -> Row:
    return Row(({"role": "user", "content": prompt},), group, completion=answer)


def rows(count: int, per_group: int = 2) -> list[Row]:
    return [row(f"q{i}", f"g{i // per_group}", f"a{i}") for i in range(count)]


def keys(some: list[Row], seed: int = 7) -> Any:
    return keys_of(some, [encode(row) for row in some], seed)


def parts(some: list[Row], spec: SplitSpec = SPEC) -> list[list[Row]]:
    return [[some[place] for place in part] for part in split(keys(some, spec.seed), spec)]


def kept(some: list[Row], count: int) -> list[Row]:
    return [some[place] for place in keep(keys(some), count)]


def groups(part: list[Row]) -> set[str]:
    return {row.group for row in part}


def test_a_group_is_on_one_side_only_and_no_row_is_lost() -> None:
    cut = parts(rows(600))
    assert sum(len(part) for part in cut) == 600
    train, validation, test = map(groups, cut)
    assert not (train & validation or train & test or validation & test)


def test_the_shares_are_those_asked_for() -> None:
    train, validation, test = parts(rows(4000, per_group=1))
    # binomial(4000, p): five standard deviations are 126 rows at p = 0.2 and 95 at p = 0.1
    assert abs(len(validation) - 800) < 126
    assert abs(len(test) - 400) < 95


def test_neither_order_nor_company_moves_a_group() -> None:
    some = rows(400)
    shuffled = random.Random(0).sample(some, len(some))
    for part, again, larger in zip(parts(some), parts(shuffled), parts(rows(800)), strict=True):
        assert groups(part) == groups(again)
        assert groups(part) <= groups(larger)


def test_another_seed_cuts_otherwise() -> None:
    other = SPEC.model_copy(update={"seed": 8})
    assert groups(parts(rows(400))[1]) != groups(parts(rows(400), other)[1])


def test_the_draw_is_the_sha256_of_its_words() -> None:
    # printf 'split\n7\ng0' | sha256sum | cut -c1-16
    assert draw("split", 7, "g0") == 0x9AE2215CC5A8C131 / 2**64


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 7), st.integers(1, 3), st.integers(0, 99))
def test_folds_partition_all_rows_and_keep_groups_whole(folds: int, per_group: int, seed: int) -> None:
    some = rows(150, per_group)
    tested: list[Row] = []
    for fold in range(folds):
        spec = SplitSpec(validation=0.2, test=0.1, seed=seed, folds=folds, fold=fold)
        cut = parts(some, spec)
        train, validation, test = map(groups, cut)
        assert not (train & validation or train & test or validation & test)
        assert sum(len(part) for part in cut) == 150
        tested += cut[2]
    assert sorted(row.completion or "" for row in tested) == sorted(row.completion or "" for row in some)


def test_folds_are_of_about_the_same_size_and_validation_keeps_its_share_of_all_groups() -> None:
    for fold in range(4):
        spec = SplitSpec(validation=0.15, test=0.1, seed=3, folds=4, fold=fold)
        _, validation, test = parts(rows(4000, per_group=1), spec)
        # five standard deviations: 137 rows of 1000 (p = 1/4), 113 of 600 (p = 0.15)
        assert abs(len(test) - 1000) < 137
        assert abs(len(validation) - 600) < 113


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(1, 3))
def test_keep_takes_whole_groups_but_for_the_last_whatever_the_order(count: int, per_group: int) -> None:
    some = rows(30, per_group)
    left = kept(some, count)
    assert len(left) == count
    assert [row for row in some if row in left] == left  # order as it was
    backwards = kept(some[::-1], count)
    assert {row.completion for row in backwards} == {row.completion for row in left}
    cut = [name for name in groups(left) if sum(r.group == name for r in left) < sum(r.group == name for r in some)]
    assert len(cut) <= 1


def test_of_equal_rows_the_first_one_stays_whatever_else_tells_them_apart() -> None:
    first, other = row("a", "g", "x"), row("b", "g", "x")
    again = Row(first.prompt, "another group", completion="x", meta={"source": "elsewhere"})
    judged = Row(first.prompt, "g", completion="x", label=True)
    assert distinct(keys([first, other, again, judged, first])).tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("count", "validation", "test", "message"),
    [
        (2, 0.1, 0.0, "no rows for validation: 2 rows make 1 group,"),
        (2, 0.0, 0.1, "no rows for test: 2 rows make 1 group,"),
        (2, 0.99, 0.0, "no rows for train"),
        (50, 0.6, 0.5, "validation 0.6 and test 0.5 leave nothing to train on"),
    ],
)
def test_an_empty_part_is_refused(count: int, validation: float, test: float, message: str) -> None:
    spec = SplitSpec.model_construct(validation=validation, test=test, seed=0, folds=None, fold=0)
    with pytest.raises(UserError, match=f"dataset.split: {message}"):
        split(keys(rows(count), 0), spec)


def test_a_fold_without_a_group_is_refused() -> None:
    # one group falls into one fold of two: the other has no test rows, its own leaves nothing to train on
    for fold in (0, 1):
        with pytest.raises(UserError, match="dataset.split: no rows for (test|train)"):
            parts(rows(2), SplitSpec.model_construct(validation=0, test=0.1, seed=0, folds=2, fold=fold))


def test_a_share_of_zero_leaves_its_part_empty() -> None:
    spec = SplitSpec.model_construct(validation=0, test=0, seed=0, folds=None, fold=0)
    assert [len(part) for part in parts(rows(10), spec)] == [10, 0, 0]


@pytest.mark.parametrize(
    ("folds", "fold", "validation", "message"),
    [
        (None, 2, 0.1, "fold 2 without folds"),
        (3, 3, 0.1, "there is no fold 3 of 3. Take dataset.split.fold=0 to 2"),
        (2, 0, 0.5, "validation 0.5 and test 0.5 leave nothing to train on"),
        (1, 0, 0.1, "greater than or equal to 2"),
        (3, -1, 0.1, "greater than or equal to 0"),
    ],
)
def test_folds_that_cannot_be_are_refused_at_the_door(folds, fold, validation, message) -> None:
    with pytest.raises(ValueError, match=message):
        SplitSpec(validation=validation, test=0.1, seed=0, folds=folds, fold=fold)


def test_overlap_counts_rows_of_held_out_parts_by_hand() -> None:
    train = [row("Where is K2?", "one", "In Asia."), row("Hi", "two", "Hello")]
    validation = [row("where  is k2?", "three", "Far away."), row("Bye", "two", "See you")]  # a prompt; a group
    test = [row("Height of K2?", "five", "in asia."), row("Bye", "six", "Later")]  # train's answer, validation's prompt
    found = {
        (o.part, o.other, o.what): (o.rows, o.of) for o in overlap([keys(part) for part in (train, validation, test)])
    }
    assert found == {
        ("validation", "train", "group"): (1, 2),
        ("validation", "train", "prompt"): (1, 2),
        ("validation", "train", "dialogues"): (0, 2),
        ("validation", "train", "answers"): (0, 2),
        ("test", "train", "group"): (0, 2),
        ("test", "train", "prompt"): (0, 2),
        ("test", "train", "dialogues"): (0, 2),
        ("test", "train", "answers"): (1, 2),
        ("test", "validation", "group"): (0, 2),
        ("test", "validation", "prompt"): (1, 2),
        ("test", "validation", "dialogues"): (0, 2),
        ("test", "validation", "answers"): (0, 2),
    }


def test_a_prompt_whose_group_is_shared_counts_as_group_and_the_system_message_tells_no_prompts_apart() -> None:
    asked = {"role": "user", "content": "Hi"}
    train = [Row(({"role": "system", "content": "Be kind."}, asked), "one", completion="a"), row("Bye", "two", "b")]
    test = [Row(({"role": "system", "content": "Be brief."}, asked), "three", completion="c"), row("Bye", "two", "d")]
    found = {
        o.what: o.rows for o in overlap([keys(train), keys([]), keys(test)]) if (o.part, o.other) == ("test", "train")
    }
    assert found == {"group": 1, "prompt": 1, "dialogues": 0, "answers": 0}


def test_dialogues_that_open_alike_are_told_where_one_of_them_goes_on() -> None:
    def talk(group: str, answer: str, *said: str) -> Row:
        turns = tuple({"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said))
        return Row(turns, group, completion=answer)

    train = [talk("one", "a", "Hi there", "Hello", "A bus"), talk("two", "b", "A plane"), talk("three", "c", "A ship")]
    test = [
        talk("4", "d", "hi  there", "Hello", "A train"),  # both go on
        talk("5", "e", "Hi there"),  # only train's does
        talk("6", "f", "A plane", "Where to?", "Rome"),  # only this one does
        talk("7", "g", "A ship"),  # neither: the same prompt
        talk("one", "h", "Hi there", "Yes?", "A car"),  # the same group
        talk("8", "i", "A horse", "Hello", "A bus"),
    ]
    found = overlap([keys(train), keys([]), keys(test)])
    counts = {one.what: one.rows for one in found if (one.part, one.other) == ("test", "train")}
    assert counts == {"group": 1, "prompt": 1, "dialogues": 3, "answers": 0}
    said = "1 row of the same group, 1 prompt (in other groups), 3 dialogues that open alike (in other groups)"
    assert shared(found) == [f"test shares with train {said} (of 6 rows)"]
    alone = overlap([keys(train), keys([]), keys(test[:1])])
    said = "1 dialogue that opens alike (in other groups)"
    assert shared(alone) == [f"test shares with train {said} (of 1 row)"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dataset.split.fold=2"], "dataset.split: fold 2 without folds. Add dataset.split.folds=K, or leave"),
        (["dataset.split.folds=3", "dataset.split.fold=3"], "dataset.split: there is no fold 3 of 3. Take"),
        (["dataset.split.folds=1"], "dataset.split.folds: should be greater than or equal to 2, got 1."),
        (["dataset.split.folds=many"], "dataset.split.folds: should be a valid integer"),
        (["dataset.split.validation=0.95"], "dataset.split: validation 0.95 and test 0.1 leave nothing to train on."),
    ],
)
def test_the_command_line_refuses_a_split_in_one_line(words: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        jobs(parse_words(["method=reward", *words]))
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_a_sweep_over_folds_is_cross_validation() -> None:
    words = ["method=reward", "dataset.rows=60", "dataset.split.folds=3", "dataset.split.fold=0,1,2"]
    corpora = [load_corpus(run.dataset, "preference") for _, run in jobs(parse_words(["-m", *words]))]
    tested = [str(row.prompt) for corpus in corpora for row in corpus.test]
    whole = [str(row.prompt) for part in ("train", "validation", "test") for row in getattr(corpora[0], part)]
    assert len(corpora) == 3 and sorted(tested) == sorted(whole)
    assert len({corpus.fingerprint for corpus in corpora}) == 3
