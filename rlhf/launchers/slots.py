"""Dividing this machine between jobs that run at once: cores and GPUs per job, and the threads that fit its cores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# every pool of threads that a library of ours may open asks one of these when it is loaded
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
CORES_PER_JOB = 2  # where nobody says how many jobs run at once


@dataclass(frozen=True)
class Slot:
    """The part of the machine that one job has to itself."""

    number: int
    cores: tuple[int, ...]
    gpu: str | None  # as CUDA_VISIBLE_DEVICES takes it; None where there is none


def divided(cores: Sequence[int], gpus: Sequence[str], jobs: int) -> list[Slot]:
    """Cut the machine into `jobs` slots: whole cores, one GPU each; what is too few is shared in turn."""
    slots = []
    for number in range(jobs):
        low, high = number * len(cores) // jobs, (number + 1) * len(cores) // jobs
        own = tuple(cores[low:high]) or (cores[number % len(cores)],)
        slots.append(Slot(number, own, gpus[number % len(gpus)] if gpus else None))
    return slots


def sensible_jobs(cores: int, gpus: int) -> int:
    """One job per GPU; without one as many as leave each two cores, but two at once where there are two cores."""
    return gpus or max(cores // CORES_PER_JOB, min(2, cores))


def own_cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def own_gpus() -> list[str]:
    """The GPUs that this process may use, found without loading anything: as named to it, else all of the driver's."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [part.strip() for part in named.split(",") if part.strip() not in ("", "-1")]
    return [str(number) for number, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*/information"))]


def thread_environment(threads: int) -> dict[str, str]:
    """Variables that keep every library to `threads` threads; what the user has set is left as it is."""
    return {name: os.environ.get(name, str(threads)) for name in THREAD_VARIABLES}
