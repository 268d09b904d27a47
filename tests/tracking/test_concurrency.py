"""Several processes on one new database, and forks of a process that tracks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import rlhf.tracking as tracking
from tests.tracking.real import database, make_spec, open_real

REPOSITORY = Path(__file__).parents[2]
JOB = """
import sys; from pathlib import Path
import rlhf.tracking as t; from rlhf.config import TrackingSpec
folder, number = Path(sys.argv[1]), sys.argv[2]
spec = TrackingSpec(name='mlflow', uri=f'sqlite:///{folder}/mlflow.db', experiment='study', flush_seconds=0.1)
t.prepare_store(spec)
run = t.open_tracker(spec, folder / number).start_run(number, role='job', tags={'sweep_id': 's'}, params={'n': number})
for step in range(200):
    run.metrics({f'm{i}': float(step * i) for i in range(5)}, step)
run.end('FINISHED')
"""


def test_four_processes_on_a_new_database_lose_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", JOB, str(tmp_path)]
    jobs = [subprocess.Popen([*command, str(n)], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) for n in range(4)]
    errors = [job.communicate(timeout=180)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0, 0], errors
    tracker = open_real(make_spec(database(tmp_path)), tmp_path)
    runs = tracker.find({"sweep_id": "s"})
    assert sorted(run.params["n"] for run in runs) == ["0", "1", "2", "3"]
    assert {run.status for run in runs} == {"FINISHED"}
    client = tracker.store.connect()
    for run in runs:
        for i in range(5):
            history = client.get_metric_history(run.id, f"m{i}")
            assert [(point.step, point.value) for point in history] == [(step, float(step * i)) for step in range(200)]
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_forked_child_tracks_while_its_parent_does(tmp_path: Path) -> None:
    spec = make_spec(database(tmp_path))
    tracking.prepare_store(spec)
    tracker = tracking.open_tracker(spec, tmp_path)
    summary = tracker.start_run("summary", role="summary", tags={}, params={})
    children = []
    for number in range(3):
        summary.metrics({"started": float(number)}, number)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                run = tracking.open_tracker(spec, tmp_path / str(number)).start_run(
                    "job", role="job", tags={}, params={}
                )
                for step in range(50):
                    run.metrics({"loss": float(step)}, step)
                    time.sleep(0.005)
                run.end("FINISHED")
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    summary.end("FINISHED")
    assert [len(tracker.find({"role": role})) for role in ("summary", "job")] == [1, 3]
    for run in tracker.find({}):
        assert run.status == "FINISHED"
        assert run.metrics == ({"loss": 49.0} if run.tags["role"] == "job" else {"started": 2.0})
