"""scripts/ui.sh, really started on a free port, for the tests that look at MLflow's UI."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "ui.sh"


def environment() -> dict[str, str]:
    values = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    return values | {"PATH": f"{Path(sys.executable).parent}:{values['PATH']}"}


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of the script's UI of the database in `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        ["bash", str(SCRIPT), str(port)], cwd=folder, env=environment(), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        page = f"http://127.0.0.1:{port}"
        assert wait_for(page, 90) == 200
        yield page
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def wait_for(page: str, seconds: float) -> int:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(page, timeout=10) as answer:
                return int(answer.status)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    return 0
