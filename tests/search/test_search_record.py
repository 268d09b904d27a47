"""What a search leaves behind is true: front, history, importances, commands, and what a reader should not overlook."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from rich.console import Console

from rlhf.compose import jobs, parse_words
from rlhf.errors import RunFailure, UserError
from rlhf.search.check import Search, find_search
from rlhf.search.drive import Drive, folder_of
from rlhf.search.record import lines, shown
from rlhf.search.study import open_study, without_password

BETA = "method.beta=tag(log,interval(0.01,1))"
RATE = "method.trainer.learning_rate=tag(log,interval(1e-6,1e-3))"
Left = Callable[[Mapping[str, float]], dict[str, Any]]


def search_of(*words: str) -> Search:
    search = find_search(parse_words(["-m", "search=custom", "method=dpo", *words]))
    assert search is not None
    return search


def drive_of(search: Search, folder: Path) -> Drive:
    drive = Drive(search, folder, Console(quiet=True))
    drive.open()
    return drive


def settings(words: list[str]) -> dict[str, float]:
    pairs = (word.split("=", 1) for word in words if not word.startswith("+hydra."))
    return {key: float(value) for key, value in pairs if key != "method"}


def finished(**metrics: float) -> dict[str, Any]:
    return {"status": "finished", "metrics": {f"final/{name}": value for name, value in metrics.items()}}


def work(drive: Drive, left: Left, most: int = 1000) -> int:
    """Do what a launcher and its jobs do: take jobs, leave results; returns how many."""
    done = 0
    while done < most and (batch := drive.batch()):
        for job, words in batch:
            folder = drive.folder / str(job)
            folder.mkdir(exist_ok=True)
            outcome = {"words": words, "seconds": 2.0, "error": ""} | left(settings(words))
            (folder / "result.json").write_text(json.dumps(outcome))
            drive.ended(job)
            done += 1
    return done


def found_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "search.json").read_text())


def test_importances_name_the_parameter_that_matters_and_shares_sum_to_one(tmp_path: Path) -> None:
    drive = drive_of(search_of(BETA, RATE, "search.trials=30", "search.sampler.name=random"), tmp_path)
    assert work(drive, lambda s: finished(reward=10 * s["method.beta"] + s["method.trainer.learning_rate"])) == 30
    drive.finish()
    found = found_in(tmp_path)
    for estimator, shares in found["importances"]["final/reward"].items():
        assert list(shares)[0] == "method.beta", estimator
        assert shares["method.beta"] > 0.9
        assert sum(shares.values()) == pytest.approx(1)
    assert found["state"] == "complete"
    assert found["counts"]["finished"] == 30
    assert any("at the high end" in note for note in found["notes"]) == (
        max(trial["params"]["method.beta"] for trial in found["trials"]) > 0.01 * 100**0.98
    )


def test_history_front_and_command_are_those_of_the_best_trial(tmp_path: Path) -> None:
    search = search_of(BETA, "search.trials=6", "search.sampler.name=random", "dataset.rows=300")
    drive = drive_of(search, tmp_path)
    work(drive, lambda s: finished(reward=-abs(s["method.beta"] - 0.3)))
    drive.finish()
    found = found_in(tmp_path)
    values = [trial["values"][0] for trial in found["trials"]]
    best = values.index(max(values))
    assert found["front"] == [best]
    assert found["history"]["final/reward"] == [[n, v, max(values[: n + 1])] for n, v in enumerate(values)]
    words = shlex.split(found["commands"][str(best)])
    assert words[0] == "rlhf"
    ((_, run),) = jobs(parse_words(words[1:]))
    assert run == drive.jobs[found["trials"][best]["job"]][1]
    assert run.method.beta == found["trials"][best]["params"]["method.beta"]  # type: ignore[union-attr]
    assert run.dataset.rows == 300  # type: ignore[union-attr]
    assert any("flattered by chance" in note for note in found["notes"])


def test_the_front_of_several_objectives_holds_what_nothing_beats(tmp_path: Path) -> None:
    goals = "[{metric: final/reward, direction: maximize}, {metric: final/kl, direction: minimize}]"
    search = search_of(BETA, RATE, "search.trials=20", "search.sampler.name=nsga2", f"search.objectives={goals}")
    drive = drive_of(search, tmp_path)
    rates = "method.trainer.learning_rate"
    work(drive, lambda s: finished(reward=s["method.beta"], kl=s["method.beta"] ** 2 + 1000 * s[rates]))
    drive.finish()
    found = found_in(tmp_path)
    points = {trial["number"]: trial["values"] for trial in found["trials"]}
    best = set()
    for number, (reward, kl) in points.items():
        if not any(r >= reward and k <= kl and (r, k) != (reward, kl) for r, k in points.values()):
            best.add(number)
    assert set(found["front"]) == best == {trial.number for trial in drive.engine.study.best_trials}
    rewards = [points[number][0] for number in found["front"]]
    assert rewards == sorted(rewards, reverse=True)
    assert set(found["commands"]) == {str(number) for number in best}
    assert set(found["importances"]) == {"final/reward", "final/kl"}


def test_a_search_goes_on_in_its_folder_to_a_larger_total(tmp_path: Path) -> None:
    left: Left = lambda s: finished(reward=s["method.beta"])  # noqa: E731
    folder = tmp_path / "day" / "time"
    first = drive_of(search_of(BETA, "search.trials=3"), folder)
    assert work(first, left) == 3
    first.finish()
    more = search_of(BETA, "search.trials=5")
    assert folder_of(more, tmp_path) == folder
    assert folder_of(search_of(BETA, "seed=3"), tmp_path) is None
    second = drive_of(more, folder)
    assert len(second.jobs) == 3
    assert work(second, left) == 2
    second.finish()
    assert [trial["job"] for trial in found_in(folder)["trials"]] == [0, 1, 2, 3, 4]
    third = drive_of(more, folder)
    assert work(third, left) == 0


def test_what_a_kill_left_is_taken_up_finished_jobs_are_told_and_begun_ones_run_again(tmp_path: Path) -> None:
    search = search_of(BETA, "search.trials=4", "search.jobs=2")
    killed = drive_of(search, tmp_path)
    batch = killed.batch()
    assert [job for job, _ in batch] == [0, 1]
    for job, words in batch:
        (tmp_path / str(job)).mkdir()
        left = {"words": words, **(finished(reward=1.0) if job == 0 else {"status": "interrupted", "error": "x"})}
        (tmp_path / str(job) / "result.json").write_text(json.dumps(left))
    killed.lock.release()  # as the system does when a process dies
    again = drive_of(search, tmp_path)
    assert again.engine.trials[0].values == [1.0]
    ((job, words), (other, _)) = again.batch()
    assert (job, other) == (1, 2)
    assert words == batch[1][1]
    assert not (tmp_path / "1" / "result.json").exists()
    found = found_in(tmp_path)
    assert found["counts"]["interrupted"] == 1


def test_failed_trials_are_told_and_too_many_end_the_search(tmp_path: Path) -> None:
    drive = drive_of(search_of(BETA, "search.trials=10", "search.max_failed=0.2"), tmp_path)
    assert work(drive, lambda s: {"status": "failed", "error": "sft step 3: loss is nan"}) == 3
    with pytest.raises(RunFailure, match=r"3 of 10 trials failed, more than search.max_failed=0.2.*loss is nan"):
        drive.finish()
    found = found_in(tmp_path)
    assert found["state"] == "ended early"
    assert [trial["reason"] for trial in found["trials"]] == ["sft step 3: loss is nan"] * 3


def test_a_failure_or_a_kill_is_survived(tmp_path: Path) -> None:
    drive = drive_of(
        search_of("method.beta=0.1,0.2,0.3", "search.sampler.name=grid", "search.max_failed=0.5"), tmp_path
    )
    ((job, _),) = drive.batch()
    drive.ended(job)  # it left nothing
    assert work(drive, lambda s: finished(loss=1.0) if s["method.beta"] == 0.2 else finished(reward=1.0)) == 2
    drive.finish()
    reasons = [trial["reason"] for trial in found_in(tmp_path)["trials"]]
    assert reasons == ["left no result, it was killed", "it finished without final/reward", None]
    assert [trial.state for trial in drive.engine.trials] == [TrialState.FAIL, TrialState.FAIL, TrialState.COMPLETE]
    assert found_in(tmp_path)["message"] == "only 3 of 20 trials were run: the space has no more settings"


def test_a_second_process_is_refused_while_the_first_one_searches(tmp_path: Path) -> None:
    search = search_of(BETA)
    first = drive_of(search, tmp_path)
    script = f"""
