"""A real `scripts/mlflow_server.sh` on a private PostgreSQL, to be stopped and started at will; shared by tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / "scripts" / "mlflow_server.sh")


def until(true: Callable[[], Any], what: str, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.1)


def environment() -> dict[str, str]:
    """This process's own, in which the script finds the Python of the tests."""
    values = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "RLHF_"))}
    return values | {"PATH": f"{Path(sys.executable).parent}:{values['PATH']}", "RLHF_VENV": "/nowhere"}


class Server:
    """One folder and one port."""

    def __init__(self, folder: Path, port: int, *words: str, **variables: str) -> None:
        self.folder, self.port = folder, port
        self.command = ["bash", SCRIPT, "--local-postgres", str(folder), "--port", str(port), *words]
        self.environment = environment() | variables
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> str:
        """Start and wait until it says that it answers; what it printed."""
        out = self.folder / "out"
        with out.open("wb") as stream:
            process = subprocess.Popen(self.command, env=self.environment, stdout=stream, stderr=subprocess.STDOUT)
        self.process = process
        until(lambda: "Ctrl-C stops it" in out.read_text() or process.poll() is not None, "the start of the server")
        assert process.poll() is None, out.read_text()
        return out.read_text()

    def stop(self, by: int = signal.SIGTERM) -> int:
        """Stop server and cluster; the script's exit code."""
        assert self.process is not None
        self.process.send_signal(by)
        return self.process.wait(timeout=60)

    def cluster_processes(self) -> list[int]:
        """Process ids of this folder's PostgreSQL."""
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in pids if f"{self.folder}/postgres" in command_line(pid)]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@contextmanager
def new_server(*words: str, **variables: str) -> Iterator[Server]:
    """A server that is not started yet, in a folder that PostgreSQL's user may enter; all is removed in the end."""
    if not importlib.util.find_spec("psycopg"):
        pytest.skip("psycopg is not installed (pip install 'rlhf[server]')")
    if not (shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))):
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="rlhf-load-", dir="/var/tmp"))
    folder.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = Server(folder, port, *words, **variables)
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()
        shutil.rmtree(folder)
