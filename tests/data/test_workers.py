"""Worker processes: results in order whatever each takes, failures where they belong, and little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf.data.workers import WINDOW, ordered
from rlhf.errors import RunFailure, UserError


def slowest_first(setup: int, task: int) -> int:
    if task == 0:
        time.sleep(0.3)
    print("said in a worker")  # is no part of the answers
    return setup * task


def fails(setup: Any, task: int) -> int:
    if task == 3:
        raise UserError(f"task {task}", "is three", "Take another")
    return task


def dies(setup: Any, task: int) -> int:
    os._exit(9)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_tasks(workers: int) -> None:
    assert list(ordered("test_workers:slowest_first", 10, range(8), workers)) == [10 * task for task in range(8)]


def test_no_more_tasks_are_read_than_are_in_hand() -> None:
    read: list[int] = []

    def tasks() -> Iterator[int]:
        for task in range(100):
            read.append(task)
            yield task

    results = ordered("test_workers:slowest_first", 1, tasks(), 2)
    assert next(results) == 0
    assert len(read) == 2 * WINDOW
    results.close()


def test_what_a_worker_raises_is_raised_in_its_turn() -> None:
    results = ordered("test_workers:fails", None, range(9), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(UserError, match="task 3: is three. Take another"):
        next(results)


def test_what_the_tasks_raise_comes_after_the_results_before_it() -> None:
    def tasks() -> Iterator[int]:
        yield from (0, 1)
        raise OSError("gone")

    results = ordered("test_workers:fails", None, tasks(), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(results)


def test_a_worker_that_dies_is_a_failure_with_a_remedy() -> None:
    with pytest.raises(RunFailure, match=r"ended by itself \(exit code 9\).*lower dataset.reading.workers"):
        list(ordered("test_workers:dies", None, range(3), 2))


MEASURE = """
import json, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from conftest import composed
from pydantic import TypeAdapter
from rlhf.config import DatasetSpec
from rlhf.data import load_corpus
import numpy, pyarrow  # what every reading loads
values = composed("ultrafeedback_binarized") | {{"path": {path!r}}}
values["reading"] = values["reading"] | {{"stream_over_mb": {limit}, "workers": 2}}
def peak():  # of this program alone: getrusage also knows the peak of the process that started it
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
before = peak()
corpus = load_corpus(TypeAdapter(DatasetSpec).validate_python(values), "preference")
count = sum(len(row.chosen) > 0 for row in corpus.train)
print(json.dumps([count, peak() - before]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_stays_far_below_the_size_of_the_data(tmp_path: Path) -> None:
    file = tmp_path / "big.jsonl"
    said = "Please look after it and tell me when it is done. " * 20
    with file.open("w", encoding="utf-8") as stream:
        for number in range(60_000):
            pair = {"prompt": f"{number}? {said}", "chosen": f"Yes {number}. {said[:500]}", "rejected": "No."}
            stream.write(json.dumps(pair) + "\n")
    size = file.stat().st_size
    assert size > 90e6

    def grown(limit: float) -> tuple[int, int]:
        names = {"tests": str(Path(__file__).parent), "path": str(file)}
        code = MEASURE.format(**names, limit=limit)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
        assert done.returncode == 0, done.stderr
        count, memory = json.loads(done.stdout.splitlines()[-1])
        return count, memory

    streamed, held = grown(0), grown(1000)
    assert streamed[0] == held[0] > 50_000
    assert held[1] > 3 * size  # what is avoided
    assert streamed[1] < min(0.9 * size, held[1] / 4)  # keys of some 130 bytes a row, and what is in hand at a time


def test_workers_end_where_a_later_one_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def third_fails(*args: Any, **kwargs: Any) -> Any:
        if len(started) == 2:
            raise BlockingIOError("Resource temporarily unavailable")
        started.append(popen(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", third_fails)
    with pytest.raises(BlockingIOError):
        next(ordered("test_workers:fails", None, range(3), 3))
    assert len(started) == 2 and all(worker.poll() is not None for worker in started)
