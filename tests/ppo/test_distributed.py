"""Two processes under `accelerate launch` (gloo) learn what one process learns from the same prompts.

accelerate 1.15 starts a single process for `--cpu --num_processes 2` unless MPI is there, and says nothing; its other
launcher (`--multi_gpu`, which is torchrun) starts two, and they use gloo where ACCELERATE_USE_CPU says so.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = "tests/ppo/two_processes.py"
ROOT = Path(__file__).parents[2]
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]


def run(folder: Path, launcher: list[str], model: str, adapter: str) -> list[dict[str, Any]]:
    """What each process wrote, by rank."""
    folder.mkdir()
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "ACCELERATE_USE_CPU": "true",
    }
    words = [sys.executable, *launcher, SCRIPT, model, adapter, str(folder / "found.json")]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(file.read_text()) for file in sorted(folder.glob("found.json.*"))]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("model, adapter", [("tiny_gpt2", "full"), ("tiny_mt5", "lora")])
def test_two_processes_do_what_one_does(model: str, adapter: str, tmp_path: Path) -> None:
    """Six prompts a step in one process or three in each of two: the same samples, losses and weights."""
    [alone] = run(tmp_path / "one", [], model, adapter)
    both = run(tmp_path / "two", [*LAUNCH, "--main_process_port", str(free_port())], model, adapter)
    assert [found["processes"] for found in both] == [2, 2]
    for found in both:
        assert len(found["steps"]) == len(alone["steps"]) == 2
        for ours, theirs in zip(alone["steps"], found["steps"], strict=True):
            timeless = {name: value for name, value in ours.items() if not name.startswith(("seconds/", "speed/"))}
            assert {name: theirs[name] for name in timeless} == pytest.approx(timeless, abs=1e-4)
            assert {"loss", "policy/loss", "value/loss", "kl/k1_policy_to_reference", "grad_norm"} <= timeless.keys()
        assert found["weights"].keys() == alone["weights"].keys()
        for name, values in alone["weights"].items():
            assert found["weights"][name] == pytest.approx(values, abs=1e-4), name
