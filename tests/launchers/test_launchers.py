"""Each launcher runs a real sweep of four jobs, of which one fails and one is killed: two finish, two are told of."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import Done, command, tracked

from tests.launchers.sweeps import FOUR, WORDS, outcomes, prepare, sweep_folder

LAUNCHERS = {
    "local": ("hydra/launcher=local", "hydra.launcher.jobs=2"),
    "slurm": ("hydra/launcher=slurm", "hydra.launcher.executor=local"),
    "ray": ("hydra/launcher=ray",),
}
NEEDED = {"slurm": "submitit", "ray": "ray"}
OPEN = {"RAY_AUTH_MODE": "disabled"}  # a client sends no token to an address that is named, unless it is told to
KILLED = {"local": "killed by SIGKILL", "slurm": "killed: it ended in the middle", "ray": "killed: its Ray worker died"}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_jobs_finish_one_fails_and_one_is_killed(launcher: str, tmp_path: Path) -> None:
    if launcher in NEEDED:
        pytest.importorskip(NEEDED[launcher])
    check(command(*WORDS, FOUR, *LAUNCHERS[launcher], folder=prepare(tmp_path)), tmp_path, KILLED[launcher])


@pytest.mark.slow
def test_a_job_that_slurm_takes_back_is_handed_in_again_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    words = (*WORDS, "method.rewards.own.name=hurt:leaves", *LAUNCHERS["slurm"])
    done = command(*words, folder=prepare(tmp_path))
    assert done.code == 0, done.out + done.err
    log = (sweep_folder(tmp_path) / "0" / "log.txt").read_text()
    assert log.count("SystemExit: 144") == log.count("ppo: resumed from step") == 1, log
    runs = tracked(tmp_path)
    assert sorted((run.data.tags["role"], run.info.status) for run in runs) == [
        ("job", "FINISHED"), ("summary", "FINISHED"),
    ]  # fmt: skip


@pytest.fixture
def cluster() -> Iterator[str]:
    """A Ray cluster that runs already, on loopback."""
    pytest.importorskip("ray")
    ray, address = [str(Path(sys.executable).with_name("ray"))], "127.0.0.1:6391"
    environment = os.environ | OPEN
    start = [
        "start",
        "--head",
        "--node-ip-address=127.0.0.1",
        "--port=6391",
        "--num-cpus=2",
        "--include-dashboard=false",
    ]
    subprocess.run([*ray, *start], check=True, env=environment, stdout=subprocess.DEVNULL)
    yield address
    subprocess.run([*ray, "stop"], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_ray_cluster_that_runs_already_takes_the_jobs(cluster: str, tmp_path: Path) -> None:
    words = (*WORDS, FOUR, "hydra/launcher=ray", f"hydra.launcher.address={cluster}")
    store = "sqlite:///named.db"  # which the cluster was not told when it was started
    done = command(*words, folder=prepare(tmp_path), MLFLOW_TRACKING_URI=store, **OPEN)
    check(done, tmp_path, KILLED["ray"], store)


@pytest.mark.slow
def test_a_basic_sweep_dies_with_its_killed_job_and_resume_runs_the_rest(tmp_path: Path) -> None:
    """The basic launcher runs jobs in its own process; `rlhf resume` runs what failed, was killed, or never began."""
    done = command(*WORDS, FOUR, folder=prepare(tmp_path))
    assert done.code == -9
    first, second, third, fourth = outcomes(tmp_path)
    assert first and second and (first["status"], second["status"]) == ("finished", "failed")
    assert third is None and fourth is None
    (tmp_path / "mended").touch()
    done = command("resume", folder=tmp_path)
    assert done.code == 0, done.out + done.err
    assert "goes on: 1 of 4 jobs have finished" in done.out and done.out.count("ppo: resumed from step") == 2
    again = outcomes(tmp_path)
    assert [end and end["status"] for end in again] == ["finished"] * 4
    assert again[0] == first  # it was not run again
    runs = tracked(tmp_path)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sorted(run.data.tags["role"] for run in runs) == ["job"] * 4 + ["summary"]
    done = command("resume", folder=tmp_path)
    assert (done.code, done.err) == (0, "") and "nothing to resume" in done.out


def check(done: Done, folder: Path, killed: str, store: str = "sqlite:///mlflow.db") -> None:
    """Two finished, one failed, one was killed; table, outcomes and tracker say which and why."""
    assert done.code == 1, done.out + done.err
    ends = outcomes(folder)
    assert [end and end["status"] for end in ends] == ["finished", "failed", "failed", "finished"], done.out
    assert "the service does not answer" in ends[1]["error"]
    assert killed in ends[2]["error"]
    told = [line for line in done.out.splitlines() if line.startswith("failed ") and " job " not in line[:15]]
    assert len(told) == 2 and "hurt:raises" in told[0] and "the service does not answer" in told[0]
    assert "hurt:kills" in told[1] and killed in told[1]
    table = (sweep_folder(folder) / "comparison.csv").read_text()
    assert killed in table and "the service does not answer" in table
    assert "runs what is missing: 2 of 4 jobs" in done.out
    runs = tracked(folder, uri=store)
    by_role = {role: sorted(r.info.status for r in runs if r.data.tags["role"] == role) for role in ("job", "summary")}
    assert by_role == {"job": ["FAILED", "FAILED", "FINISHED", "FINISHED"], "summary": ["FAILED"]}
    assert any(killed in run.data.tags.get("error", "") for run in runs)
    jobs = [run.data.tags["command_line"] for run in runs if run.data.tags["role"] == "job"]
    assert all(told.startswith("rlhf -m method=ppo") and FOUR in told for told in jobs), jobs
    for number in (0, 1, 3):
        assert (sweep_folder(folder) / str(number) / "log.txt").read_text().count("ppo on tiny_gpt2 ->") == 1
