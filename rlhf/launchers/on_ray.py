"""`hydra/launcher=ray`: the jobs of a sweep as Ray tasks, on this machine or on a cluster that runs already.

    rlhf -m hydra/launcher=ray method.beta=0.05,0.1,0.2
    rlhf -m hydra/launcher=ray hydra.launcher.address=auto hydra.launcher.gpus=1 ...

The published launcher pins a cloudpickle that our other libraries refuse; this is Ray's core interface and no more.
Every job has a process of its own. All machines have to see the same folder, under the same name.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from rlhf.errors import RunFailure
from rlhf.launchers import HOME
from rlhf.launchers.endings import lost, read_outcome, write_outcome
from rlhf.launchers.jobs import Prepared, prepared, returned, shared_words
from rlhf.launchers.slots import THREAD_VARIABLES
from rlhf.launchers.view import View

COPIED = ("RLHF_", "MLFLOW_", "HF_", "TRANSFORMERS_", "TOKENIZERS_")  # variables that go along, by beginning
# read as ray is imported; without it, a cluster for this machine alone listens on every address that the machine has
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


@dataclass
class RaySettings:
    """What `hydra.launcher.KEY=VALUE` sets."""

    _target_: str = f"{HOME}.RayLauncher"
    address: str | None = None  # of a cluster that runs already (auto, or host:port); null starts one here
    cores: float = 1  # of each job
    gpus: float = 0  # of each job


class RayLauncher(Launcher):
    """Hands the jobs to Ray, which runs as many at once as its machines have cores and GPUs for."""

    def __init__(self, address: str | None, cores: float, gpus: float) -> None:
        self.address, self.cores, self.gpus = address, cores, gpus

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over."""
        self.hydra_context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs; returns when the last one has ended."""
        if self.address is None:
            os.environ.setdefault(LOOPBACK, "0")
        import ray

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        jobs = prepared(self.hydra_context, self.config, job_overrides, initial_job_idx)
        self._connect(ray)
        try:
            with View(initial_job_idx + len(jobs), shared_words(job_overrides)) as view:
                return self._run(ray, jobs, view)
        finally:
            ray.shutdown()

    def _connect(self, ray: Any) -> None:
        """Join the cluster, or start one on this machine; its workers get our search path and threads.

        Whoever looks at the cluster sees these: what may hold a password or a token goes with each job.
        """
        threads = str(max(1, int(self.cores)))
        variables = {name: os.environ.get(name, threads) for name in THREAD_VARIABLES}
        variables["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        try:
            ray.init(
                address=self.address,
                runtime_env={"env_vars": variables},
                log_to_driver=False,
                include_dashboard=None if self.address else False,
            )
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            place, problem = f"hydra.launcher.address={self.address}", " ".join(str(error).split())[:200]
            remedy = "See that it runs (ray status); where it asks for a token, set RAY_AUTH_MODE=token"
            raise RunFailure(place, problem, remedy) from None

    def _run(self, ray: Any, jobs: list[Prepared], view: View) -> list[JobReturn]:
        """Submit every job, then take in their ends as they come."""
        remote = ray.remote(num_cpus=self.cores, num_gpus=self.gpus, max_retries=0, max_calls=1)(_run_job)
        asked = time.time()
        own = {name: value for name, value in os.environ.items() if name.startswith(COPIED)}
        waiting = {}
        for job in jobs:
            shared = (self.hydra_context.callbacks, os.getcwd(), own)
            handle = remote.remote(self.task, job.config, *shared, str(job.folder))
            waiting[handle] = job
            view.started(job, "ray")
        ended: dict[int, JobReturn] = {}
        while waiting:
            done, _ = ray.wait(list(waiting), num_returns=1, timeout=1.0)
            view.refresh()
            for handle in done:
                job = waiting.pop(handle)
                outcome = _outcome(ray, handle, job)
                view.ended(job, outcome, time.time() - asked)
                ended[job.number] = returned(job, outcome)
        return [ended[job.number] for job in jobs]


def _run_job(task: Any, config: DictConfig, callbacks: Any, home: str, own: dict[str, str], folder: str) -> int:
    """What a worker does: the job, with our own variables, and with what it prints in its own log."""
    from pathlib import Path

    from rlhf.launchers.forked import LOG, run_here, write_to

    os.environ.update(own)
    os.chdir(home)
    write_to(Path(folder) / LOG)
    return run_here(task, config, callbacks)


def _outcome(ray: Any, handle: Any, job: Prepared) -> dict[str, Any]:
    """A job's own outcome, or what Ray knows of one that could not write any."""
    how = "ended and left no result"
    try:
        ray.get(handle)
    except ray.exceptions.WorkerCrashedError:
        how = "killed: its Ray worker died in the middle (a signal, or want of memory)"
    except ray.exceptions.RayError as error:
        how = " ".join(str(error).split())[:300]
    outcome = read_outcome(job.folder)
    if outcome is None:
        outcome = lost(job.name, job.words, how)
        write_outcome(job.folder, outcome)
    return outcome
