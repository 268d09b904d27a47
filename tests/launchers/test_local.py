"""The local launcher with jobs that train nothing: how they start, end, are killed, and end with their launcher."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from commandline import environment
from omegaconf import OmegaConf

from rlhf.launchers.endings import in_words
from rlhf.launchers.jobs import Prepared
from rlhf.launchers.local import LocalLauncher, Running, Work
from rlhf.launchers.slots import divided, sensible_jobs
from rlhf.launchers.view import View

TOYS = [sys.executable, "-m", "tests.launchers.toys"]
linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")


def begin(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TOYS, str(folder / "sweep"), "hydra/launcher=local", *words],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )


def outcome(folder: Path, number: int) -> dict[str, Any]:
    return json.loads((folder / "sweep" / str(number) / "result.json").read_text())


def seen(folder: Path, number: int) -> dict[str, Any]:
    return json.loads((folder / "sweep" / str(number) / "seen.json").read_text())


def wait_for(*files: Path) -> None:
    deadline = time.monotonic() + 120
    while not all(file.exists() and file.stat().st_size for file in files):
        assert time.monotonic() < deadline, f"{files} did not come"
        time.sleep(0.05)
    time.sleep(0.2)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def all_gone(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not all(gone(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return all(gone(pid) for pid in pids)


@pytest.mark.slow
def test_jobs_end_in_every_way_and_harm_no_other(tmp_path: Path) -> None:
    """Seeds 1 to 5: fine, raises, SIGKILL, sys.exit(3), abort; then two fine ones more, two at once."""
    run = begin(tmp_path, "hydra.launcher.jobs=2", "seed=1,2,3,4,5,1,1")
    told, _ = run.communicate(timeout=240)
    assert run.returncode == 0, told  # what failed stands in the outcomes; the sweep's exit code is made of them
    ends = [outcome(tmp_path, number) for number in range(7)]
    assert [end["status"] for end in ends] == ["finished", *["failed"] * 4, "finished", "finished"]
    assert "exit code 1" in ends[1]["error"]
    assert ends[2]["error"].startswith("killed by SIGKILL (") and ends[2]["signal"] == "SIGKILL"
    assert ends[3]["error"] == "ended with exit code 3 and left no result"
    assert ends[4]["error"].startswith("killed by SIGABRT") and ends[4]["signal"] == "SIGABRT"
    assert ends[2]["words"] == ["seed=3"] and ends[2]["name"] == "dpo-tiny_gpt2"
    lines = [line for line in told.splitlines() if re.match(r"(finished|failed) ", line)]
    assert len(lines) == 7 and sum("job 3 of 7 seed=3" in line and "SIGKILL" in line for line in lines) == 1
    log = (tmp_path / "sweep" / "1" / "log.txt").read_text()
    assert "words of job 1" in log and "this job is meant to fail" in log


@pytest.mark.slow
def test_a_job_is_a_clean_fork_with_its_own_part_of_the_machine(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    run = begin(tmp_path, "hydra.launcher.jobs=2", "seed=1,1,1,1,1,1")
    told, _ = run.communicate(timeout=240)
    assert run.returncode == 0, told
    jobs = [seen(tmp_path, number) for number in range(6)]
    assert len({job["pid"] for job in jobs}) == 6  # a process for each
    assert len({job["parent"] for job in jobs}) == 1  # of one warm parent
    assert all(job["session"] == job["pid"] and job["python_threads"] == 1 and job["loaded"] for job in jobs)
    assert {job["folder"] for job in jobs} == {str(tmp_path)}
    own = [tuple(slot.cores) for slot in divided(cores, [], 2)]
    assert {tuple(job["cores"]) for job in jobs} == set(own)
    logs = [(tmp_path / "sweep" / str(number) / "log.txt").read_text() for number in range(6)]
    starts = sorted(float(re.search(r", ([\d.]+) s after", log)[1]) for log in logs)  # type: ignore[index]
    assert starts[len(starts) // 2] < 0.3  # the median, on a machine that may be busy
    assert all_gone([jobs[0]["parent"]], 5)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("victim", ["launcher", "zygote"])
def test_jobs_end_with_what_they_came_from(tmp_path: Path, victim: str) -> None:
    """A killed launcher takes all with it; of a killed zygote the launcher tells, and warms up another."""
    run = begin(tmp_path, "hydra.launcher.jobs=2", "seed=6,6,1" if victim == "zygote" else "seed=6,6")
    wait_for(*(tmp_path / "sweep" / str(number) / "seen.json" for number in range(2)))
    jobs = [seen(tmp_path, number) for number in range(2)]
    if victim == "launcher":
        run.kill()
        assert all_gone([job["pid"] for job in jobs] + [jobs[0]["parent"]], 2)
        run.communicate()
        return
    os.kill(jobs[0]["parent"], signal.SIGKILL)
    assert all_gone([job["pid"] for job in jobs], 2)
    told, _ = run.communicate(timeout=240)
    assert run.returncode == 0, told
    assert [outcome(tmp_path, number)["status"] for number in range(3)] == ["failed", "failed", "finished"]
    assert "its warm parent process was killed" in outcome(tmp_path, 0)["error"]


@pytest.mark.slow
def test_ctrl_c_interrupts_the_jobs(tmp_path: Path) -> None:
    run = begin(tmp_path, "hydra.launcher.jobs=2", "seed=6,6,1")
    wait_for(*(tmp_path / "sweep" / str(number) / "seen.json" for number in range(2)))
    jobs = [seen(tmp_path, number) for number in range(2)]
    os.kill(run.pid, signal.SIGINT)
    told, _ = run.communicate(timeout=60)
    assert "KeyboardInterrupt" in told  # `rlhf` itself makes a line of it
    assert all_gone([job["pid"] for job in jobs] + [jobs[0]["parent"]], 5)
    assert [outcome(tmp_path, number)["error"] for number in range(2)] == [
        "ended with exit code 130 and left no result"
    ] * 2
    assert not (tmp_path / "sweep" / "2").exists()


def test_jobs_of_a_warm_process_that_has_ended_are_told_as_lost(tmp_path: Path) -> None:
    """Also where that was seen by asking it for another job."""
    config = OmegaConf.create({"method": {"name": "dpo"}, "model": {"name": "m"}, "hydra": {"overrides": {"task": []}}})
    job = Prepared(0, ("seed=1",), tmp_path / "0", config)
    launcher = LocalLauncher(jobs=1)
    launcher.zygote = SimpleNamespace(alive=False, events=lambda seconds: [])  # type: ignore[assignment]
    work = Work(deque(), {0: Running(job, launcher.slots[0], time.time())})
    assert launcher._turn(work, View(None)) == [0]
    assert not work.running and list(work.free) == launcher.slots
    assert "its warm parent process was killed" in work.returned[0].return_value["error"]


def test_the_machine_is_divided_between_jobs() -> None:
    """Whole cores, one GPU each; more jobs than either share in turn."""
    assert [slot.cores for slot in divided([0, 1, 2, 3, 4], [], 2)] == [(0, 1), (2, 3, 4)]
    assert [slot.cores for slot in divided([4, 7], [], 3)] == [(4,), (4,), (7,)]
    assert [slot.gpu for slot in divided(range(8), ["0", "3"], 3)] == ["0", "3", "0"]
    assert [sensible_jobs(*machine) for machine in ((1, 0), (2, 0), (3, 0), (8, 0), (64, 0), (64, 4))] == [
        1, 2, 2, 4, 32, 4,
    ]  # fmt: skip


def test_an_end_is_told_in_words() -> None:
    assert in_words(3) == "ended with exit code 3 and left no result"
    assert in_words(-9) == "killed by SIGKILL (the system's out-of-memory killer does that)"
    assert in_words(-40) == "killed by signal 40"
