"""Tracking under load: eight jobs at once, on a new database file and on a server whose PostgreSQL stops in between.

RLHF_TEST_OUTAGE sets for how many seconds the server is away (4).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from served import ROOT, Server, new_server, until

import rlhf.tracking as tracking
from rlhf.config import TrackingSpec

JOBS, STEPS, KEYS = 8, 200, 5  # of JOB below
OUTAGE = float(os.environ.get("RLHF_TEST_OUTAGE", "4"))
pytestmark = pytest.mark.slow

JOB = """
import sys; from pathlib import Path
import rlhf.tracking as t; from rlhf.config import TrackingSpec
uri, folder, number = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
spec = TrackingSpec(name='mlflow', uri=uri, experiment='load', flush_seconds=0.1)
t.prepare_store(spec)
t.deliver_spool(spec, folder)
tracker = t.open_tracker(spec, folder / number)
tracker.close_zombies()
run = tracker.start_run(number, role='job', tags={'sweep_id': 's'}, params={'n': number})
for step in range(200):
    run.metrics({f'm{i}': float(step * i) for i in range(5)}, step)
run.table('samples', ['answer'], [[number]])
run.end('FINISHED')
"""

# Logs until `finish` appears and leaves how many steps it made and how long its longest steps waited for tracking.
LONG_JOB = """
import json, sys, time; from pathlib import Path
import rlhf.tracking as t; from rlhf.config import TrackingSpec
from rlhf.tracking import channel
channel.REDELIVER_SECONDS = 1.0
uri, folder = sys.argv[1], Path(sys.argv[2])
spec = TrackingSpec(name='mlflow', uri=uri, experiment='outage', flush_seconds=0.2)
run = t.open_tracker(spec, folder).start_run('long', role='job', tags={}, params={})
(folder / 'started').write_text(run.id)
took, step = [], 0
while not (folder / 'finish').exists():
    before = time.perf_counter()
    run.metrics({'loss': 1.0 / (step + 1), 'step': float(step)}, step)
    if step % 50 == 0:
        run.tags({'reached': str(step)})
        run.text('note.txt', f'step {step}')
    took.append(time.perf_counter() - before)
    step += 1
    time.sleep(0.01)
run.end('FINISHED')
(folder / 'done').write_text(json.dumps({'steps': step, 'longest': sorted(took)[-3:], 'run_id': run.id}))
"""

# Makes 100 steps, 100 more when `outage` appears, and then waits to be killed.
KILLED_JOB = """
import sys, time; from pathlib import Path
import rlhf.tracking as t; from rlhf.config import TrackingSpec
uri, folder = sys.argv[1], Path(sys.argv[2])
spec = TrackingSpec(name='mlflow', uri=uri, experiment='outage', flush_seconds=0.2)
run = t.open_tracker(spec, folder).start_run('killed', role='job', tags={}, params={})
for step in range(200):
    while step == 100 and not (folder / 'outage').exists():
        time.sleep(0.05)
    run.metrics({'loss': float(step)}, step)
    if step == 99:
        (folder / 'started').write_text(run.id)
time.sleep(600)
"""


def start(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *words], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def open_tracker(uri: str, experiment: str, folder: Path) -> tracking.Tracker:
    spec = TrackingSpec(name="mlflow", uri=uri, experiment=experiment, flush_seconds=0.1)
    opened = tracking.open_tracker(spec, folder)
    assert isinstance(opened, tracking.Tracker)
    return opened


def steps(tracker: tracking.Tracker, run_id: str, key: str) -> list[tuple[int, float]]:
    """A metric's points in the order of their times."""
    history = tracker.store.connect().get_metric_history(run_id, key)
    return [(point.step, point.value) for point in sorted(history, key=lambda p: (p.timestamp, p.step))]


def check_eight_jobs(uri: str, folder: Path) -> None:
    jobs = [start(JOB, uri, str(folder), str(number)) for number in range(JOBS)]
    errors = [job.communicate(timeout=400)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0] * JOBS, errors
    assert not [error for error in errors if "locked" in error or "tracking:" in error], errors
    tracker = open_tracker(uri, "load", folder)
    runs = tracker.find({"sweep_id": "s"})
    assert sorted(run.params["n"] for run in runs) == [str(number) for number in range(JOBS)]
    assert {run.status for run in runs} == {"FINISHED"}
    points = [
        (run.params["n"], key, *point) for run in runs for key in range(KEYS)
        for point in steps(tracker, run.id, f"m{key}")
    ]  # fmt: skip
    assert len(points) == JOBS * STEPS * KEYS
    assert points == [
        (run.params["n"], key, step, float(step * key)) for run in runs for key in range(KEYS) for step in range(STEPS)
    ]
    client = tracker.store.connect()
    assert {client.list_artifacts(run.id)[0].path for run in runs} == {"samples.json"}
    assert not list(folder.rglob("*.jsonl"))


