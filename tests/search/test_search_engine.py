"""Asking and telling on objectives in closed form: nothing is run twice, nothing is lost, the search finds its way."""

from __future__ import annotations

import itertools
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.trial import TrialState

from rlhf.search.engine import DRAWING, Engine, Outcome, Setting
from rlhf.search.space import Space, alike, written
from rlhf.search.spec import SearchSpec, read_spec
from rlhf.search.study import OWNER, counts, open_study

Objective = Callable[[Mapping[str, Any]], list[float]]
LINE = {"x": {"type": "float", "low": -5.0, "high": 5.0, "log": False, "step": None}}
PLANE = LINE | {"y": {"type": "float", "low": -5.0, "high": 5.0, "log": False, "step": None}}
CELLS = {
    "a": {"type": "categorical", "choices": ["one", "two", ["a", "list"]]},
    "b": {"type": "int", "low": 1, "high": 5, "log": False, "step": 2},
}
UP = {"metric": "final/reward", "direction": "maximize"}
DOWN = {"metric": "final/loss", "direction": "minimize"}


def spec_of(params: dict[str, Any], trials: int, **other: Any) -> SearchSpec:
    values: dict[str, Any] = {
        "name": "closed",
        "study": "closed",
        "storage": None,
        "seed": 0,
        "trials": trials,
        "jobs": 1,
        "max_failed": 1.0,
        "stale_hours": 24,
        "sampler": {"name": "tpe", "settings": {}},
        "pruner": {"name": "none", "settings": {}, "metric": None, "direction": "minimize", "every": 1},
        "objectives": [DOWN],
        "params": params,
    }
    return read_spec(values | other)


def sampler(name: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "settings": {name: settings} if settings else {}}


def engine_of(spec: SearchSpec, file: Path, *, private: bool = True) -> Engine:
    """A study per `file`, all in one database: making one costs a second."""
    study = open_study(spec, f"sqlite:///{file.parent.parent / 'studies.db'}", str(file), {"space": "same"})
    return Engine(study, spec, Space(spec.params), private=private)


def finish(engine: Engine, setting: Setting, objective: Objective) -> None:
    engine.tell(setting.number, Outcome("finished", objective(setting.params), None, 1.0))


def run(engine: Engine, objective: Objective, most: float = math.inf) -> list[Mapping[str, Any]]:
    """Run settings one by one until none is left, or `most` have been; returns them."""
    done: list[Mapping[str, Any]] = []
    while len(done) < most and (setting := engine.ask()) is not None:
        finish(engine, setting, objective)
        done.append(setting.params)
    return done


def values_of(engine: Engine) -> list[list[float]]:
    return [list(trial.values) for trial in engine.counted if trial.state == TrialState.COMPLETE]


def square(params: Mapping[str, Any]) -> list[float]:
    """Least, 0, at x = 1, y = -2."""
    return [(params["x"] - 1) ** 2 + (params["y"] + 2) ** 2]


def test_tpe_comes_nearer_to_the_minimum_of_a_quadratic_than_chance_at_equal_trials(tmp_path: Path) -> None:
    """By chance the best of 40 points of the plane lies 0.8 from the minimum on average (area 100 / 40 / pi)."""
    best: dict[str, list[float]] = {"tpe": [], "random": []}
    for name, seed in itertools.product(best, range(5)):
        engine = engine_of(spec_of(PLANE, 40, sampler=sampler(name), seed=seed), tmp_path / f"{name}{seed}.db")
        assert len(run(engine, square)) == 40
        best[name].append(min(value for (value,) in values_of(engine)))
    assert sum(best["tpe"]) < sum(best["random"]) / 2
    assert max(best["tpe"]) < 0.8


def test_a_grid_is_covered_exactly_once_in_the_order_in_which_it_is_written(tmp_path: Path) -> None:
    engine = engine_of(spec_of(CELLS, 100, sampler=sampler("grid")), tmp_path / "s.db")
    done = run(engine, lambda params: [float(params["b"])])
    assert [(cell["a"], cell["b"]) for cell in done] == list(itertools.product(["one", "two", "[a,list]"], [1, 3, 5]))
    assert engine.exhausted
    assert len(engine.trials) == 9
    words = [engine.space.words(cell) for cell in done]
    assert words[0] == ("a=one", "b=1")
    assert words[-1] == ("a=[a,list]", "b=5")


