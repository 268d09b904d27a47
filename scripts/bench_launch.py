"""Measure how soon a job of the local launcher starts, from the request to the first line of its own process.

python scripts/bench_launch.py --jobs 12
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["method=sft", "dataset.rows=120", "++method.trainer.max_steps=1", "evaluation.prompts=2"]
SMALL += ["evaluation.max_new_tokens=2", "evaluation.bootstrap=10", "evaluation.judge=none", "tracking=none"]
TOLD = re.compile(r", ([\d.]+) s after it was asked for")


def main() -> None:
    """Run a sweep of jobs that do next to nothing, and print when each began."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--at-once", type=int, default=1)
    asked = parser.parse_args()
    seeds = ",".join(str(number) for number in range(1, asked.jobs + 1))
    words = ["-m", "hydra/launcher=local", f"hydra.launcher.jobs={asked.at_once}", f"seed={seeds}", *SMALL]
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        run = [sys.executable, "-m", "rlhf", *words]
        subprocess.run(run, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
        whole = time.perf_counter() - begun
        logs = [file.read_text(encoding="utf-8") for file in Path(folder).glob("multirun/*/*/*/log.txt")]
    starts = sorted(float(found[1]) for log in logs if (found := TOLD.search(log)))
    print(f"{len(starts)} jobs, {asked.at_once} at once, in {whole:.1f} s")
    print(
        f"from the request to a job's first line: median {statistics.median(starts):.3f} s, longest {starts[-1]:.3f} s"
    )


if __name__ == "__main__":
    main()