def test_eight_jobs_on_a_new_database_file_lose_nothing(tmp_path: Path) -> None:
    check_eight_jobs(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with new_server() as made:
        assert f"export MLFLOW_TRACKING_URI={made.uri}\n" in made.start()
        yield made


def test_eight_jobs_on_a_server_with_a_new_postgresql_lose_nothing(server: Server, tmp_path: Path) -> None:
    check_eight_jobs(server.uri, tmp_path)


@dataclass(frozen=True)
class Outage:
    """What was left by two jobs that lived through an outage, one of them killed during it."""

    long: dict[str, Any]
    killed: str  # run id
    stopped_with: int
    delivered: int
    tracker: tracking.Tracker
    folder: Path


@pytest.fixture(scope="module")
def outage(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Outage:
    folder = tmp_path_factory.mktemp("outage")
    for name in ("long", "killed"):
        (folder / name).mkdir()
    long = start(LONG_JOB, server.uri, str(folder / "long"))
    killed = start(KILLED_JOB, server.uri, str(folder / "killed"))
    until(lambda: (folder / "long" / "started").exists() and (folder / "killed" / "started").exists(), "both starts")
    time.sleep(1.0)

    stopped_with = server.stop()
    gone = time.monotonic()
    (folder / "killed" / "outage").touch()

    def spooled(name: str) -> int:
        return sum(file.read_text().count("\n") for file in (folder / name / "spool").glob("*.jsonl"))

    until(lambda: spooled("killed") >= 100 and spooled("long") >= 10, "the spooling of both")
    killed.kill()
    time.sleep(max(0.0, OUTAGE - (time.monotonic() - gone)))
    server.start()

    (run_id,) = {json.loads(file.read_text().splitlines()[0])["run_id"] for file in folder.glob("killed/spool/*.jsonl")}
    until(lambda: spooled("long") == 0, "the delivery by the living job itself")
    (folder / "long" / "finish").touch()
    for job in (long, killed):
        job.communicate(timeout=120)
    tracker = open_tracker(server.uri, "outage", folder)
    delivered = tracking.deliver_spool(
        TrackingSpec(name="mlflow", uri=server.uri, experiment="outage", flush_seconds=0.1), folder
    )
    tracker.close_zombies()
    done = json.loads((folder / "long" / "done").read_text())
    return Outage(done, run_id, stopped_with, delivered, tracker, folder)


def test_the_server_stops_at_a_signal(outage: Outage) -> None:
    assert outage.stopped_with == 0


def test_training_never_waits_for_a_server_that_is_away(outage: Outage) -> None:
    *shorter, longest = outage.long["longest"]  # the three longest of all, in seconds
    print(f"longest: {1000 * longest:.1f} ms, then {[round(1000 * one, 1) for one in reversed(shorter)]}")
    assert max(shorter) < 0.05
    assert longest < 0.5, "a busy machine may take the processor away once; a store would take seconds"


def test_nothing_is_lost_or_doubled_when_the_server_is_back(outage: Outage) -> None:
    count = outage.long["steps"]
    assert count > OUTAGE * 20
    (run,) = [run for run in outage.tracker.find({}) if run.name == "long"]
    assert (run.id, run.status) == (outage.long["run_id"], "FINISHED")
    assert steps(outage.tracker, run.id, "step") == [(step, float(step)) for step in range(count)]
    assert len(steps(outage.tracker, run.id, "loss")) == count
    assert run.tags["reached"] == str((count - 1) // 50 * 50)


def test_a_job_killed_while_the_server_is_away_is_delivered_whole_and_closed_as_failed(outage: Outage) -> None:
    assert outage.delivered == 1
    (run,) = [run for run in outage.tracker.find({}) if run.name == "killed"]
    assert (run.id, run.status) == (outage.killed, "FAILED")
    assert steps(outage.tracker, run.id, "loss") == [(step, float(step)) for step in range(200)]
    assert not [file for file in outage.folder.rglob("spool/*") if file.is_file()]
    assert outage.tracker.store.runs({}, "RUNNING") == []