@pytest.mark.parametrize("name", ["tpe", "random", "qmc"])
def test_no_setting_of_a_small_space_is_run_twice_and_all_of_them_are(name: str, tmp_path: Path) -> None:
    engine = engine_of(spec_of(CELLS, 100, sampler=sampler(name)), tmp_path / "s.db")
    done = run(engine, lambda params: [float(params["b"])])
    assert len(done) == 9
    assert not any(alike(one, other) for one, other in itertools.combinations(done, 2))
    for twin in (trial for trial in engine.trials if not counts(trial)):  # what was drawn again took the finished value
        assert twin.state == TrialState.COMPLETE
        assert twin.values == [float(twin.params["b"])]


def test_a_setting_drawn_again_while_it_still_runs_takes_its_value_once_it_is_known(tmp_path: Path) -> None:
    spec = spec_of({"a": {"type": "categorical", "choices": [1, 2]}}, 9, sampler=sampler("random"))
    engine = engine_of(spec, tmp_path / "s.db")
    one, two = engine.ask(), engine.ask()
    assert one is not None
    assert two is not None
    assert {one.params["a"], two.params["a"]} == {1, 2}
    assert engine.ask() is None
    for setting in (two, one):
        finish(engine, setting, lambda params: [float(params["a"])])
    assert all(trial.state == TrialState.COMPLETE for trial in engine.trials)
    assert all(trial.values == [float(trial.params["a"])] for trial in engine.trials)


def test_a_process_waits_for_what_another_one_is_drawing(tmp_path: Path) -> None:
    """Optuna numbers a trial, then writes down its parameters one by one: between the two nobody can compare them."""
    engine = engine_of(spec_of(CELLS, 4, sampler=sampler("grid")), tmp_path / "study.db", private=False)
    first, second, *_ = engine.space.cells()
    other = engine.study.ask()

    def draw() -> None:
        for name, distribution in engine.distributions.items():
            internal = distribution.to_internal_repr(first[name])
            engine.study._storage.set_trial_param(other._trial_id, name, internal, distribution)
        other.set_user_attr(OWNER, engine.owner)

    late = threading.Timer(1.0, draw)
    late.start()
    setting = engine.ask()
    late.join()
    assert setting is not None and alike(setting.params, second)


def test_the_last_place_is_taken_by_one_process_only(tmp_path: Path) -> None:
    """Another process draws the last setting of the total after this one has seen that there is a place left."""
    engine = engine_of(spec_of(PLANE, 1), tmp_path / "study.db", private=False)
    other = engine.study.ask(fixed_distributions=engine.distributions)
    assert engine._draw(fixed=None) is None
    assert [trial.number for trial in engine.counted] == [other.number]
    assert engine.ask() is None


def test_a_process_that_died_while_it_drew_is_not_waited_for(tmp_path: Path) -> None:
    engine = engine_of(spec_of(PLANE, 4), tmp_path / "study.db", private=False)
    left = engine.study.ask()
    with sqlite3.connect(tmp_path.parent / "studies.db") as database:
        began = str(datetime.now() - DRAWING)
        database.execute("UPDATE trials SET datetime_start = ? WHERE trial_id = ?", (began, left._trial_id))
    before = time.monotonic()
    assert engine.ask() is not None
    assert time.monotonic() - before < DRAWING.total_seconds()


@pytest.mark.parametrize("name", ["tpe", "random", "grid", "qmc", "nsga2"])
def test_a_search_that_is_stopped_and_begun_again_draws_what_an_undisturbed_one_draws(
    name: str, tmp_path: Path
) -> None:
    params = PLANE if name != "grid" else CELLS
    objective: Objective = square if name != "grid" else lambda params: [float(params["b"])]
    more = {"population_size": 4} if name == "nsga2" else {}
    spec = spec_of(params, 16 if name != "grid" else 9, sampler=sampler(name, **more))
    whole = run(engine_of(spec, tmp_path / "whole.db"), objective)
    parts = run(engine_of(spec, tmp_path / "parts.db"), objective, most=3)
    parts += run(engine_of(spec, tmp_path / "parts.db"), objective, most=4)
    parts += run(engine_of(spec, tmp_path / "parts.db"), objective)
    assert parts == whole


@pytest.mark.parametrize("name", ["tpe", "random", "grid", "qmc"])
def test_a_kill_costs_one_attempt_and_changes_no_setting(name: str, tmp_path: Path) -> None:
    params = PLANE if name != "grid" else CELLS
    objective: Objective = square if name != "grid" else lambda params: [float(params["b"])]
    total = 14 if name != "grid" else 9
    spec = spec_of(params, total, sampler=sampler(name))
    whole = run(engine_of(spec, tmp_path / "whole.db"), objective)
    killed = engine_of(spec, tmp_path / "killed.db")
    run(killed, objective, most=5)
    begun = killed.ask()
    assert begun is not None
    again = engine_of(spec, tmp_path / "killed.db")
    assert again.recover(lambda trial: None) == [begun.number]
    assert again.trials[begun.number].state == TrialState.FAIL
    assert run(again, objective)[0] == begun.params
    finished = [trial.params for trial in again.counted]
    assert finished == whole
    assert len(again.counted) == total


