"""Processor seconds of a DPO stage by when its reference is asked: at every step, once before training, or earlier.

python scripts/bench_references.py [--model tiny_gpt2] [--rows 600] [--repeats 3]

Each stage starts from the base model and goes over its pairs once, on one thread; the last one differs from the one
before it in beta alone, so that it reads what that one kept.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from rich.console import Console

from rlhf.compose import jobs, parse_words
from rlhf.pipeline import Job
from rlhf.stages.device import choose_device
from rlhf.tracking import NullRun, NullTracker

WAYS = {
    "at every step": ("++method.trainer.precompute_ref_log_probs=false",),
    "once before training": ("method.beta=0.1",),
    "by an earlier stage": ("method.beta=0.2",),
}


def seconds_of(store: Path, *words: str) -> float:
    """Train one stage into `store`; returns the processor time that it took."""
    common = ("method=dpo", "method.starts_from=base", "tracking=none", "hardware=cpu", f"store={store}")
    [(_, run)] = jobs(parse_words([*common, *words]))
    job = Job(run, choose_device(run), NullTracker(), NullRun(), Console(quiet=True))
    job.corpus("preference")
    start = time.process_time()
    job.build(run.method, upstream=False)
    return time.process_time() - start


def main() -> None:
    """Print the median of each way and its share of the first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny_gpt2")
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    words = (f"model={given.model}", f"dataset.rows={given.rows}")
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        seconds_of(Path(folder) / "warm", *words, "++method.trainer.max_steps=2")
        for repeat in range(given.repeats):
            for way, own in WAYS.items():
                found[way].append(seconds_of(Path(folder) / str(repeat), *words, *own))
    live = median(found["at every step"])
    for way, seconds in found.items():
        print(f"{way:22s} {median(seconds):6.2f} s  {median(seconds) / live:4.0%}  {[round(s, 2) for s in seconds]}")


if __name__ == "__main__":
    main()
