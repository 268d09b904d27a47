"""scripts/mlflow_server.sh itself: what it refuses, who may come in, what it leaves behind."""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path

import pytest
from served import SCRIPT, Server, command_line, environment, new_server, until

import rlhf.tracking as tracking
from rlhf.config import TrackingSpec

PASSWORD = "a password of tests"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name a database: --local-postgres FOLDER"),
        (["--frobnicate"], "unknown option '--frobnicate'"),
        (["--local-postgres"], "--local-postgres needs a value"),
        (["--local-postgres", "a", "--port", "http"], "'http' is not a port"),
        (["--local-postgres", "a", "--database", "postgresql:///b"], "exclude each other"),
        (["--database", "sqlite:///mlflow.db"], "the database must be PostgreSQL"),
        (["--local-postgres", "a", "--host", "0.0.0.0"], "on 0.0.0.0 anybody could read and write"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(words: list[str], told: str, tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is asked for first")
    done = subprocess.run(
        ["bash", SCRIPT, *words], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    done = subprocess.run(
        ["bash", SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=environment() | {"RLHF_DATABASE": f"postgresql://me:hunter22@127.0.0.1:{port}/mlflow"},
    )  # fmt: skip
    assert done.returncode == 2 and "the database does not answer" in done.stderr
    assert "hunter22" not in done.stderr + done.stdout and done.stderr.count("\n") == 1


def test_help_shows_examples() -> None:
    done = subprocess.run(["bash", SCRIPT, "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert "bash scripts/mlflow_server.sh --local-postgres outputs/mlflow" in done.stdout


@pytest.mark.slow
def test_other_machines_need_a_password_and_the_next_start_clears_up_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not importlib.util.find_spec("flask_wtf"):
        pytest.skip("Flask-WTF is not installed (pip install 'rlhf[server]')")
    with new_server("--host", "0.0.0.0", MLFLOW_AUTH_ADMIN_PASSWORD=PASSWORD) as server:
        told = server.start()
        assert "export MLFLOW_TRACKING_USERNAME=admin" in told and PASSWORD not in told
        assert not [pid for pid in server.cluster_processes() if PASSWORD in command_line(pid)]
        check_taken(server)
        check_a_database_of_ones_own(server, tmp_path)
        search = f"{server.uri}/api/2.0/mlflow/experiments/search?max_results=1"
        assert status(search, None) == 401
        assert status(search, f"admin:{PASSWORD}x") == 401
        assert status(search, f"admin:{PASSWORD}") == 200
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        spec = TrackingSpec(name="mlflow", uri=server.uri, experiment="guarded", flush_seconds=0.1)
        tracker = tracking.open_tracker(spec, tmp_path)
        assert isinstance(tracker, tracking.Tracker)
        run = tracker.start_run("r", role="job", tags={}, params={})
        run.metrics({"loss": 1.0}, 1)
        run.end("FINISHED")

        left = Path((server.folder / "socket").read_text().strip())
        server.stop(signal.SIGKILL)  # which no script can answer
        until(lambda: status(search, None) == 0, "the server's end with its script")
        assert server.cluster_processes() and left.exists()
        server.start()
        assert not left.exists()
        assert [(info.status, info.metrics) for info in tracker.find({})] == [("FINISHED", {"loss": 1.0})]
        assert server.stop() == 0
        assert server.cluster_processes() == []
        assert status(search, None) == 0


def check_taken(server: Server) -> None:
    """A second server on the same folder, or on a taken port, is refused."""
    for words, told in (
        (["--local-postgres", str(server.folder)], f"another mlflow_server.sh uses {server.folder}"),
        (["--local-postgres", "x", "--port", str(server.port)], f"port {server.port} is taken"),
    ):
        done = subprocess.run(["bash", SCRIPT, *words], env=environment(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and told in done.stderr


def check_a_database_of_ones_own(server: Server, folder: Path) -> None:
    """A second server on the first one's database, which it leaves alone when it stops."""
    (socket_folder,) = {
        word for pid in server.cluster_processes() for word in command_line(pid).split() if "rlhf-postgres-" in word
    }
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    second = Server(folder, port, RLHF_DATABASE=f"postgresql://mlflow@/mlflow?host={socket_folder}")
    second.command = ["bash", SCRIPT, "--artifacts", str(folder / "files"), "--port", str(port)]
    assert f"(your PostgreSQL; artifacts in {folder}/files)" in second.start()
    assert status(f"{second.uri}/health", None) == 200
    assert second.stop() == 0
    assert server.cluster_processes()


def status(address: str, user: str | None) -> int:
    """The HTTP status, 0 where nobody answers."""
    request = urllib.request.Request(address)
    if user:
        request.add_header("Authorization", f"Basic {b64encode(user.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
