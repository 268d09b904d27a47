"""Counts, quantiles, histograms, words and draws of the inspection, worked by hand."""

from __future__ import annotations

import pytest

from rlhf.data.inspect.findings import share_of
from rlhf.data.inspect.numbers import histogram, quantile, summary
from rlhf.data.inspect.schema import schema
from rlhf.data.inspect.texts import drawn, words
from rlhf.data.rows import Corpus, Row
from rlhf.errors import UserError
from rlhf.inspection_spec import Bounds


def test_quantiles_are_the_smallest_value_that_the_share_does_not_exceed() -> None:
    seen = {1: 5, 2: 3, 10: 2}  # ten numbers: 1 1 1 1 1 2 2 2 10 10
    assert [quantile(seen, share) for share in (0.5, 0.51, 0.8, 0.81, 1.0)] == [1, 2, 2, 10, 10]
    told = summary(seen, bars=30)
    assert (told["rows"], told["mean"], told["median"], told["p95"], told["min"], told["max"]) == (
        10,
        3.1,
        1,
        10,
        1,
        10,
    )


def test_few_values_have_a_bar_each() -> None:
    told = histogram({1: 5, 2: 3, 10: 2}, bars=30)
    assert told == {"start": 1, "width": 1, "bars": [5, 3, 0, 0, 0, 0, 0, 0, 0, 2], "beyond": 0}


def test_bars_have_round_widths_and_end_at_the_99_percent_quantile() -> None:
    """0 to 98 once each, and 1000: the 99th of the hundred is 98, which ten bars of 10 hold; the last holds 1000."""
    told = histogram({**dict.fromkeys(range(99), 1), 1000: 1}, bars=10)
    assert told == {"start": 0, "width": 10, "bars": [10] * 10, "beyond": 1}


@pytest.mark.parametrize("values", [{0: 1}, {7: 3}, {}, {0: 1, 10**6: 1}, {3: 1, 4: 1000, 123457: 50}])
def test_every_number_is_in_one_bar(values: dict[int, int]) -> None:
    told = histogram(values, bars=30)
    assert sum(told["bars"]) == sum(values.values())
    assert len(told["bars"]) <= 30


@pytest.mark.parametrize(
    ("text", "count"), [("Hello, world", 2), ("", 0), (" a\n b ", 2), ("我要去北京", 5), ("你好 world", 3), ("서울", 2)]
)
def test_words_are_runs_without_space_and_signs_of_scripts_that_have_none(text: str, count: int) -> None:
    assert words(text) == count


@pytest.mark.parametrize(
    ("count", "of", "told"),
    [(1, 3, "33.3%"), (0, 5, "0%"), (1, 10_000, "under 0.1%"), (9_999, 10_000, "over 99.9%"), (4, 4, "100%")],
)  # fmt: skip
def test_a_share_is_never_told_as_none_of_something_or_all_of_less(count: int, of: int, told: str) -> None:
    assert share_of(count, of) == told


def test_the_severity_is_the_highest_bound_that_is_passed() -> None:
    bounds = Bounds(info=0.0, warning=0.1, error=0.5)
    assert [bounds.severity(share) for share in (0.0, 0.01, 0.1, 0.2, 0.5, 0.6)] == [
        None, "info", "info", "warning", "warning", "error",
    ]  # fmt: skip
    assert Bounds(info=None, warning=None, error=None).severity(1.0) is None
    with pytest.raises(ValueError, match="should rise"):
        Bounds(info=0.2, warning=0.1, error=None)


def test_the_schema_counts_types_nulls_and_empties_of_raw_records() -> None:
    """`b` is missing once and null once; `c` is a number and a text; the third record could not be read."""
    raw = [
        {"a": "hello", "b": None, "c": 1},
        {"a": " ", "c": "x", "d": []},
        UserError("f:3", "not JSON", "mend"),
        {"a": "you", "b": True, "c": 2.5, "d": [1]},
    ]
    told = schema((f"f:{at}", record) for at, record in enumerate(raw, start=1))
    assert (told["records"], told["unreadable"]) == (4, 1)
    a, b, c, d = told["columns"]
    assert (a["types"], a["nulls"], a["empties"], a["mean_characters"], a["longest"]) == ({"text": 3}, 0, 1, 3.0, 5)
    assert (b["types"], b["nulls"]) == ({"true/false": 1}, 2)
    assert c["types"] == {"number": 2, "text": 1}
    assert (d["types"], d["nulls"], d["empties"]) == ({"list": 2}, 1, 1)


def corpus(train: int, validation: int, test: int) -> Corpus:
    parts = (tuple(Row((), str(at)) for at in range(size)) for size in (train, validation, test))
    return Corpus("x", *parts, (), "", None)


def test_a_small_set_is_looked_at_whole_and_a_large_one_in_the_same_rows_every_time() -> None:
    assert drawn(corpus(2, 1, 1), 4, seed=0) == [("train", 0), ("train", 1), ("validation", 0), ("test", 0)]
    few = drawn(corpus(800, 100, 100), 50, seed=0)
    assert len(set(few)) == 50 and few == drawn(corpus(800, 100, 100), 50, seed=0)
    assert few != drawn(corpus(800, 100, 100), 50, seed=1)
    sizes = {"train": 800, "validation": 100, "test": 100}
    assert all(0 <= at < sizes[part] for part, at in few)
    assert len({part for part, _ in few}) == 3
