"""A small sweep of four PPO jobs on a user's own rewards: two work, one raises, one kills its process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HURT = '''
"""Rewards of a user: `mended` beside this file heals them."""
import os
import signal
from pathlib import Path

calls = {}
MENDED = Path(__file__).with_name("mended")
LEFT = Path(__file__).with_name("left")

def fine(prompts, answers):
    return [float(len(answer)) for answer in answers]

def other(prompts, answers):
    return [-float(len(answer)) for answer in answers]

def _in_the_middle(name):
    calls[name] = calls.get(name, 0) + 1
    return calls[name] >= 7 and not MENDED.exists()

def raises(prompts, answers):
    if _in_the_middle("raises"):
        raise TimeoutError("the service does not answer")
    return fine(prompts, answers)

def kills(prompts, answers):
    if _in_the_middle("kills"):
        os.kill(os.getpid(), signal.SIGKILL)
    return fine(prompts, answers)

def leaves(prompts, answers):
    if _in_the_middle("leaves") and not LEFT.exists():
        LEFT.touch()
        os.kill(os.getpid(), signal.SIGUSR2)  # what SLURM sends before it takes a node back
    return fine(prompts, answers)
'''
WORDS = (
    "-m",
    "method=ppo",
    "method.starts_from=base",
    "dataset.rows=120",
    "hardware=cpu",
    "method.prompts_per_step=4",
    "method.epochs=1",
    "method.max_prompt_tokens=64",
    "method.max_response_tokens=8",
    "method.normalize_rewards=4",
    "method.samples.every=1000",
    "method.samples.prompts=2",
    "++method.trainer.warmup_steps=0",
    "++method.trainer.max_steps=5",
    "++method.trainer.save_steps=1",
    "evaluation.judge=none",
    "evaluation.prompts=4",
    "evaluation.max_new_tokens=4",
    "evaluation.bootstrap=10",
    "evaluation.suites=[]",
    "method.rewards={own: {kind: function, weight: 1.0, name: 'hurt:fine'}}",
)
FOUR = "method.rewards.own.name=hurt:fine,hurt:raises,hurt:kills,hurt:other"


def prepare(folder: Path) -> Path:
    """Put the user's module into a folder."""
    (folder / "hurt.py").write_text(HURT)
    return folder


def sweep_folder(folder: Path) -> Path:
    """The only sweep below a folder."""
    [found] = folder.glob("multirun/*/*")
    return found


def outcomes(folder: Path) -> list[dict[str, Any] | None]:
    """What each of the four jobs left; None where it left nothing."""
    files = [sweep_folder(folder) / str(number) / "result.json" for number in range(4)]
    return [json.loads(file.read_text()) if file.exists() else None for file in files]
