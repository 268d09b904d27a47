"""Real trackers for tests, and an address where no server listens."""

from __future__ import annotations

import socket
from pathlib import Path

import rlhf.tracking as tracking
from rlhf.config import TrackingSpec


def make_spec(uri: str) -> TrackingSpec:
    return TrackingSpec(name="mlflow", uri=uri, experiment="study", flush_seconds=0.1)


def database(folder: Path) -> str:
    return f"sqlite:///{folder}/mlflow.db"


def open_real(spec: TrackingSpec, folder: Path) -> tracking.Tracker:
    opened = tracking.open_tracker(spec, folder)
    assert isinstance(opened, tracking.Tracker)
    return opened


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
