"""`accelerate launch --multi_gpu --num_processes 2 -m rlhf method=ppo`: two processes on the CPU make one job."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_documented_commands import PPO, ROOT

# accelerate's own `--cpu` starts one process whatever it is told; torchrun behind --multi_gpu starts two
LAUNCH = "-m accelerate.commands.launch --multi_gpu --num_machines 1 --num_processes 2"


def launched(folder: Path, *more_words: str) -> subprocess.CompletedProcess[str]:
    """Run the documented command in `folder`, small, with two processes."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    words = [*LAUNCH.split(), "--main_process_port", str(port), "-m", "rlhf", "method=ppo", *shlex.split(PPO)]
    more = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, *words, *more_words],
        cwd=folder,
        env=os.environ | more,
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.slow
def test_two_processes_train_every_stage_and_leave_one_result_and_reuse_them(tmp_path: Path) -> None:
    """The second time, no trainer connects the processes, and the second one's own look would not find the stages."""
    done = launched(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.count("ppo on tiny_gpt2") == 1  # the other process is silent
    assert len(list(tmp_path.glob("outputs/runs/*/*/result.json"))) == 1
    stages = [folder.name.partition("-")[0] for folder in (tmp_path / "outputs" / "stages").glob("*-tiny_gpt2-*[!k]")]
    assert sorted(stages) == ["ppo", "reward", "sft"]
    again = launched(tmp_path)
    assert again.returncode == 0, again.stderr[-3000:]
    assert again.stdout.count("reused ppo-") == 1 and "ppo on tiny_gpt2" not in again.stdout


def ended_together(done: subprocess.CompletedProcess[str], folder: Path, code: int) -> str:
    """Check that the first process told and recorded how all ended, and that none was killed; returns the line."""
    [line] = [line for line in done.stderr.splitlines() if line.startswith("rlhf: ")]
    assert done.returncode == 1  # the launcher's own
    assert set(re.findall(r"exitcode  : (\S+)", done.stderr)) == {str(code)}, done.stderr[-3000:]  # -15 is SIGTERM's
    for result in folder.glob("outputs/runs/*/*/result.json"):
        assert json.loads(result.read_text())["exit_code"] == code
    return line


BROKEN = """
import os
calls = []
def broken(prompts, answers):
    calls.append(len(answers))
    if os.environ["RANK"] == "1" and len(calls) > CALLS:
        raise ValueError("out of luck")
    return [float(len(answer)) for answer in answers]
"""
QUICK = ("method.starts_from=base", "evaluation.judge=none")


@pytest.mark.slow
@pytest.mark.parametrize(("calls", "code"), [(0, 2), (1, 1)], ids=["when it is tried", "later"])
def test_a_reward_function_that_fails_in_one_process_ends_both_with_one_line(
    calls: int, code: int, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(BROKEN.replace("CALLS", str(calls)))
    rewards = "method.rewards={own: {kind: function, weight: 1.0, name: 'own:broken'}}"
    line = ended_together(launched(tmp_path, rewards, *QUICK), tmp_path, code)
    assert line.startswith("rlhf: method.rewards.own: own:broken failed (ValueError: out of luck at own.py:7")
    assert len(list(tmp_path.glob("outputs/runs/*/*/result.json"))) == 1


@pytest.mark.slow
def test_a_collapse_that_stops_the_run_is_told_once(tmp_path: Path) -> None:
    """A bound on the KL per token that any training passes."""
    bounds = ("on_collapse=stop", "window=1", "max_kl_per_token=1e-9", "min_negative_kl=-1e-9", "max_ratio=100")
    words = (*QUICK, "method.rewards={gold: {kind: gold, weight: 1.0}}", *(f"method.guard.{bound}" for bound in bounds))
    line = ended_together(launched(tmp_path, *words), tmp_path, 1)
    assert line.startswith("rlhf: ppo step ") and "Change what it names and run again" in line
    assert len(list(tmp_path.glob("outputs/runs/*/*/result.json"))) == 1


@pytest.mark.slow
def test_prompts_that_two_processes_cannot_share_are_refused_at_the_door(tmp_path: Path) -> None:
    line = ended_together(launched(tmp_path, "method.prompts_per_step=9"), tmp_path, 2)
    assert "9 prompts in 1 minibatches cannot be shared by 2 processes" in line and "Use a multiple of 2." in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("-m", "start one job per command"),
        ("method.betta=2", "unknown key"),
        ("method.kl.estimator=K1", "Did you mean `k1`?"),
    ],
)
def test_a_word_that_cannot_be_composed_is_told_once(word: str, told: str, tmp_path: Path) -> None:
    assert told in ended_together(launched(tmp_path, word), tmp_path, 2)
