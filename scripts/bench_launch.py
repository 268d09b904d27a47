"""Measure how soon a job of a sweep starts once there is room for it, in a process of its own and in the command's.

python scripts/bench_launch.py --jobs 12

Forked: from the request to the first line of the job's own process. In-process: from the end of one job to the moment
at which the next one has its run in the tracker (here none) and begins with its stage. The first job of each is left
out: it waits for torch, transformers and TRL.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["method=sft", "dataset.rows=120", "++method.trainer.max_steps=1", "evaluation.prompts=2"]
SMALL += ["evaluation.max_new_tokens=2", "evaluation.bootstrap=10", "evaluation.judge=none", "tracking=none"]
SMALL += ["evaluation.suites=[]"]
TOLD = re.compile(r", ([\d.]+) s after it was asked for")


def main() -> None:
    """Run a sweep of jobs that do next to nothing with either launcher, and print when each began."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--at-once", type=int, default=1)
    asked = parser.parse_args()
    seeds = f"seed={','.join(str(number) for number in range(1, asked.jobs + 1))}"
    with tempfile.TemporaryDirectory() as home:
        words = ["hydra/launcher=local", f"hydra.launcher.jobs={asked.at_once}", seeds]
        tell("forked", *sweep(Path(home) / "forked", words, first_lines))
        tell("in-process", *sweep(Path(home) / "basic", [seeds], gaps))


def sweep(folder: Path, words: list[str], starts: Callable[[list[Path]], list[float]]) -> tuple[list[float], float]:
    """Run a sweep in `folder`; returns what `starts` reads of it, and the seconds that all of it took."""
    folder.mkdir()
    begun = time.perf_counter()
    run = [sys.executable, "-m", "rlhf", "-m", *words, *SMALL]
    done = subprocess.run(
        run, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        sys.exit(f"{' '.join(run)} failed:\n{done.stdout.decode()[-3000:]}")
    whole = time.perf_counter() - begun
    jobs = sorted(folder.glob("multirun/*/*/*/result.json"), key=lambda file: int(file.parent.name))
    return starts([file.parent for file in jobs]), whole


def first_lines(jobs: list[Path]) -> list[float]:
    """Seconds from the request to the first line of each job's log."""
    logs = [(job / "log.txt").read_text(encoding="utf-8") for job in jobs[1:]]
    return [float(found[1]) for log in logs if (found := TOLD.search(log))]


def gaps(jobs: list[Path]) -> list[float]:
    """Seconds between the end of each job and the beginning of the next."""
    left = [json.loads((job / "result.json").read_text(encoding="utf-8")) for job in jobs]
    ends = [one["started"] + one["seconds"] for one in left]
    return [one["started"] - end for end, one in zip(ends, left[1:], strict=False)]


def tell(how: str, starts: list[float], whole: float) -> None:
    """Print a line."""
    middle, longest = statistics.median(starts), max(starts)
    print(f"{how}: {len(starts)} starts, median {middle:.3f} s, longest {longest:.3f} s; the sweep took {whole:.1f} s")


if __name__ == "__main__":
    main()
