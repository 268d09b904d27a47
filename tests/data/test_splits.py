"""Splits: no group on both sides, and nothing but the seed and the group decides."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf.config import SplitSpec
from rlhf.data.rows import Row
from rlhf.data.splits import content_key, draw, keep, split
from rlhf.errors import UserError

SPEC = SplitSpec(validation=0.2, test=0.1, seed=7, folds=None, fold=0)


def rows(count: int, per_group: int = 2) -> list[Row]:
    return [
        Row(({"role": "user", "content": f"q{i}"},), f"g{i // per_group}", completion=f"a{i}") for i in range(count)
    ]


def groups(part: tuple[Row, ...]) -> set[str]:
    return {row.group for row in part}


def test_a_group_is_on_one_side_only_and_no_row_is_lost() -> None:
    parts = split(rows(600), SPEC)
    assert sum(len(part) for part in parts) == 600
    train, validation, test = map(groups, parts)
    assert not (train & validation or train & test or validation & test)


def test_the_shares_are_those_asked_for() -> None:
    train, validation, test = split(rows(4000, per_group=1), SPEC)
    # binomial(4000, p): five standard deviations are 126 rows at p = 0.2 and 95 at p = 0.1
    assert abs(len(validation) - 800) < 126
    assert abs(len(test) - 400) < 95


def test_neither_order_nor_company_moves_a_group() -> None:
    some = rows(400)
    shuffled = random.Random(0).sample(some, len(some))
    more = rows(800)
    for name, part, again, larger in zip(
        "tvs", split(some, SPEC), split(shuffled, SPEC), split(more, SPEC), strict=True
    ):
        assert groups(part) == groups(again), name
        assert groups(part) <= groups(larger), name


def test_another_seed_cuts_otherwise() -> None:
    other = SPEC.model_copy(update={"seed": 8})
    assert groups(split(rows(400), SPEC)[1]) != groups(split(rows(400), other)[1])


def test_the_draw_is_the_sha256_of_its_words() -> None:
    # printf 'split\n7\ng0' | sha256sum | cut -c1-16
    assert draw("split", 7, "g0") == 0x9AE2215CC5A8C131 / 2**64


@given(st.integers(0, 30), st.integers(1, 3))
def test_keep_takes_whole_groups_but_for_the_last_whatever_the_order(count: int, per_group: int) -> None:
    some = rows(30, per_group)
    kept = keep(some, count, seed=0)
    assert len(kept) == count
    assert [row for row in some if row in kept] == kept  # order as it was
    backwards = keep(some[::-1], count, seed=0)
    assert {content_key(row) for row in backwards} == {content_key(row) for row in kept}
    cut = [
        name
        for name in groups(tuple(kept))
        if 0 < sum(r.group == name for r in kept) < sum(r.group == name for r in some)
    ]
    assert len(cut) <= 1


@pytest.mark.parametrize(
    ("count", "validation", "test", "message"),
    [
        (2, 0.1, 0.0, "no rows for validation: 2 rows make 1 groups"),
        (2, 0.0, 0.1, "no rows for test: 2 rows make 1 groups"),
        (2, 0.99, 0.0, "no rows for train"),
        (50, 0.6, 0.5, "validation 0.6 and test 0.5 leave nothing to train on"),
    ],
)
def test_an_empty_part_is_refused(count: int, validation: float, test: float, message: str) -> None:
    with pytest.raises(UserError, match=f"dataset.split: {message}"):
        split(rows(count), SplitSpec.model_construct(validation=validation, test=test, seed=0, folds=None, fold=0))


def test_a_share_of_zero_leaves_its_part_empty() -> None:
    train, validation, test = split(
        rows(10), SplitSpec.model_construct(validation=0, test=0, seed=0, folds=None, fold=0)
    )
    assert (len(train), validation, test) == (10, (), ())
