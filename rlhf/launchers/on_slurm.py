"""`hydra/launcher=slurm`: each job of a sweep as a job of a SLURM cluster, handed in by submitit.

    rlhf -m hydra/launcher=slurm hydra.launcher.partition=gpu hydra.launcher.gpus=1 hydra.launcher.minutes=240 ...

The published launcher tells how a sweep went as soon as one job is killed, while the others still run; this one waits
for all. A job that SLURM takes back (time is up, a node is needed) is handed in again and goes on from its newest
checkpoint. All nodes have to see the same folder, under the same name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from rlhf.errors import RunFailure
from rlhf.launchers import HOME
from rlhf.launchers.endings import forget_failure, lost, read_outcome, write_outcome
from rlhf.launchers.forked import LOG, run_here, write_to
from rlhf.launchers.jobs import Prepared, prepared, returned, shared_words
from rlhf.launchers.slots import THREAD_VARIABLES
from rlhf.launchers.view import View

ARRIVAL = 5.0  # seconds that a result may need through a network's file system
TURN = 0.5  # seconds between two looks at the jobs


@dataclass
class SlurmSettings:
    """What `hydra.launcher.KEY=VALUE` sets."""

    _target_: str = f"{HOME}.SlurmLauncher"
    executor: str = "slurm"  # slurm, or local: processes of this machine, to try things out
    jobs: int = 256  # at once
    minutes: int = 60  # that a job may take before it is handed in again
    restarts: int = 3  # of a job that SLURM has taken back
    cores: int = 1  # of each job
    gpus: int = 0  # of each job
    memory_gb: float | None = None  # of each job; null is the cluster's own default
    partition: str | None = None
    account: str | None = None
    setup: list[str] = field(default_factory=list)  # shell lines before the job: module load cuda
    more: dict[str, Any] = field(default_factory=dict)  # any other word of sbatch: {qos: high, constraint: a100}


class JobOnNode:
    """What runs on the node. submitit calls `checkpoint` where SLURM is about to end it."""

    def __init__(self, task: Any, config: DictConfig, callbacks: Any, home: str, folder: str, threads: int) -> None:
        self.task, self.config, self.callbacks = task, config, callbacks
        self.home, self.folder, self.threads = home, folder, threads
        self.handed_in_again = False

    def __call__(self) -> int:
        """Run the job, with what it prints in its own log."""
        self.handed_in_again = False  # by this attempt
        for name in THREAD_VARIABLES:
            os.environ.setdefault(name, str(self.threads))
        os.chdir(self.home)
        write_to(Path(self.folder) / LOG)
        code = run_here(self.task, self.config, self.callbacks)
        if self.handed_in_again:  # the task takes submitit's `sys.exit` for a failure
            forget_failure(Path(self.folder))
            raise next(error for error in reversed(self.task.failures) if isinstance(error, SystemExit))
        return code

    def checkpoint(self) -> Any:
        """Have the job handed in again: its stages go on from their newest checkpoints."""
        from submitit.helpers import DelayedSubmission

        self.handed_in_again = True
        return DelayedSubmission(self)


class SlurmLauncher(Launcher):
    """Hands the jobs to SLURM as one array."""

    def __init__(self, **settings: Any) -> None:
        self.settings = SlurmSettings(**settings)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over."""
        self.hydra_context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Hand in all jobs and wait for the last one to end; Ctrl-C takes them back."""
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        jobs = prepared(self.hydra_context, self.config, job_overrides, initial_job_idx)
        executor = self._executor(Path(self.config.hydra.sweep.dir).absolute() / "submitit")
        asked, threads = time.time(), max(1, self.settings.cores)
        with View(initial_job_idx + len(jobs), shared_words(job_overrides)) as view:
            own = (self.hydra_context.callbacks, os.getcwd())
            calls = [JobOnNode(self.task, job.config, *own, str(job.folder), threads) for job in jobs]
            with executor.batch():
                handed_in = [executor.submit(call) for call in calls]
            waiting = dict(zip(handed_in, jobs, strict=True))
            for handle, job in waiting.items():
                view.started(job, f"{self.settings.executor} job {handle.job_id}")
            ended: dict[int, JobReturn] = {}
            try:
                while waiting:
                    for handle in [handle for handle in waiting if handle.done()]:
                        job = waiting.pop(handle)
                        outcome = _outcome(handle, job)
                        view.ended(job, outcome, time.time() - asked)
                        ended[job.number] = returned(job, outcome)
                    view.refresh()
                    time.sleep(TURN if waiting else 0)
            except KeyboardInterrupt:
                for handle in waiting:
                    handle.cancel()
                raise
        return [ended[job.number] for job in jobs]

    def _executor(self, folder: Path) -> Any:
        import submitit

        own = self.settings
        try:
            executor = submitit.AutoExecutor(folder, cluster=own.executor, slurm_max_num_timeout=own.restarts)
        except (RuntimeError, ValueError) as error:
            place = f"hydra.launcher.executor={own.executor}"
            raise RunFailure(place, str(error), "Run it on a machine that has sbatch") from None
        executor.update_parameters(**_parameters(own))
        return executor


def _parameters(own: SlurmSettings) -> Mapping[str, Any]:
    """Say our settings in submitit's words, without those that are left to the cluster."""
    shared: dict[str, Any] = {"timeout_min": own.minutes, "cpus_per_task": own.cores, "gpus_per_node": own.gpus}
    shared |= {"mem_gb": own.memory_gb, "name": "rlhf"}
    slurm = {
        "slurm_partition": own.partition,
        "slurm_account": own.account,
        "slurm_array_parallelism": own.jobs,
        "slurm_setup": [str(line) for line in own.setup] or None,
        "slurm_additional_parameters": OmegaConf.to_container(OmegaConf.create(dict(own.more))) or None,
    }
    return {name: value for name, value in (shared | slurm).items() if value is not None}


def _outcome(handle: Any, job: Prepared) -> dict[str, Any]:
    """A job's own outcome, or what submitit knows of one that could not write any."""
    deadline = time.monotonic() + ARRIVAL
    while (outcome := read_outcome(job.folder)) is None and time.monotonic() < deadline:
        time.sleep(TURN)
    if outcome is not None:
        return outcome
    error = handle.exception()
    told = " ".join(str(error).split())[:300] if error else "ended and left no result"
    killed = f"killed: it ended in the middle (a signal, or want of memory); see {handle.paths.stderr}"
    outcome = lost(job.name, job.words, killed if type(error).__name__ == "UncompletedJobError" else told)
    write_outcome(job.folder, outcome)
    return outcome
