"""What tracking under load rests on: stores that hang, delivery by many at once, forks, superseded runs."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import rlhf.tracking as tracking
from rlhf.config import TrackingSpec
from rlhf.tracking import channel, reach
from rlhf.tracking.store import LOCAL_ID
from tests.tracking.real import closed_port, make_spec, open_real


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "rlhf-tracking"]


def test_a_server_that_accepts_and_never_answers_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "SECONDS", 1.0)
    monkeypatch.setattr(reach, "SILENT_SECONDS", 600.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        spec = make_spec(f"http://127.0.0.1:{silent.getsockname()[1]}")
        tracking.prepare_store(spec)
        tracker = open_real(spec, tmp_path)
        tracker.close_zombies()
        run = tracker.start_run("r", role="job", tags={}, params={})
        run.metrics({"loss": 1.0}, 1)
        run.end("FINISHED")
        silent.settimeout(1.0)
        silent.accept()[0].close()
        with pytest.raises(TimeoutError):  # nobody else has called
            silent.accept()
    assert len(list((tmp_path / "spool").glob("*.jsonl"))) == 1


def test_many_jobs_that_start_at_once_deliver_a_spool_once(tmp_path: Path) -> None:
    down = make_spec(f"http://127.0.0.1:{closed_port()}")
    for number in range(5):
        run = open_real(down, tmp_path / str(number)).start_run(str(number), role="job", tags={}, params={})
        run.metrics({"loss": float(number)}, 1)
        run.end("FINISHED")
    up = make_spec(f"sqlite:///{tmp_path}/mlflow.db")
    tracking.prepare_store(up)
    with ThreadPoolExecutor(8) as pool:
        delivered = sum(pool.map(lambda _: tracking.deliver_spool(up, tmp_path), range(8)))
    delivered += tracking.deliver_spool(up, tmp_path)
    assert delivered == 5
    runs = open_real(up, tmp_path / "reader").find({})
    assert sorted((run.name, run.metrics["loss"]) for run in runs) == [(str(n), float(n)) for n in range(5)]
    assert not [file for file in tmp_path.rglob("spool/*") if file.is_file()]


def test_a_settled_tracker_has_no_thread_and_goes_on_at_the_next_record(tmp_path: Path) -> None:
    tracker = open_real(make_spec(f"sqlite:///{tmp_path}/mlflow.db"), tmp_path)
    run = tracker.start_run("r", role="summary", tags={}, params={"a": 1})
    tracker.settle()
    assert our_threads() == []
    for step in range(3):
        run.metrics({"loss": float(step)}, step)
        tracker.settle()
        assert our_threads() == []
        assert tracker.find({})[0].metrics == {"loss": float(step)}
    child = os.fork()
    if child == 0:
        code = 1
        try:
            own = open_real(make_spec(f"sqlite:///{tmp_path}/mlflow.db"), tmp_path / "child")
            own.start_run("child", role="job", tags={}, params={}).end("FINISHED")
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    run.metrics({"loss": 9.0}, 9)
    run.end("FINISHED")
    assert {info.name: (info.status, dict(info.metrics)) for info in tracker.find({})} == {
        "r": ("FINISHED", {"loss": 9.0}), "child": ("FINISHED", {}),
    }  # fmt: skip


def test_records_that_come_while_the_thread_is_leaving_are_not_forgotten(tmp_path: Path) -> None:
    spec = TrackingSpec(name="mlflow", uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="study", flush_seconds=0.001)
    tracker = open_real(spec, tmp_path)
    run = tracker.start_run("r", role="job", tags={}, params={})
    for step in range(150):
        run.metrics({"loss": float(step)}, step)
        time.sleep(0.002 * (step % 7))
    tracker.settle()
    assert len(tracker.store.connect().get_metric_history(run.id, "loss")) == 150
    run.end("FINISHED")


def test_superseded_runs_are_gone_from_searches_and_can_be_restored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = make_spec(f"sqlite:///{tmp_path}/mlflow.db")
    tracker = open_real(spec, tmp_path)
    failed = tracker.start_run("failed", role="job", tags={}, params={})
    failed.end("FAILED")
    running = tracker.start_run("running", role="job", tags={}, params={})
    kept = tracker.start_run("kept", role="job", tags={}, params={})
    kept.end("FINISHED")
    unreached = open_real(make_spec(f"http://127.0.0.1:{closed_port()}"), tmp_path / "away").start_run(
        "unreached", role="job", tags={}, params={}
    )
    unreached.end("FAILED")
    local_id = unreached.id
    assert tracking.deliver_spool(spec, tmp_path / "away") == 1
    assert len(tracker.find({})) == 4

    deleted = tracker.supersede([failed.id, running.id, local_id, "f" * 32, ""])
    assert [info.name for info in tracker.find({})] == ["kept"]
    client = tracker.store.connect()
    assert deleted[:2] == [failed.id, running.id] and len(deleted) == 3
    found = [client.get_run(run_id).info for run_id in deleted]
    assert [(info.run_name, info.status, info.lifecycle_stage) for info in found] == [
        (name, "FAILED", "deleted") for name in ("failed", "running", "unreached")
    ]
    assert tracker.supersede(deleted) == []
    client.restore_run(failed.id)
    assert {info.name for info in tracker.find({})} == {"kept", "failed"}
    running.end("FAILED")
    caplog.clear()
    away = open_real(make_spec(f"http://127.0.0.1:{closed_port()}"), tmp_path / "none")
    assert away.supersede([failed.id]) == []
    assert "earlier attempts are still shown" in caplog.text


def test_what_a_superseded_attempt_left_behind_is_dropped_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(channel, "RETRY_AFTER", (0.01,))
    spec = make_spec(f"sqlite:///{tmp_path}/store/mlflow.db")
    tracker = open_real(spec, tmp_path / "run")
    run = tracker.start_run("r", role="job", tags={}, params={})
    tracker.settle()
    shutil.move(tmp_path / "store", tmp_path / "away")
    run.metrics({"loss": 1.0}, 1)
    run.end("FAILED")
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    shutil.move(tmp_path / "away", tmp_path / "store")
    assert len(list(tmp_path.rglob("*.jsonl"))) == 1
    assert tracker.supersede([run.id]) == [run.id]
    caplog.clear()
    assert tracking.deliver_spool(spec, tmp_path / "run") == 1
    assert caplog.text == "" and not list(tmp_path.rglob("*.jsonl"))
    assert tracker.find({}) == []


def test_attempts_that_the_store_never_saw_leave_one_run(tmp_path: Path) -> None:
    """The store is down while a job fails, and while it is tried again."""
    away = make_spec(f"http://127.0.0.1:{closed_port()}")
    for attempt, status in (("one", "FAILED"), ("two", "FINISHED")):
        tracker = open_real(away, tmp_path / "job")
        run = tracker.start_run(attempt, role="job", tags={LOCAL_ID: f"{attempt}-id"}, params={})
        assert run.id == f"{attempt}-id"  # by which it is found once it is delivered
        assert tracker.supersede([] if attempt == "one" else ["one-id"]) == []
        run.end(status)  # type: ignore[arg-type]
    spec = make_spec(f"sqlite:///{tmp_path}/mlflow.db")
    assert tracking.deliver_spool(spec, tmp_path) == 3
    assert [(info.name, info.status) for info in open_real(spec, tmp_path).find({})] == [("two", "FINISHED")]
    assert not list(tmp_path.rglob("*.jsonl"))


def test_stages_of_a_job_that_was_killed_elsewhere_are_closed_with_it(tmp_path: Path) -> None:
    tracker = open_real(make_spec(f"sqlite:///{tmp_path}/mlflow.db"), tmp_path)
    elsewhere = {"rlhf.host": "another machine"}
    runs = [
        tracker.start_run(name, role="stage", tags={"built_for": job, **elsewhere}, params={})
        for name, job in (("own", "killed"), ("other's", "living"))
    ]
    tracker.settle()
    assert tracker.close_zombies() == []
    assert len(tracker.close_zombies(["killed"])) == 1
    assert {info.name: info.status for info in tracker.find({})} == {"own": "FAILED", "other's": "RUNNING"}
    for run in runs:
        run.end("FAILED")


def test_a_run_is_gone_on_with_where_the_caller_names_its_local_id(tmp_path: Path) -> None:
    tracker = open_real(make_spec(f"sqlite:///{tmp_path}/mlflow.db"), tmp_path)
    first = tracker.start_run("r", role="job", tags={LOCAL_ID: "job-7"}, params={})
    first.metrics({"loss": 2.0}, 1)
    first.end("FAILED")
    again = tracker.start_run("r", role="job", tags={LOCAL_ID: "job-7"}, params={})
    again.metrics({"loss": 1.0}, 2)
    again.end("FINISHED")
    (info,) = tracker.find({})
    assert info.id == first.id == again.id and (info.status, info.metrics) == ("FINISHED", {"loss": 1.0})
