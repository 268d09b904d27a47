"""What fails in one of two processes ends both, and each knows where it happened."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import os, traceback
from accelerate import PartialState
from rlhf.errors import RunFailure
from rlhf.ppo.rewards import Combined
from tests.ppo.sources import ANSWERS, ROWS

class Foreign(RuntimeError):
    def __reduce__(self):
        raise TypeError("it cannot travel")

def judge(rows, answers):
    if os.environ["RANK"] == "1":
        raise Foreign("the kernel died")
    return [0.0] * len(answers)

PartialState(cpu=True)  # as the trainers do
try:
    Combined({"own": (1.0, judge)})(ROWS, ANSWERS)
except RunFailure as error:
    assert error.shared and error.resumable
    print(error)
    traceback.print_exc()
"""


@pytest.mark.slow
def test_whatever_a_judge_raises_in_one_process_ends_both() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    shared = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "WORLD_SIZE": "2"}
    shared |= {"CUDA_VISIBLE_DEVICES": "", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    ended = [process.communicate(timeout=200) for process in processes]
    for out, trace in ended:
        assert out.startswith("method.rewards.own: Foreign: the kernel died. Run the same command again"), trace
        assert 'raise Foreign("the kernel died")' in trace or ", in judge" in trace
    assert "In process 1:" in ended[0][1] and "In process 1:" not in ended[1][1]
