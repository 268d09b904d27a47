"""A sweep that is killed again and again ends as one that nobody disturbed.

RLHF_CHAOS_KILLS sets how many kills there are (3), RLHF_CHAOS_SEED when they come and what they hit.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from commandline import QUICK, environment, tracked

KILLS = int(os.environ.get("RLHF_CHAOS_KILLS", "3"))  # over as many sweeps as it takes
SEED = int(os.environ.get("RLHF_CHAOS_SEED", "1"))
WORDS = (
    "-m",
    "hydra/launcher=local",
    "hydra.launcher.jobs=2",
    "method=dpo",
    "method.beta=0.05,0.2,0.8",
    "hardware=cpu",
    *QUICK,
    "++method.trainer.max_steps=12",
    "++upstream.sft.trainer.max_steps=12",
    "++method.trainer.save_steps=3",
    "++upstream.sft.trainer.save_steps=3",
)
MEASURED = ("time", "USD", "memory")  # columns that no two runs share


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "rlhf", *words],
        cwd=folder,
        env=environment(),
        stdout=(folder / "out.txt").open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def family(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(run.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def leads(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def hurt(run: subprocess.Popen[bytes], what: str) -> None:
    """Kill a job, the launcher, or all of them at once."""
    children = family(run)
    jobs = [child.pid for child in children if leads(child.pid) and child.ppid() != run.pid]  # forked by the zygote
    if what == "job" and jobs:
        victims = jobs[-1:]
    else:
        victims = [run.pid] if what == "launcher" else [run.pid, *(child.pid for child in children)]
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def final(folder: Path) -> list[dict[str, str]]:
    [table] = folder.glob("multirun/*/*/comparison.csv")
    rows = list(csv.DictReader(table.open()))
    return sorted(({name: row[name] for name in row if name not in MEASURED} for row in rows), key=str)


def complete(folder: Path) -> bool:
    """Whether the sweep has told its report and nothing is missing in it, so that its command would begin another."""
    reported = any(json.loads(file.read_text())["reported"] for file in folder.glob("multirun/*/*/sweep.json"))
    ends = [json.loads(file.read_text())["status"] for file in folder.glob("multirun/*/*/*/result.json")]
    return reported and ends == ["finished"] * 3


def metric_points(folder: Path, run: Any) -> None:
    """Every point of every curve is there once."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    for name in (name for name in run.data.metrics if name.startswith(("train/", "eval/"))):
        steps = [point.step for point in client.get_metric_history(run.info.run_id, name)]
        assert len(steps) == len(set(steps)), (name, steps)


def disturbed(folder: Path, chance: random.Random, longest: float, kills: int) -> int:
    """Run the sweep until it is complete, killing something at random moments; how many kills it was given."""
    folder.mkdir()
    given = 0
    for _ in range(3 * kills + 3):
        run = start(folder, *(WORDS if given == 0 or chance.random() < 0.5 else ("resume",)))
        if given < kills:
            try:
                run.wait(chance.uniform(1.0, longest))
            except subprocess.TimeoutExpired:
                given += 1
                hurt(run, chance.choice(["job", "launcher", "all"]))
        code = run.wait(300)
        said = (folder / "out.txt").read_text()
        assert "Traceback" not in said, said[-4000:]
        if code == 0 or (code < 0 and complete(folder)):
            return given
        assert given, said[-4000:]
    raise AssertionError(said[-4000:])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_kills_at_random_moments_change_no_result(tmp_path: Path) -> None:
    """A sweep that is complete before it has had all kills is followed by another."""
    calm = tmp_path / "calm"
    calm.mkdir()
    begun = time.monotonic()
    assert start(calm, *WORDS).wait(300) == 0, (calm / "out.txt").read_text()
    whole, chance = time.monotonic() - begun, random.Random(SEED)
    left, rounds = KILLS, 0
    while left > 0:
        wild = tmp_path / f"wild{rounds}"
        left -= max(disturbed(wild, chance, whole, left), 1)
        rounds += 1
        assert final(wild) == final(calm)
        runs = tracked(wild)
        assert {run.info.status for run in runs} == {"FINISHED"}
        roles = sorted(run.data.tags["role"] for run in runs if run.data.tags["role"] != "stage")
        assert roles == ["job"] * 3 + ["summary"]
        assert len(runs) - len(roles) <= 1  # none where a kill came between the stage and the end of its run
        for tracked_run in runs:
            metric_points(wild, tracked_run)
