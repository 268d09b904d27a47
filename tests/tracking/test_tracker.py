"""The tracker against a real MLflow SQLite store."""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

import rlhf.tracking as tracking
from rlhf.config import TrackingSpec
from rlhf.errors import UserError
from rlhf.tracking.names import cut, metric_key, resolve_uri
from rlhf.tracking.reach import LOCKED_SECONDS
from rlhf.tracking.store import LOCAL_ID

REPOSITORY = Path(__file__).parents[2]


def make_spec(folder: Path, **changes: object) -> TrackingSpec:
    values = {"name": "mlflow", "uri": f"sqlite:///{folder}/mlflow.db", "experiment": "study", "flush_seconds": 0.2}
    return TrackingSpec.model_validate(values | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def tracker(folder: Path) -> tracking.Tracker:
    spec = make_spec(folder)
    tracking.prepare_store(spec)
    opened = tracking.open_tracker(spec, folder / "run")
    assert isinstance(opened, tracking.Tracker)
    return opened


@pytest.fixture
def run(tracker: tracking.Tracker) -> Iterator[tracking.TrackedRun]:
    started = tracker.start_run("one", role="job", tags={"sweep_id": "s"}, params={})
    yield started
    started.end("FINISHED")


def stored(tracker: tracking.Tracker, run: tracking.TrackedRun) -> tracking.RunInfo:
    return next(info for info in tracker.find({}) if info.id == run.id)


def history(tracker: tracking.Tracker, run: tracking.TrackedRun, key: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in tracker.store.connect().get_metric_history(run.id, key)]


def artifact(tracker: tracking.Tracker, run: tracking.TrackedRun, name: str) -> Path:
    root = tracker.store.connect().get_run(run.id).info.artifact_uri
    return Path(unquote(root.removeprefix("file://"))) / name


def test_a_run_keeps_role_tags_params_metrics_and_status(tracker: tracking.Tracker) -> None:
    params = {"method": {"name": "dpo", "beta": 0.1, "loss_type": ["sigmoid"]}, "seed": 3, "limit": None}
    run = tracker.start_run("dpo", role="stage", tags={"built_for": "abc"}, params=params)
    run.metrics({"loss": 0.7}, step=1)
    run.metrics({"loss": 0.5}, step=2)
    run.metrics({"final/loss": 0.4}, step=None)
    run.end("FINISHED")
    info = stored(tracker, run)
    assert info.status == "FINISHED"
    assert (info.tags["role"], info.tags["built_for"]) == ("stage", "abc")
    assert info.params == {
        "method.name": "dpo", "method.beta": "0.1", "method.loss_type": '["sigmoid"]', "seed": "3", "limit": "null",
    }  # fmt: skip
    assert info.metrics == {"loss": 0.5, "final/loss": 0.4}
    assert history(tracker, run, "loss") == [(1, 0.7), (2, 0.5)]


def test_surroundings_are_tagged(tracker: tracking.Tracker, run: tracking.TrackedRun) -> None:
    run.end("FINISHED")
    tags = stored(tracker, run).tags
    assert tags["version.mlflow"].startswith("3.")
    assert {"hardware.cpu", "hardware.cores", "hardware.memory_gib", "command_line", "rlhf.pid", "rlhf.boot"} <= set(
        tags
    )
    assert tags["git.dirty"] in ("true", "false")


def test_more_points_than_one_call_takes_all_arrive(tracker: tracking.Tracker, run: tracking.TrackedRun) -> None:
    for step in range(2500):
        run.metrics({"a": step * 0.5}, step)
    run.params({f"p{i}": i for i in range(250)})
    run.end("FINISHED")
    assert history(tracker, run, "a") == [(step, step * 0.5) for step in range(2500)]
    assert len(stored(tracker, run).params) == 250


def test_nan_and_infinity_are_recorded_and_tagged(tracker: tracking.Tracker, run: tracking.TrackedRun) -> None:
    run.metrics({"loss": math.nan, "grad_norm": math.inf, "fine": 1.0}, step=7)
    run.metrics({"loss": 0.5}, step=8)
    run.end("FAILED")
    info = stored(tracker, run)
    assert info.tags["nonfinite"] == "loss=nan at step 7; grad_norm=inf at step 7"
    assert math.isnan(history(tracker, run, "loss")[0][1]) and info.metrics["loss"] == 0.5
    assert info.metrics["grad_norm"] > 1e300
    assert info.status == "FAILED"


def test_a_refused_value_does_not_take_its_neighbours_along(
    tracker: tracking.Tracker, run: tracking.TrackedRun, caplog: pytest.LogCaptureFixture
) -> None:
    run.params({"beta": 0.1})
    time.sleep(0.6)
    run.params({"beta": 0.2, "lr": 1})
    run.metrics({"reward (mean)%": 1.0}, step=0)
    run.end("FINISHED")
    info = stored(tracker, run)
    assert info.params == {"beta": "0.1", "lr": "1"}
    assert info.metrics == {"reward _mean__": 1.0}
    assert "refused params beta" in caplog.text


def test_secrets_are_masked_everywhere(tracker: tracking.Tracker, run: tracking.TrackedRun) -> None:
    secret = "hf_abcdefghijKLMNOP0123"
    run.params({"hub": {"token": secret}, "note": f"use {secret} here", "method": {"max_tokens": 64}})
    run.tags({"uri": "postgresql://user:pa55@host/db", "db_password": "hunter2"})
    run.text(
        "config.yaml", f"hub_token: {secret}\nmax_tokens: 64\npad_token: <pad>\npassword: 'a b'\nurl: http://u:p@h/x\n"
    )
    run.end("FINISHED")
    info = stored(tracker, run)
    assert info.params == {"hub.token": "***", "note": "use *** here", "method.max_tokens": "64"}
    assert (info.tags["uri"], info.tags["db_password"]) == ("postgresql://***@host/db", "***")
    written = artifact(tracker, run, "config.yaml").read_text()
    assert written == "hub_token: ***\nmax_tokens: 64\npad_token: <pad>\npassword: '***'\nurl: http://***@h/x\n"


def test_files_tables_datasets_and_references(
    tracker: tracking.Tracker, run: tracking.TrackedRun, tmp_path: Path
) -> None:
    plot = tmp_path / "curve.png"
    plot.write_bytes(b"png")
    run.figure(plot)
    plot.unlink()  # it was copied
    run.file(tmp_path / "absent.txt")  # logged, not raised
    run.table("samples", ["prompt", "score"], [["hi", 1.5], ["ho", math.nan]])
    run.dataset("support_toy", "f" * 64, {"train": 10, "test": 2})
    model = tmp_path / "model"
    (model / "sub").mkdir(parents=True)
    (model / "sub" / "weights.bin").write_bytes(b"abc")
    run.artifact_reference("policy", model)
    run.end("FINISHED")
    assert artifact(tracker, run, "figures/curve.png").read_bytes() == b"png"
    assert json.loads(artifact(tracker, run, "samples.json").read_text()) == {
        "columns": ["prompt", "score"],
        "data": [["hi", 1.5], ["ho", None]],
    }
    reference = json.loads(artifact(tracker, run, "references/policy.json").read_text())
    # sha256 of "abc" is the first example of FIPS 180-4
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert reference["files"] == [{"path": "sub/weights.bin", "bytes": 3, "sha256": abc}] and reference["bytes"] == 3
    full = tracker.store.connect().get_run(run.id)
    assert full.inputs.dataset_inputs[0].dataset.name == "support_toy"
    assert full.data.tags["dataset.support_toy"] == "f" * 64
    assert json.loads(full.data.tags["mlflow.loggedArtifacts"]) == [{"path": "samples.json", "type": "table"}]
    assert not list((tracker.folder / "spool").rglob("curve.png"))


def test_find_needs_all_tags(tracker: tracking.Tracker) -> None:
    first = tracker.start_run("a", role="job", tags={"sweep_id": "it's 1", "k": "x"}, params={})
    other = tracker.start_run("b", role="job", tags={"sweep_id": "it's 1", "k": "y"}, params={})
    first.end("FINISHED")
    other.end("KILLED")
    assert [info.id for info in tracker.find({"sweep_id": "it's 1", "k": "y"})] == [other.id]
    assert {info.status for info in tracker.find({"sweep_id": "it's 1"})} == {"FINISHED", "KILLED"}


def test_compare_url_is_what_the_ui_reads(tracker: tracking.Tracker) -> None:
    url = tracker.compare_url(["r1", "r2"])
    experiment = tracker.store.experiment_id
    assert unquote(url) == f'http://127.0.0.1:5000/#/compare-runs?runs=["r1", "r2"]&experiments=["{experiment}"]'
    assert " " not in url and '"' not in url


def test_a_run_whose_process_was_killed_is_closed_and_a_living_one_is_not(
    folder: Path, tracker: tracking.Tracker
) -> None:
    code = (
        "import os, signal; from pathlib import Path\n"
        "import rlhf.tracking as t; from rlhf.config import TrackingSpec\n"
        f"s = TrackingSpec(name='mlflow', uri='sqlite:///{folder}/mlflow.db', experiment='study', flush_seconds=0.1)\n"
        f"r = t.open_tracker(s, Path({str(folder)!r})).start_run('killed', role='job', tags={{}}, params={{}})\n"
        "import time; time.sleep(1); print(r.id, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, timeout=120)
    killed = done.stdout.strip()
    alive = tracker.start_run("alive", role="job", tags={}, params={})
    time.sleep(0.6)
    assert tracker.close_zombies() == [killed], done.stderr
    status = {info.id: info.status for info in tracker.find({})}
    assert (status[killed], status[alive.id]) == ("FAILED", "RUNNING")
    alive.end("FINISHED")


def test_a_run_that_nobody_ended_is_failed_at_exit(folder: Path, tracker: tracking.Tracker) -> None:
    code = (
        "from pathlib import Path; import rlhf.tracking as t; from rlhf.config import TrackingSpec\n"
        f"s = TrackingSpec(name='mlflow', uri='sqlite:///{folder}/mlflow.db', experiment='study', flush_seconds=60)\n"
        f"tracker = t.open_tracker(s, Path({str(folder)!r}))\n"
        "r = tracker.start_run('left', role='job', tags={'k': 'left'}, params={})\n"
        "r.metrics({'loss': 0.25}, 1); raise SystemExit(3)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=120)
    info = tracker.find({"k": "left"})[0]
    assert info.status == "FAILED" and info.metrics == {"loss": 0.25}


def test_the_null_twin_has_the_same_methods() -> None:
    for real, null in ((tracking.Tracker, tracking.NullTracker), (tracking.TrackedRun, tracking.NullRun)):
        names = {name for name in vars(real) if not name.startswith("_")}
        assert names == {name for name in vars(null) if not name.startswith("_")}
        for name in names:
            ours, twin = inspect.getattr_static(real, name), inspect.getattr_static(null, name)
            assert isinstance(ours, property) == isinstance(twin, property)
            if not isinstance(ours, property):
                assert list(inspect.signature(ours).parameters.values()) == list(
                    inspect.signature(twin).parameters.values()
                )


def test_tracking_none_writes_nothing(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, name="none")
    tracking.prepare_store(spec)
    run = tracking.open_tracker(spec, tmp_path).start_run("x", role="job", tags={}, params={})
    run.metrics({"a": 1.0}, 1)
    run.end("FINISHED")
    assert list(tmp_path.iterdir()) == [] and tracking.deliver_spool(spec, tmp_path) == 0


def test_the_uri_comes_from_the_spec_then_the_environment_then_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resolve_uri(make_spec(tmp_path, uri=None)) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5001")
    assert resolve_uri(make_spec(tmp_path, uri=None)) == "http://127.0.0.1:5001"
    assert resolve_uri(make_spec(tmp_path, uri="sqlite:///a.db")) == f"sqlite:///{tmp_path}/a.db"
    with pytest.raises(UserError, match="sqlite:///mlflow.db"):
        resolve_uri(make_spec(tmp_path, uri="file:./mlruns"))


def test_long_values_are_cut_with_a_note_and_names_made_legal() -> None:
    assert cut("x" * 6000, 6000) == "x" * 6000
    assert len(cut("x" * 6001, 6000)) == 6000 and cut("x" * 6001, 6000).endswith("[cut, 6001 characters]")
    assert metric_key("reward@5/mean#1") == "reward_5/mean_1"


def test_calls_return_while_the_store_can_not_be_written(folder: Path, run: tracking.TrackedRun) -> None:
    """A writer that held the training thread would wait here for its own test, until SQLite gave up."""
    begun = time.monotonic()
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        for step in range(200):
            run.metrics({"loss": 0.5, "reward": 1.0, "kl": 0.1, "lr": 1e-5}, step)
        assert time.monotonic() - begun < LOCKED_SECONDS / 2
        other.execute("rollback")


def test_importing_the_package_imports_no_mlflow() -> None:
    code = "import sys, rlhf.tracking; print(sorted({'mlflow', 'torch', 'psutil', 'sqlalchemy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, timeout=60)
    assert done.stdout.strip() == "[]"


def test_only_one_file_imports_mlflow() -> None:
    files = [
        file
        for file in (REPOSITORY / "rlhf").rglob("*.py")
        if "import mlflow" in file.read_text() or "from mlflow" in file.read_text()
    ]
    assert files == [REPOSITORY / "rlhf" / "tracking" / "store.py"]


def test_a_run_from_before_a_reboot_is_closed(tracker: tracking.Tracker) -> None:
    """Whatever process has its number now."""
    left = tracker.start_run("left", role="job", tags={"rlhf.boot": "another boot"}, params={})
    assert tracker.close_zombies() == [left.id]
    assert stored(tracker, left).status == "FAILED"


def test_a_run_of_another_process_keeps_what_is_known_of_its_machine(tracker: tracking.Tracker) -> None:
    theirs = {LOCAL_ID: "killed-elsewhere", "hardware.cpu": "the node's", "sweep_id": "s"}
    tracker.start_run("job", role="job", tags=theirs, params={})
    own = {LOCAL_ID: "killed-elsewhere", "error": "killed"}
    closed = tracker.start_run("job", role="job", tags=own, params={}, of_another=True)
    closed.end("FAILED")
    [found] = tracker.find({LOCAL_ID: "killed-elsewhere"})
    assert (found.id, found.tags["hardware.cpu"], found.tags["error"]) == (closed.id, "the node's", "killed")