from pathlib import Path
from rich.console import Console
from rlhf.compose import parse_words
from rlhf.errors import UserError
from rlhf.search.check import find_search
from rlhf.search.drive import Drive
try:
    Drive(find_search(parse_words(["-m", "search=custom", {BETA!r}])), Path({str(tmp_path)!r}), Console()).open()
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=os.environ, check=True)
    assert "another process runs this search" in done.stdout
    first.lock.release()


def test_a_study_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    one, other = search_of(BETA), search_of(BETA, "search.sampler.name=random", "dataset.rows=500")
    open_study(one.spec, url, "mine", one.identity)
    open_study(one.spec, url, "mine", one.identity)
    with pytest.raises(UserError, match="another configuration and another sampler or seed.*search.study=NAME"):
        open_study(other.spec, url, "mine", other.identity)


def test_a_storage_that_cannot_be_reached_is_told_in_one_line(tmp_path: Path) -> None:
    search = search_of(BETA, "search.storage=postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(UserError, match=r"search\.storage=.*Check that it runs") as caught:
        drive_of(search, tmp_path)
    assert "\n" not in str(caught.value)


def test_passwords_are_never_shown() -> None:
    assert without_password("postgresql://me:secret@host/db") == "postgresql://me@host/db"
    assert without_password("postgresql://me@host:5432/db") == "postgresql://me@host:5432/db"


def test_trials_and_jobs_are_counted_from_1_as_in_the_comparison(tmp_path: Path) -> None:
    """The file's numbers are those of folders and of Optuna, from 0; a reader counts from 1."""
    drive = drive_of(search_of(BETA, "search.trials=2"), tmp_path)
    work(drive, lambda own: finished(reward=own["method.beta"]))
    drive.finish()
    found = found_in(tmp_path)
    best = found["front"][0]
    columns = [list(column.cells) for column in shown(found).columns]
    assert sorted(columns[0]) == sorted(columns[1]) == ["1", "2"]
    assert columns[0][0] == str(best + 1)
    assert any(line.startswith(f"trial {best + 1}  rlhf ") for line in lines(found))


def test_too_few_trials_for_importances_are_told_in_one_line(tmp_path: Path) -> None:
    drive = drive_of(search_of(BETA, "search.trials=3"), tmp_path)
    work(drive, lambda own: finished(reward=own["method.beta"]))
    drive.finish()
    told = [note for note in found_in(tmp_path)["notes"] if "matters" in note]
    assert told == ["which setting matters can't be told from 3 finished trials: at least 4 are needed"]
