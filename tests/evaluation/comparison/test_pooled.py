"""Runs that differ only in their seed taken together, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rlhf.evaluation.comparison.pooled import Measured, measurements, pooled


def speaker(name: str, role: str = "policy", group: str | None = None, seed: int | None = None) -> dict[str, Any]:
    return {"name": name, "role": role, "label": f"the {name}", "group": group, "seed": seed}


def entry(value: float, **more: Any) -> dict[str, Any]:
    return {"value": value, "n": 10, "low": value - 1, "high": value + 1, **more}


def test_runs_of_one_group_are_one_line_in_the_place_of_the_first() -> None:
    told = [
        speaker("reference", "reference", "g"),
        speaker("a1", group="g", seed=1),
        speaker("b"),
        speaker("a2", group="g", seed=2),
        speaker("s1", "sft", "g", 1),
    ]
    lines = pooled(told)
    assert [(line.name, line.runs, line.seeds) for line in lines] == [
        ("reference", ("reference",), ()),
        ("a1", ("a1", "a2"), ("1", "2")),
        ("b", ("b",), ()),
        ("s1", ("s1",), ("1",)),
    ]
    assert [line.control for line in lines] == [True, False, False, False]
    assert lines[1].label == "the a1"


def test_one_seed_run_twice_is_no_second_seed() -> None:
    (line,) = pooled([speaker("old", group="g", seed=1), speaker("new", group="g", seed=1)])
    assert line.runs == ("new",)


def test_one_run_keeps_its_own_interval() -> None:
    lines = pooled([speaker("a")])
    found = measurements(lines, {"m": {"a": entry(3.0, each=[2.0, None, 4.0])}})
    assert found["m"]["a"] == Measured(3.0, 10, 2.0, 4.0, (2.0, None, 4.0), (), (3.0,), "questions")


def test_three_seeds_have_a_t_interval_and_two_a_range() -> None:
    """Of 0, 3, 6: mean 3, standard error sqrt 3, quantile of 2 degrees of freedom 4.30265."""
    three = pooled([speaker(f"a{seed}", group="g", seed=seed) for seed in (1, 2, 3)])
    values = {"m": {f"a{seed}": entry(3.0 * (seed - 1), each=[seed, None if seed == 2 else 1.0]) for seed in (1, 2, 3)}}
    found = measurements(three, values)["m"]["a1"]
    assert (found.value, found.kind, found.seeds, found.each) == (3.0, "seeds", (0.0, 3.0, 6.0), (2.0, None))
    assert found.high == pytest.approx(3 + 4.30265 * math.sqrt(3), abs=1e-4)
    two = pooled([speaker(f"a{seed}", group="g", seed=seed) for seed in (1, 2)])
    found = measurements(two, values)["m"]["a1"]
    assert (found.value, found.low, found.high, found.kind) == (1.5, 0.0, 3.0, "range")


def test_seeds_that_all_say_the_same_keep_what_is_known_of_the_questions() -> None:
    """None of 40 in each of three seeds is not certain to be none: a t interval would have no width."""
    three = pooled([speaker(f"a{seed}", group="g", seed=seed) for seed in (1, 2, 3)])
    values = {f"a{seed}": {"value": 0.0, "n": 40, "low": 0.0, "high": 0.08 + seed / 100} for seed in (1, 2, 3)}
    found = measurements(three, {"text/exact_match": values})["text/exact_match"]["a1"]
    assert (found.low, found.high, found.kind) == (0.0, 0.11, "questions")


def test_a_t_interval_of_a_share_ends_at_one() -> None:
    three = pooled([speaker(f"a{seed}", group="g", seed=seed) for seed in (1, 2, 3)])
    values = {f"a{seed}": entry(value) for seed, value in ((1, 0.8), (2, 0.9), (3, 1.0))}
    assert measurements(three, {"text/exact_match": values})["text/exact_match"]["a1"].high == 1.0
    assert measurements(three, {"not/described": values})["not/described"]["a1"].high > 1.0


def test_a_metric_that_one_seed_lacks_is_not_pooled_from_the_others() -> None:
    lines = pooled([speaker("a1", group="g", seed=1), speaker("a2", group="g", seed=2), speaker("b")])
    assert set(measurements(lines, {"m": {"a1": entry(1.0), "b": entry(2.0)}})["m"]) == {"b"}


def test_draws_are_averaged_in_pairs_and_values_of_other_questions_are_not_mixed() -> None:
    lines = pooled([speaker("a1", group="g", seed=1), speaker("a2", group="g", seed=2)])
    values = {"a1": entry(1.0, each=[1.0], draws=[1.0, None]), "a2": entry(1.0, each=[1.0, 2.0], draws=[3.0, 5.0])}
    found = measurements(lines, {"m": values})["m"]["a1"]
    assert found.each == ()
    assert found.draws[0] == 2.0 and math.isnan(found.draws[1])
