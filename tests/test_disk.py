"""Locks whose files go when they are let go, asked for by several processes at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rlhf.disk import locked

WORKER = """
import sys, time
from pathlib import Path
from rlhf.disk import locked
count = Path(sys.argv[1])
for _ in range(20):
    with locked(count.with_suffix(".lock")):
        number = int(count.read_text())
        time.sleep(0.002)  # time for another one to read the same number
        count.write_text(str(number + 1))
"""


def test_one_process_at_a_time_holds_a_lock_though_its_file_is_removed_each_time(tmp_path: Path) -> None:
    count = tmp_path / "count.txt"
    count.write_text("0")
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, str(count)]) for _ in range(4)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0, 0, 0]
    assert count.read_text() == "80"
    assert [file.name for file in tmp_path.iterdir()] == ["count.txt"]


def test_the_file_goes_where_the_work_under_the_lock_fails(tmp_path: Path) -> None:
    file = tmp_path / "stage.lock"
    with pytest.raises(KeyboardInterrupt), locked(file):
        assert file.exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
