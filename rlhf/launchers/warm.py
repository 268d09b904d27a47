"""The launcher's end of the zygote: start it, ask for jobs, hear how they end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from multiprocessing.connection import Connection

from rlhf.errors import RunFailure
from rlhf.launchers.zygote import Ended, Ready, Request, Started

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}  # it opens its threads when it is loaded, all others when they compute
NO_CONTEXT = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}  # ask the driver's books whether there is a GPU, not the GPU
LONGEST_END = 5.0  # seconds that a zygote is given to end


class Zygote:
    """A warm process beside this one, that forks jobs. It ends with this object, and with this process."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Start it with these variables on top of ours; it loads while we go on."""
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rlhf.launchers.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment | ONE_THREAD | NO_CONTEXT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.connection = Connection(ours.detach())
        self.alive = True

    def ask(self, request: Request) -> None:
        """Have a job started; a zygote that has ended says so in `events`."""
        try:
            self.connection.send(request)
        except OSError:
            self.alive = False

    def signal(self, number: int) -> None:
        """Send a signal to every job that runs."""
        try:
            self.connection.send(number)
        except OSError:
            self.alive = False

    def events(self, seconds: float) -> list[Ready | Started | Ended]:
        """What happened, after waiting for it at most so long; sets `alive` to False where the zygote has ended."""
        found: list[Ready | Started | Ended] = []
        try:
            while self.connection.poll(0 if found else seconds):
                found.append(self.connection.recv())
        except (EOFError, OSError):
            self.alive = False
        return found

    def wait_until_ready(self) -> float:
        """Wait until everything is loaded; returns the seconds that it took."""
        begun = time.monotonic()
        while self.alive:
            if any(isinstance(event, Ready) for event in self.events(1.0)):
                return time.monotonic() - begun
        raise RunFailure("hydra/launcher=local", "its warm process ended while loading", "Its own words stand above")

    def close(self) -> None:
        """End it, and every job that still runs."""
        self.connection.close()
        try:
            self.process.wait(LONGEST_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
