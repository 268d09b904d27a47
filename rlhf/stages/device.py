"""Choosing the device and the precision that a job computes in."""

from __future__ import annotations

import ctypes
import gc
import os
import sys

import torch

from rlhf.config import Run
from rlhf.errors import UserError
from rlhf.stages.context import Device

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(run: Run) -> Device:
    """Resolve `auto` for device and precision; raises `UserError` for what this machine has not got."""
    has_cuda = torch.cuda.is_available()
    kind = run.hardware.device
    if kind == "auto":
        kind = "cuda" if has_cuda else "cpu"
    if kind == "cuda" and not has_cuda:
        place = f"hardware.device=cuda (hardware={run.hardware.name})"
        raise UserError(place, "torch finds no CUDA GPU here", "Use hardware=cpu or hardware.device=cpu")
    precision = run.precision
    if precision == "auto":
        precision = "bf16" if kind == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    if precision == "fp16" and kind == "cpu":
        raise UserError("precision", "fp16 needs a GPU", "Use precision=fp32 or precision=bf16")
    return Device(kind=kind, precision=precision, dtype=DTYPES[precision], trained_dtype=torch.float32)


def limit_threads() -> None:
    """Give torch as many threads as cores, or OMP_NUM_THREADS; a second pool on shared cores slows steps tenfold."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = int(os.environ.get("OMP_NUM_THREADS") or cores)
    torch.set_num_threads(threads)


def release_memory() -> None:
    """Give back what an earlier stage of this process held: glibc and CUDA keep the blocks that its tensors had."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
