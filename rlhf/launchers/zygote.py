"""The warm parent of jobs: imports what they need once, then forks one process per job. `python -m` runs it.

It has one thread and computes nothing, so that a fork is a clean copy: no pool of threads, no GPU, no connection. Its
only tie is a socket to the launcher, on which requests come in and the beginnings and endings of jobs go out. When the
launcher is gone, so are the zygote and all of its jobs.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rlhf.launchers.endings import die_with_parent, status_code
from rlhf.loading import loading

PRELOADED = (
    "rlhf.job",
    "rlhf.launchers.forked",
    "rlhf.launchers.task",
    "trl.trainer.sft_trainer",
    "trl.trainer.dpo_trainer",
    "trl.trainer.reward_trainer",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tracking.client",
    "mlflow.utils.rest_utils",
    "sqlalchemy.dialects.sqlite",
    "alembic.command",
    "sklearn.linear_model",
    "sklearn.feature_extraction.text",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "transformers.models.auto.modeling_auto",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
    "transformers.models.mt5.modeling_mt5",
    "transformers.generation.utils",
    "hydra.core.utils",
)  # what is only imported inside of functions, so that a command line answers at once, is named here
FORKABLE = ("jemalloc_bg_thd",)  # threads that stop before a fork and start again after it: pyarrow's allocator


@dataclass(frozen=True)
class Request:
    """A job to start: where it runs, with what environment, and what it does (pickled, read in its own process)."""

    number: int
    cores: tuple[int, ...]
    environment: dict[str, str]
    log: str
    payload: bytes
    asked: float  # time.time() of the request


@dataclass(frozen=True)
class Ready:
    """The zygote has loaded everything, in so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Started:
    """A job has its process."""

    number: int
    pid: int


@dataclass(frozen=True)
class Ended:
    """A job's process has ended: its exit code (minus a signal's number) and the most memory that it held, in bytes."""

    number: int
    code: int
    peak_bytes: int


def main() -> None:
    """Load, say so, fork a process per request until the launcher closes its end."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher decides what Ctrl-C means
    connection = Connection(int(sys.argv[1]))
    begun = time.monotonic()
    with loading():  # after which a collection in a job leaves the shared pages alone
        for name in PRELOADED:
            importlib.import_module(name)
    _check_clean()
    connection.send(Ready(time.monotonic() - begun))
    request = serve(connection)
    if request is not None:
        from rlhf.launchers.forked import work

        sys.exit(work(request))


def _check_clean() -> None:
    """Nothing may be loaded that a fork would break: threads, or a GPU's context."""
    import torch

    threads = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    assert threading.active_count() == 1, f"threads: {threading.enumerate()}"
    assert len([name for name in threads if name not in FORKABLE]) <= 1, f"threads: {threads}"
    assert not torch.cuda.is_initialized(), "a forked process cannot use a GPU that its parent has touched"


def serve(connection: Connection) -> Request | None:
    """Fork for each request; returns that request in the job's process, and None in the zygote at the end of all."""
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    own = os.getpid()
    jobs: dict[int, int] = {}  # process -> number
    try:
        while True:
            watched: list[Any] = [connection, reader]
            ready = select.select(watched, [], [])[0]
            if reader in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(reader, 4096)
                _tell_endings(connection, jobs)
            if connection not in ready:
                continue
            message = connection.recv()
            if isinstance(message, Request):
                pid = os.fork()
                if pid == 0:
                    jobs.clear()
                    _leave_zygote(own)
                    connection.close()
                    os.close(reader)
                    os.close(writer)
                    return message
                jobs[pid] = message.number
                connection.send(Started(message.number, pid))
            else:  # the number of a signal, for every job that runs
                for pid in jobs:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(pid, message)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        for pid in jobs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        return None


def _leave_zygote(zygote: int) -> None:
    """Become a process of its own, that ends with the zygote but is signalled by itself."""
    os.setsid()
    die_with_parent()
    if os.getppid() != zygote:  # it was killed before the kernel knew
        os._exit(1)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _tell_endings(connection: Connection, jobs: dict[int, int]) -> None:
    """Collect every job that has ended and say how; whatever it left running in its group ends with it."""
    for pid in list(jobs):
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            connection.send(Ended(jobs.pop(pid), status_code(status), usage.ru_maxrss * 1024))


if __name__ == "__main__":
    from rlhf.launchers import zygote  # under its own name, so that what it sends is known to the launcher

    zygote.main()
