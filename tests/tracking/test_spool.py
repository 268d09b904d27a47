"""A store that is down never stops training, and nothing is lost or doubled when it comes back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rlhf.tracking as tracking
from rlhf.errors import RunFailure
from rlhf.tracking import channel, store
from tests.tracking.real import closed_port, make_spec, open_real

REPOSITORY = Path(__file__).parents[2]


def points(tracker: tracking.Tracker, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in tracker.store.connect().get_metric_history(run_id, key)]


def test_a_store_down_from_the_start_is_spooled_and_delivered_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    down = make_spec(f"postgresql://user:pa55word@127.0.0.1:{closed_port()}/db")
    folder = tmp_path / "run"
    tracking.prepare_store(down)
    tracker = open_real(down, folder)
    started = time.monotonic()
    run = tracker.start_run("r", role="job", tags={"sweep_id": "s"}, params={"beta": 0.1})
    for step in range(1500):
        run.metrics({"loss": 1.0 / (step + 1), "x": float("nan")}, step)
    run.text("config.yaml", "seed: 1\n")
    kept = tmp_path / "plot.png"
    kept.write_bytes(b"png")
    run.figure(kept)
    run.end("FINISHED")
    assert time.monotonic() - started < 10
    assert run.url and len(run.id) == 32
    assert caplog.text.count("does not answer") == 2  # prepare_store and the run, once each
    assert "pa55word" not in caplog.text + "".join(file.read_text() for file in folder.rglob("*.jsonl"))
    with pytest.raises(RunFailure, match="127.0.0.1"):
        tracker.find({})
    assert tracker.close_zombies() == []
    assert tracking.deliver_spool(down, tmp_path) == 0

    up = make_spec(f"sqlite:///{tmp_path}/mlflow.db")
    assert tracking.deliver_spool(up, tmp_path) == 1
    assert tracking.deliver_spool(up, tmp_path) == 0
    reader = open_real(up, tmp_path / "other")
    (info,) = reader.find({"sweep_id": "s"})
    assert (info.status, info.params, info.name) == ("FINISHED", {"beta": "0.1"}, "r")
    assert points(reader, info.id, "loss") == [(step, 1.0 / (step + 1)) for step in range(1500)]
    assert len(points(reader, info.id, "x")) == 1500
    assert (
        len(list((tmp_path / "mlruns").rglob("plot.png"))) == len(list((tmp_path / "mlruns").rglob("config.yaml"))) == 1
    )
    assert [file for file in folder.rglob("*") if file.is_file()] == []


def test_a_store_that_breaks_in_the_middle_keeps_order_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(channel, "RETRY_AFTER", (0.01,))
    spec = make_spec(f"sqlite:///{tmp_path}/store/mlflow.db")
    tracking.prepare_store(spec)
    tracker = open_real(spec, tmp_path / "run")
    run = tracker.start_run("r", role="job", tags={}, params={})
    run.metrics({"loss": 1.0}, 1)
    time.sleep(0.7)
    shutil.move(tmp_path / "store", tmp_path / "away")  # the disk is gone
    for step in (2, 3, 4):
        run.metrics({"loss": 1.0 / step}, step)
        time.sleep(0.3)
    run.end("FINISHED")
    (spool,) = (tmp_path / "run" / "spool").glob("*.jsonl")
    assert caplog.text.count("does not answer") == 1 and str(spool) in caplog.text

    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    shutil.move(tmp_path / "away", tmp_path / "store")
    assert tracking.deliver_spool(spec, tmp_path / "run") == 1
    (info,) = tracker.find({})
    assert info.id == run.id and info.status == "FINISHED"
    assert points(tracker, run.id, "loss") == [(1, 1.0), (2, 0.5), (3, 1.0 / 3), (4, 0.25)]


def test_a_run_returns_to_the_store_by_itself_when_it_answers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "REDELIVER_SECONDS", 0.3)
    blocker = tmp_path / "store"
    blocker.write_text("a file where the database's folder should be")
    spec = make_spec(f"sqlite:///{blocker}/mlflow.db")
    tracker = open_real(spec, tmp_path / "run")
    run = tracker.start_run("r", role="job", tags={}, params={})
    local = run.id
    run.metrics({"loss": 1.0}, 1)
    time.sleep(0.5)
    blocker.unlink()
    until = time.monotonic() + 20
    while run.id == local and time.monotonic() < until:
        time.sleep(0.1)
    run.metrics({"loss": 0.5}, 2)
    run.end("FINISHED")
    assert [info.id for info in tracker.find({})] == [run.id] != [local]
    assert points(tracker, run.id, "loss") == [(1, 1.0), (2, 0.5)]
    assert not (tmp_path / "run" / "spool").exists()


def test_finished_runs_leave_no_empty_folders(tmp_path: Path) -> None:
    """Files wait in the spool on their way to the store; the folders go when the last run of the tracker ends."""
    spec = make_spec(f"sqlite:///{tmp_path}/mlflow.db")
    tracking.prepare_store(spec)
    tracker = open_real(spec, tmp_path / "run")
    kept = tmp_path / "plot.png"
    kept.write_bytes(b"png")
    job = tracker.start_run("job", role="job", tags={}, params={})
    stage = tracker.start_run("stage", role="stage", tags={}, params={})
    for run in (stage, job):
        run.figure(kept)
        run.end("FINISHED")
    assert len(list((tmp_path / "mlruns").rglob("plot.png"))) == 2
    assert not (tmp_path / "run" / "spool").exists()


def test_a_delivery_cut_short_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "SLICE", 2)
    down = make_spec(f"http://127.0.0.1:{closed_port()}")
    run = open_real(down, tmp_path).start_run("r", role="job", tags={}, params={})
    for step in range(6):
        run.metrics({"loss": float(step)}, step)
    run.end("KILLED")
    up = make_spec(f"sqlite:///{tmp_path}/mlflow.db")
    whole, calls = store.Store.apply, []

    def breaks_at_the_third(self: store.Store, run_id: str, events: list[store.Event]) -> None:
        calls.append(events)
        if len(calls) == 3:
            raise store.StoreDown("gone again")
        whole(self, run_id, events)

    monkeypatch.setattr(store.Store, "apply", breaks_at_the_third)
    assert tracking.deliver_spool(up, tmp_path) == 0
    assert tracking.deliver_spool(up, tmp_path) == 1
    reader = open_real(up, tmp_path)
    (info,) = reader.find({})
    assert info.status == "KILLED"
    assert points(reader, info.id, "loss") == [(step, float(step)) for step in range(6)]
    sent = [event["step"] for call in calls[1:] for event in call if event["kind"] == "metrics"]
    assert sent.count(0) == 1, "what was delivered before the break is not sent again"


def test_the_spool_of_a_killed_process_is_delivered_as_failed_and_of_a_living_one_left_alone(tmp_path: Path) -> None:
    uri = f"http://127.0.0.1:{closed_port()}"
    code = (
        "import os, signal, time; from pathlib import Path\n"
        "import rlhf.tracking as t; from rlhf.config import TrackingSpec\n"
        f"s = TrackingSpec(name='mlflow', uri={uri!r}, experiment='study', flush_seconds=0.1)\n"
        f"tracker = t.open_tracker(s, Path({str(tmp_path / 'dead')!r}))\n"
        "r = tracker.start_run('dead', role='job', tags={}, params={})\n"
        "r.metrics({'loss': 2.0}, 1); time.sleep(0.8); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=120, capture_output=True)
    (spool,) = (tmp_path / "dead" / "spool").glob("*.jsonl")
    with spool.open("a") as file:
        file.write('{"kind": "metrics", "val')  # the kill hit a write
    living = open_real(make_spec(uri), tmp_path / "living").start_run("living", role="job", tags={}, params={})
    living.metrics({"loss": 1.0}, 1)
    time.sleep(0.5)

    up = make_spec(f"sqlite:///{tmp_path}/mlflow.db")
    assert tracking.deliver_spool(up, tmp_path) == 1
    (info,) = open_real(up, tmp_path).find({})
    assert (info.name, info.status, info.metrics) == ("dead", "FAILED", {"loss": 2.0})
    assert list((tmp_path / "dead").iterdir()) == [], "an empty spool does not stay"
    living.end("FINISHED")
    assert tracking.deliver_spool(up, tmp_path) == 1


def test_a_spool_without_its_first_line_is_told_and_kept_and_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_real(make_spec(f"http://127.0.0.1:{closed_port()}"), tmp_path / "b").start_run(
        "whole", role="job", tags={}, params={}
    )
    run.metrics({"loss": 1.0}, 1)
    run.end("FINISHED")
    (whole,) = (tmp_path / "b" / "spool").glob("*.jsonl")
    headless = tmp_path / "a" / "spool" / "headless.jsonl"  # is looked at before the whole one
    headless.parent.mkdir(parents=True)
    headless.write_text("".join(whole.read_text().splitlines(keepends=True)[1:]))
    up = make_spec(f"sqlite:///{tmp_path}/mlflow.db")
    assert tracking.deliver_spool(up, tmp_path) == 1
    assert f"{headless} lost its first line" in caplog.text
    assert headless.exists()
    assert [info.name for info in open_real(up, tmp_path / "c").find({})] == ["whole"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk without space")
def test_a_full_disk_on_top_of_a_dead_store_still_does_not_raise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_real(make_spec(f"http://127.0.0.1:{closed_port()}"), tmp_path).start_run(
        "r", role="job", tags={}, params={}
    )
    spool = run._channel.spool
    time.sleep(0.4)
    spool.unlink(missing_ok=True)
    os.symlink("/dev/full", spool)
    run.metrics({"loss": 1.0}, 1)
    time.sleep(0.4)
    os.unlink(spool)
    run.end("FAILED")
    assert "records are lost" in caplog.text


def test_a_spool_file_is_plain_json_lines_with_the_run_first(tmp_path: Path) -> None:
    run = open_real(make_spec(f"http://127.0.0.1:{closed_port()}"), tmp_path).start_run(
        "r", role="job", tags={"a": "b"}, params={}
    )
    run.metrics({"loss": 1.0}, 4)
    run.end("FINISHED")
    (spool,) = (tmp_path / "spool").glob("*.jsonl")
    lines = [json.loads(line) for line in spool.read_text().splitlines()]
    assert lines[0]["name"] == "r" and lines[0]["tags"]["a"] == "b"
    assert [line["values"] for line in lines if line["kind"] == "metrics"] == [{"loss": 1.0}]
    assert lines[-1]["kind"] == "end"
