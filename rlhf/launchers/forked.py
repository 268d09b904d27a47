"""What a forked job does: take its part of the machine, write to its log, and run the task as Hydra would."""

from __future__ import annotations

import os
import pickle
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from rlhf.launchers.zygote import Request

LOG = "log.txt"  # of a job, in its folder


def work(request: Request) -> int:
    """Run the job of `request` in this process; returns its exit code."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, request.cores)
    os.environ.clear()
    os.environ.update(request.environment)
    write_to(Path(request.log))
    try:
        return run_pickled(request.payload, request.asked)
    except KeyboardInterrupt:
        return 130
    except Exception:
        traceback.print_exc()
        return 1


def run_pickled(payload: bytes, asked: float) -> int:
    """Run a pickled (task, config, callbacks, working folder) as one job of a sweep."""
    task, config, callbacks, home, path = pickle.loads(payload)
    os.chdir(home)
    sys.path[:] = path
    print(f"started {time.strftime('%Y-%m-%d %H:%M:%S')}, {time.time() - asked:.3f} s after it was asked for")
    return run_here(task, config, callbacks)


def run_here(task: Any, config: Any, callbacks: Any) -> int:
    """Run a composed job of a sweep in this process; returns its exit code."""
    from hydra.core.utils import JobStatus, run_job, setup_globals
    from hydra.types import HydraContext

    setup_globals()
    context = HydraContext(config_loader=None, callbacks=callbacks)  # type: ignore[arg-type]  # composed already
    done = run_job(
        task_function=task,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=context,
    )
    if done.status == JobStatus.FAILED:
        traceback.print_exception(done._return_value)
        return 1
    return 0


def write_to(log: Path) -> None:
    """Send everything that the process prints to the job's log, line by line."""
    log.parent.mkdir(parents=True, exist_ok=True)
    opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    os.close(opened)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
