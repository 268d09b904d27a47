"""Real searches from the command line on tiny models: run, gone on with, pruned, killed, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from commandline import QUICK, Here, environment, tracked

DPO = ("method=dpo", "dataset.languages=[en]", *QUICK)
GRID = ("-m", "search=custom", "search.sampler.name=grid", *DPO)


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(capfd, monkeypatch)


def only_folder(place: Path) -> Path:
    (found,) = (place / "multirun").glob("*/*/search.json")
    return found.parent


def found_in(place: Path) -> dict[str, Any]:
    return json.loads((only_folder(place) / "search.json").read_text())


@pytest.mark.slow
def test_a_search_runs_its_trials_tells_the_best_and_goes_on_to_a_larger_total(here: Here, tmp_path: Path) -> None:
    words = (*GRID, "method.beta=0.05,0.1,0.2,0.3")
    first = here(*words, "search.trials=2", folder=tmp_path)
    assert first.code == 0, first.err
    found = found_in(tmp_path)
    assert [trial["params"] for trial in found["trials"]] == [{"method.beta": 0.05}, {"method.beta": 0.1}]
    for number in range(2):
        left = json.loads((only_folder(tmp_path) / str(number) / "result.json").read_text())
        assert found["trials"][number]["values"] == [left["metrics"]["final/reward"]]
        assert f"method.beta={found['trials'][number]['params']['method.beta']}" in left["words"]
        assert not [word for word in left["words"] if word.startswith("search")]
    best = max((0, 1), key=lambda number: found["trials"][number]["values"])
    assert found["front"] == [best]
    assert found["commands"][str(best)] in first.out
    second = here(*words, "search.trials=4", folder=tmp_path)
    assert second.code == 0, second.err
    found = found_in(tmp_path)
    assert [trial["params"]["method.beta"] for trial in found["trials"]] == [0.05, 0.1, 0.2, 0.3]
    assert [trial["job"] for trial in found["trials"]] == [0, 1, 2, 3]
    assert "2 of 4 trials are there" in second.out
    third = here(*words, "search.trials=4", folder=tmp_path)
    assert third.code == 0, third.err
    assert "is left to run" in third.out
    runs = tracked(tmp_path)
    assert sum(run.data.tags["role"] == "job" for run in runs) == 4
    assert sum(run.data.tags["role"] == "stage" for run in runs) == 1  # SFT is trained once
    assert {run.info.status for run in runs} == {"FINISHED"}
    record = json.loads((only_folder(tmp_path) / "sweep.json").read_text())
    assert record["search"] == {"name": "custom", "study": found["study"]}


def test_a_storage_that_does_not_answer_leaves_no_folder(here: Here, tmp_path: Path) -> None:
    done = here(*GRID, "method.beta=0.05,0.1", "search.storage=postgresql://nobody@127.0.0.1:1/x", folder=tmp_path)
    assert "search.storage=postgresql://nobody@127.0.0.1:1/x: OperationalError: connection" in done.refused(2)
    assert not (tmp_path / "multirun").exists()


@pytest.mark.slow
def test_hopeless_trials_end_early_and_leave_no_checkpoints(here: Here, tmp_path: Path) -> None:
    """Nothing has an accuracy above 1, so every trial falls below a threshold of 2 at its first look."""
    words = ["-m", "search=dpo", *DPO, "method.beta=0.1,0.2", "method.loss_type=sigmoid"]
    words += ["method.trainer.learning_rate=1e-4", "search.trials=2", "search.sampler.name=grid"]
    words += [
        "search.pruner.name=threshold",
        "+search.pruner.settings.threshold.lower=2",
        "++method.trainer.eval_steps=1",
    ]
    done = here(*words, folder=tmp_path)
    assert done.code == 0, done.err
    found = found_in(tmp_path)
    assert found["counts"]["pruned"] == 2
    assert found["front"] == []
    study = optuna.load_study(study_name=found["study"], storage=f"sqlite:///{only_folder(tmp_path)}/search.db")
    for number, trial in enumerate(study.trials):
        assert trial.state == optuna.trial.TrialState.PRUNED
        assert list(trial.intermediate_values) == [25]  # percent: the first of four steps
        assert 0 <= trial.intermediate_values[25] <= 1
        left = json.loads((only_folder(tmp_path) / str(number) / "result.json").read_text())
        assert left["status"] == "pruned"
        assert "which the threshold pruner ends" in left["error"]
    assert [folder.name for folder in (tmp_path / "outputs" / "stages").glob("dpo-*") if folder.is_dir()] == []
    runs = {run.data.tags["role"]: run for run in tracked(tmp_path)}
    statuses = {role: run.info.status for role, run in runs.items()}
    assert statuses == {"job": "KILLED", "stage": "FINISHED", "summary": "FINISHED"}
    assert runs["summary"].info.run_name == "sweep-dpo"


@pytest.mark.slow
def test_a_failing_trial_is_survived_and_too_many_end_the_search(here: Here, tmp_path: Path) -> None:
    words = (*GRID, "method.trainer.learning_rate=1e-4,1e30", "++method.trainer.max_grad_norm=0")
    done = here(*words, "search.max_failed=0.5", "search.trials=2", folder=tmp_path)
    assert done.code == 0, done.out
    good, bad = found_in(tmp_path)["trials"]
    assert (good["status"], bad["status"]) == ("finished", "failed")
    assert "nan" in bad["reason"] or "inf" in bad["reason"]
    ended = here(*words, "search.max_failed=0", "search.trials=2", "seed=7", folder=tmp_path)
    assert ended.code == 1
    assert "1 of 2 trials failed, more than search.max_failed=0" in ended.err


@pytest.mark.slow
def test_a_search_in_processes_of_its_own_goes_on_after_sigkill(tmp_path: Path) -> None:
    """The documented command, shrunk; the whole process group is killed once the first trial has ended."""
    words = ["-m", "search=dpo", *DPO, "search.trials=30", "search.jobs=2", "search.trials=4"]
    command = [sys.executable, "-m", "rlhf", *words]
    surroundings = environment()
    with (tmp_path / "first").open("w") as out:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=surroundings, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        deadline = time.monotonic() + 400
        while not list((tmp_path / "multirun").glob("*/*/*/result.json")) and process.poll() is None:
            assert time.monotonic() < deadline, (tmp_path / "first").read_text()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    killed = found_in(tmp_path)
    assert killed["state"] == "running"
    done = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    found = found_in(tmp_path)
    counts = found["counts"]
    assert counts["finished"] + counts["pruned"] == 4
    assert counts["running"] == counts["waiting"] == counts["failed"] == 0
    ended = [
        trial for trial in found["trials"] if trial["status"] in ("finished", "pruned") and trial["repeats"] is None
    ]
    assert sorted(trial["job"] for trial in ended) == [0, 1, 2, 3]
    before = {trial["number"]: trial for trial in killed["trials"] if trial["status"] == "finished"}
    assert all(found["trials"][number]["values"] == trial["values"] for number, trial in before.items())
    runs = tracked(tmp_path)
    assert not [run for run in runs if run.info.status == "RUNNING"]
