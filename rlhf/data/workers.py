"""A pool of fresh Python processes that work through a stream of tasks, results in the order of the tasks.

The workers are started by command, not forked: this process may hold threads, a GPU and gigabytes that no worker needs.
They end when this process does, however it ends.
"""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from queue import SimpleQueue
from typing import IO, Any

from rlhf.errors import RunFailure

WINDOW = 2  # tasks in hand for each worker: one that is worked on, one that waits
SIZE = struct.Struct("<Q")


def cores() -> int:
    """Return the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered(function: str, setup: Any, tasks: Iterable[Any], workers: int) -> Generator[Any, None, None]:
    """Yield `module:name` of (setup, task) for each task, in order; no more tasks are read ahead than are in hand.

    What `tasks` raises comes after the results of all tasks before it, as it would without workers.
    """
    pool: list[Worker] = []
    idle: SimpleQueue[Worker] = SimpleQueue()

    def call(task: Any) -> Any:
        worker = idle.get()
        try:
            return worker.ask(task)
        finally:
            idle.put(worker)

    source: Iterator[Any] | None = iter(tasks)
    failure: Exception | None = None
    waiting: deque[Future[Any]] = deque()
    threads = ThreadPoolExecutor(workers)
    try:
        for _ in range(workers):
            pool.append(Worker(function, setup))
            idle.put(pool[-1])
        while True:
            while source is not None and len(waiting) < WINDOW * workers:
                try:
                    waiting.append(threads.submit(call, next(source)))
                except StopIteration:
                    source = None
                except Exception as error:
                    source, failure = None, error
            if not waiting:
                break
            yield waiting.popleft().result()
        if failure is not None:
            raise failure
    finally:
        for worker in pool:
            worker.kill()
        threads.shutdown(cancel_futures=True)  # those that wait for a killed one are told so
        for worker in pool:
            worker.close()


class Worker:
    """One process, asked one task at a time."""

    def __init__(self, function: str, setup: Any) -> None:
        paths = [path for path in sys.path if path]
        quiet = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        command = [sys.executable, "-P", "-c", "from rlhf.data.workers import serve; serve()"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | quiet)
        self._first: tuple[str, Any] | None = (function, setup)

    def ask(self, task: Any) -> Any:
        """Return the function's result for a task; what it raises is raised here."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            if self._first is not None:
                _send(self._process.stdin, self._first)
                self._first = None
            _send(self._process.stdin, task)
            done, result = _receive(self._process.stdout)
        except (EOFError, OSError):
            code = self._process.wait()
            problem = f"a process that read the data ended by itself (exit code {code})"
            remedy = "If memory was short, lower dataset.reading.workers"
            raise RunFailure("dataset", problem, remedy) from None
        if not done:
            raise result
        return result

    def kill(self) -> None:
        """Stop the process, whatever it does."""
        self._process.kill()

    def close(self) -> None:
        """Clear away what a killed process leaves, once nobody asks it any more."""
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # a task that it never took
                pipe.close()


def _send(pipe: IO[bytes], value: Any) -> None:
    content = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(SIZE.pack(len(content)))
    pipe.write(content)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    head = pipe.read(SIZE.size)
    if len(head) < SIZE.size:
        raise EOFError
    (size,) = SIZE.unpack(head)
    content = pipe.read(size)
    if len(content) < size:
        raise EOFError
    return pickle.loads(content)


def serve() -> None:
    """Answer tasks until the asking process is gone; what is printed meanwhile goes to the standard error."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the asking process ends us
    answers, tasks = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    try:
        name, setup = _receive(tasks)
        module, _, function = name.partition(":")
        work = getattr(import_module(module), function)
        while True:
            task = _receive(tasks)
            try:
                answer = (True, work(setup, task))
            except Exception as error:
                answer = (False, error)
            _send(answers, answer)
    except (EOFError, BrokenPipeError):
        return
