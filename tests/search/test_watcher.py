"""What a job reports reaches the study, and the study ends what is hopeless; the job knows a few variables only."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from optuna.trial import TrialState
from rich.console import Console

from rlhf.compose import parse_words
from rlhf.search.check import find_search
from rlhf.search.drive import Drive
from rlhf.search.watcher import STORAGE, STUDY, TRIAL, Pruned, Watcher, watcher_of_this_job

STEPS = 40
MEDIAN = ("search.pruner.name=median", "++search.pruner.settings.median={n_startup_trials: 1, n_warmup_steps: 0}")


def drive_of(folder: Path, *words: str) -> Drive:
    search = find_search(parse_words(["-m", "search=dpo", "method=dpo", "search.sampler.name=random", *words]))
    assert search is not None
    drive = Drive(search, folder, Console(quiet=True))
    drive.open()
    return drive


def trial_of(drive: Drive, curve: dict[int, float], name: str) -> Pruned | None:
    """One trial whose job logs `curve` (step -> value) under `name`; returns what ended it early."""
    ((job, words),) = drive.batch()
    number = drive.running[job].number
    watcher, ended = Watcher(drive.url, drive.search.study, number), None
    try:
        for step, value in curve.items():
            watcher(step, STEPS, {name: value, "train/loss": 9.0})
            watcher(step, STEPS, {"train/loss": 9.0})
    except Pruned as error:
        ended = error
    left = (
        {"status": "pruned", "error": str(ended)} if ended else {"status": "finished", "metrics": {"final/reward": 1.0}}
    )
    (drive.folder / str(job)).mkdir()
    (drive.folder / str(job) / "result.json").write_text(json.dumps({"words": words, "seconds": 1.0, **left}))
    drive.ended(job)
    return ended


def test_a_trial_below_the_median_of_those_before_it_ends_and_is_recorded_as_pruned(tmp_path: Path) -> None:
    name = "eval/rewards/accuracies"
    drive = drive_of(tmp_path, *MEDIAN)
    assert trial_of(drive, {10: 0.6, 20: 0.7, 30: 0.8, 40: 0.9}, name) is None
    assert trial_of(drive, {10: 0.9, 20: 0.9, 30: 0.9, 40: 0.1}, name) is None  # at the end nothing is saved any more
    ended = trial_of(drive, {10: 0.76, 20: 0.2, 30: 0.8, 40: 0.9}, name)  # medians are 0.75 and 0.8; its best counts
    assert ended is not None
    assert "eval/rewards/accuracies is 0.2 after 50% of the training, which the median pruner ends" in str(ended)
    states = [trial.state for trial in drive.engine.trials]
    assert states == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED]
    assert drive.engine.trials[2].intermediate_values == {25: 0.76, 50: 0.2}
    assert drive.engine.failures == 0
    drive.finish()
    found = json.loads((tmp_path / "search.json").read_text())
    assert found["trials"][2]["curve"] == [[25, 0.76], [50, 0.2]]
    assert found["trials"][2]["reason"] == str(ended)
    assert found["counts"]["pruned"] == 1


def test_a_curve_that_should_fall_is_turned_over_for_an_objective_that_should_rise(tmp_path: Path) -> None:
    drive = drive_of(tmp_path, *MEDIAN, "search.pruner.metric=eval/loss", "search.pruner.direction=minimize")
    assert trial_of(drive, {10: 0.7, 20: 0.6}, "eval/loss") is None
    assert trial_of(drive, {10: 0.6, 20: 0.5}, "eval/loss") is None
    assert trial_of(drive, {10: 0.9}, "eval/loss") is not None
    drive.finish()
    found = json.loads((tmp_path / "search.json").read_text())
    assert [trial["curve"][0] for trial in found["trials"]] == [[25, 0.7], [25, 0.6], [25, 0.9]]


def test_a_threshold_is_of_the_curve_itself(tmp_path: Path) -> None:
    words = ("search.pruner.name=threshold", "++search.pruner.settings.threshold={upper: 2.0}")
    drive = drive_of(tmp_path, *words, "search.pruner.metric=eval/loss", "search.pruner.direction=minimize")
    assert trial_of(drive, {10: 1.9, 20: 1.5}, "eval/loss") is None
    assert trial_of(drive, {10: 2.1}, "eval/loss") is not None


def test_only_each_so_manyth_point_is_looked_at(tmp_path: Path) -> None:
    drive = drive_of(tmp_path, *MEDIAN, "search.pruner.every=2")
    assert trial_of(drive, {10: 0.5, 20: 0.5, 30: 0.5, 40: 0.5}, "eval/rewards/accuracies") is None
    assert list(drive.engine.trials[0].intermediate_values) == [50, 100]


def test_a_job_finds_its_trial_by_its_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert watcher_of_this_job() is None
    drive = drive_of(tmp_path, *MEDIAN)
    ((_, words),) = drive.batch()
    given = dict(word.split("=", 1) for word in words if word.startswith("+hydra.job.env_set."))
    for name in (STORAGE, STUDY, TRIAL):
        monkeypatch.setenv(name, given[f"+hydra.job.env_set.{name}"].strip('"'))
    watcher = watcher_of_this_job()
    assert watcher is not None
    watcher(10, STEPS, {"eval/rewards/accuracies": 0.5})
    assert drive.engine.trials[0].intermediate_values == {25: 0.5}


def test_a_storage_that_answers_no_more_stops_no_training(tmp_path: Path) -> None:
    drive = drive_of(tmp_path, *MEDIAN)
    drive.batch()
    watcher = Watcher(drive.url, drive.search.study, 0)
    with sqlite3.connect(tmp_path / "search.db") as database:
        database.execute("ALTER TABLE trial_intermediate_values RENAME TO away")
    watcher(10, STEPS, {"eval/rewards/accuracies": 0.5})
    with sqlite3.connect(tmp_path / "search.db") as database:
        database.execute("ALTER TABLE away RENAME TO trial_intermediate_values")
    watcher(20, STEPS, {"eval/rewards/accuracies": 0.6})
    assert drive.engine.trials[0].intermediate_values == {50: 0.6}


def test_trials_that_run_to_their_end_are_not_told_of_the_study(tmp_path: Path) -> None:
    drive = drive_of(tmp_path, "search.pruner.name=none")
    ((_, words),) = drive.batch()
    assert not [word for word in words if "RLHF_SEARCH" in word]