def test_a_job_that_had_ended_before_the_kill_is_not_run_again(tmp_path: Path) -> None:
    spec = spec_of(PLANE, 3)
    begun = engine_of(spec, tmp_path / "s.db").ask()
    assert begun is not None
    again = engine_of(spec, tmp_path / "s.db")
    assert again.recover(lambda trial: Outcome("finished", square(trial.params), None, 2.0)) == []
    assert values_of(again) == [square(begun.params)]


def test_trials_of_a_living_process_are_left_alone(tmp_path: Path) -> None:
    spec = spec_of(PLANE, 3)
    first = engine_of(spec, tmp_path / "s.db")
    begun = first.ask()
    assert begun is not None
    second = engine_of(spec, tmp_path / "s.db", private=False)
    assert second.recover(lambda trial: None) == []
    assert second.trials[begun.number].state == TrialState.RUNNING
    other = second.ask()
    assert other is not None
    assert other.params != begun.params


def test_the_total_counts_what_is_there_and_grows_with_the_number(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    assert len(run(engine_of(spec_of(PLANE, 4), file), square)) == 4
    assert run(engine_of(spec_of(PLANE, 4), file), square) == []
    assert len(run(engine_of(spec_of(PLANE, 7), file), square)) == 3


def test_failures_are_kept_with_their_reason_and_counted_against_the_share(tmp_path: Path) -> None:
    engine = engine_of(spec_of(PLANE, 10, max_failed=0.2), tmp_path / "s.db")
    for failed in range(3):
        assert not engine.too_many_failed
        setting = engine.ask()
        assert setting is not None
        engine.tell(setting.number, Outcome("failed", None, f"reason {failed}", 1.0))
    assert engine.too_many_failed
    assert [trial.user_attrs["reason"] for trial in engine.trials] == ["reason 0", "reason 1", "reason 2"]
    assert {trial.state for trial in engine.trials} == {TrialState.FAIL}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_objective_that_is_no_number_is_a_failure(value: float, tmp_path: Path) -> None:
    engine = engine_of(spec_of(PLANE, 1), tmp_path / "s.db")
    setting = engine.ask()
    assert setting is not None
    engine.tell(setting.number, Outcome("finished", [value], None, 1.0))
    assert engine.trials[0].state == TrialState.FAIL
    assert engine.trials[0].user_attrs["reason"] == f"its objectives are [{value}]"


def test_the_front_of_two_objectives_is_that_of_all_pairs_compared(tmp_path: Path) -> None:
    spec = spec_of(PLANE, 40, objectives=[UP, DOWN], sampler=sampler("nsga2", population_size=10))
    engine = engine_of(spec, tmp_path / "s.db")
    run(engine, lambda params: [params["x"] * params["y"], abs(params["x"]) + params["y"]])
    points = {trial.number: trial.values for trial in engine.trials}
    front = {
        number
        for number, (up, down) in points.items()
        if not any(u >= up and d <= down and (u, d) != (up, down) for u, d in points.values())
    }
    assert 1 < len(front) < 40
    assert {trial.number for trial in engine.study.best_trials} == front


@pytest.mark.parametrize("name", ["tpe", "random", "nsga2", "cmaes", "gp", "qmc"])
def test_every_sampler_draws_within_bounds_and_does_not_repeat_itself(name: str, tmp_path: Path) -> None:
    if name == "cmaes":
        pytest.importorskip("cmaes", reason="the extra `search` is not installed")
    more = {"n_startup_trials": 3} if name == "gp" else {}
    engine = engine_of(spec_of(PLANE, 8, sampler=sampler(name, **more)), tmp_path / "s.db")
    done = run(engine, square)
    assert len({tuple(params.values()) for params in done}) == 8
    assert all(-5 <= value <= 5 for params in done for value in params.values())


@pytest.mark.parametrize("length", range(5))
def test_hydra_reads_every_text_as_it_was(length: int) -> None:
    """All texts of these signs, among them backslashes before quotes and at the end."""
    parser = OverridesParser.create()
    for signs in itertools.product("a\\\"' ", repeat=length):
        text = "".join(signs)
        read = parser.parse_override(f"key={written(text)}").value()
        assert getattr(read, "text", read) == text
