"""scripts/ui.sh, really started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from rlhf.tracking.names import ui_command
from tests.tracking.real import database, make_spec, open_real
from tests.ui_server import SCRIPT, environment, serving


def test_the_ui_shows_the_runs_of_the_database_beside_it(tmp_path: Path) -> None:
    tracker = open_real(make_spec(database(tmp_path)), tmp_path)
    for name in ("first", "second"):
        tracker.start_run(name, role="job", tags={}, params={}).end("FINISHED")
    body = json.dumps({"experiment_ids": [tracker.store.experiment_id]}).encode()
    with serving(tmp_path) as page:
        request = urllib.request.Request(
            f"{page}/api/2.0/mlflow/runs/search", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = {run["info"]["run_name"] for run in json.load(answer)["runs"]}
    assert found == {"first", "second"}


def test_the_printed_command_names_the_script_from_wherever_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, uri = SCRIPT.parents[1], "sqlite:////a b/mlflow.db"
    monkeypatch.chdir(home)
    assert ui_command(uri) == "MLFLOW_TRACKING_URI='sqlite:////a b/mlflow.db' bash scripts/ui.sh"
    monkeypatch.chdir(tmp_path)
    assert ui_command(uri) == f"MLFLOW_TRACKING_URI='sqlite:////a b/mlflow.db' bash {SCRIPT}"
    assert ui_command(None) == f"bash {SCRIPT}  # with MLFLOW_TRACKING_URI as it is set now"
    installed = ui_command(uri, home=tmp_path)  # a wheel brings no scripts
    assert installed == "mlflow server --host 127.0.0.1 --backend-store-uri 'sqlite:////a b/mlflow.db'"


def test_without_a_database_the_script_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(SCRIPT)], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and "there is no database mlflow.db" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_refused_with_a_free_one(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ["bash", str(SCRIPT), str(port)]
        done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and f"port {port} is taken. Write another: bash scripts/ui.sh " in done.stderr
    assert int(done.stderr.split()[-1]) > port


def test_a_port_with_a_zero_in_front_is_read_as_a_decimal(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    try:
        taken = socket.create_server(("127.0.0.1", 8989))
    except OSError:
        taken = None  # by another
    words = ["bash", str(SCRIPT), "08989"]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60)
    if taken is not None:
        taken.close()
    assert done.returncode == 2 and "port 8989 is taken. Write another: bash scripts/ui.sh " in done.stderr
    assert 8989 < int(done.stderr.split()[-1]) < 9090


def test_where_no_port_is_named_the_next_free_one_is_used(tmp_path: Path) -> None:
    """Port 5000 is taken by this test, or was already."""
    (tmp_path / "mlflow.db").touch()
    try:
        taken = socket.create_server(("127.0.0.1", 5000))
    except OSError:
        taken = None
    server = subprocess.Popen(
        ["bash", str(SCRIPT)], cwd=tmp_path, env=environment(), start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        told, address = server.stdout.readline(), server.stdout.readline()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)
        if taken is not None:
            taken.close()
    port = int(told.split()[-1])
    assert port > 5000 and told.startswith("port 5000 is taken: in the addresses that rlhf printed, write ")
    assert address.startswith(f"MLflow UI: http://127.0.0.1:{port} ")


@pytest.mark.parametrize("port", ["0", "65536", "99999999999999999999"])
def test_a_port_that_there_cannot_be_is_refused_at_once(port: str, tmp_path: Path) -> None:
    done = subprocess.run(["bash", str(SCRIPT), port], cwd=tmp_path, capture_output=True, text=True, timeout=5)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith(f"ui.sh: there is no port {port}, they are 1 to 65535. Write one")


def test_after_the_last_port_others_are_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    try:
        last = socket.create_server(("127.0.0.1", 65535))
    except OSError:
        last = None  # taken by another
    words = ["bash", str(SCRIPT), "65535"]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60)
    if last is not None:
        last.close()
    assert done.returncode == 2 and "port 65535 is taken. Write another: bash scripts/ui.sh " in done.stderr
    assert 5000 <= int(done.stderr.split()[-1]) < 5100


def test_a_port_that_is_no_number_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(SCRIPT), "http"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and "is not a port" in done.stderr
