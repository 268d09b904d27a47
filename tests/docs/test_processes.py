"""`accelerate launch --num_processes 2 -m rlhf method=ppo`, for real: two processes on the CPU make one job."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_documented_commands import PPO, ROOT

# accelerate's own `--cpu` starts one process whatever it is told; torchrun behind --multi_gpu starts two
LAUNCH = "-m accelerate.commands.launch --multi_gpu --num_machines 1 --num_processes 2"


@pytest.mark.slow
def test_two_processes_train_every_stage_and_leave_one_result(tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    words = [*LAUNCH.split(), "--main_process_port", str(port), "-m", "rlhf", "method=ppo", *shlex.split(PPO)]
    more = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=os.environ | more, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.count("ppo on tiny_gpt2") == 1  # the other process is silent
    assert len(list(tmp_path.glob("outputs/runs/*/*/result.json"))) == 1
    stages = [folder.name.partition("-")[0] for folder in (tmp_path / "outputs" / "stages").glob("*-tiny_gpt2-*[!k]")]
    assert sorted(stages) == ["ppo", "reward", "sft"]
