"""`hydra/launcher=local`: several jobs at once on this machine, each in a process forked from a warm one.

    rlhf -m hydra/launcher=local hydra.launcher.jobs=2 method.beta=0.05,0.1,0.2

Cores and GPUs are divided between the jobs. A job that is killed, exits or crashes is told as failed and harms no
other; what it prints is in `log.txt` of its folder.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from rlhf.errors import UserError
from rlhf.launchers import HOME
from rlhf.launchers.endings import in_words, lost, read_outcome, write_outcome
from rlhf.launchers.forked import LOG
from rlhf.launchers.jobs import Prepared, prepared, returned
from rlhf.launchers.slots import Slot, divided, own_cores, own_gpus, sensible_jobs, thread_environment
from rlhf.launchers.view import View
from rlhf.launchers.warm import Zygote
from rlhf.launchers.zygote import Ended, Request, Started

TURN = 0.25  # seconds between two looks at what the jobs have printed
ORDERLY = 30.0  # seconds that jobs are given to record that they were interrupted


@dataclass
class LocalSettings:
    """What `hydra.launcher.KEY=VALUE` sets."""

    _target_: str = f"{HOME}.LocalLauncher"
    jobs: int | None = None  # at once; null: one per GPU, else cores / 2


@dataclass
class Running:
    """A job whose process lives, or is about to."""

    job: Prepared
    slot: Slot
    asked: float
    pid: int | None = None


@dataclass
class Work:
    """What one call of `launch` has to do, and how far it is."""

    waiting: deque[Prepared]
    free: deque[Slot]
    running: dict[int, Running] = field(default_factory=dict)
    ended: dict[int, JobReturn] = field(default_factory=dict)


class LocalLauncher(Launcher):
    """Runs jobs in processes of this machine, so many at once."""

    def __init__(self, jobs: int | None) -> None:
        cores, gpus = own_cores(), own_gpus()
        if jobs is not None and jobs < 1:
            raise UserError(f"hydra.launcher.jobs={jobs}", "it is how many jobs run at once", "Write 1 or more")
        self.jobs = jobs or sensible_jobs(len(cores), len(gpus))
        self.slots = divided(cores, gpus, self.jobs)
        self.environment = thread_environment(max(1, len(cores) // self.jobs))
        self.zygote: Zygote | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over, and begin to warm up."""
        self.hydra_context, self.task, self.config = hydra_context, task_function, config
        self.zygote = Zygote(self.environment)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs; returns when the last one has ended. Ctrl-C interrupts them and waits for their records."""
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        jobs = prepared(self.hydra_context, self.config, job_overrides, initial_job_idx)
        work = Work(deque(jobs), deque(self.slots))
        view = View(total=initial_job_idx + len(jobs))
        with view:
            view.say("loading torch, transformers and trl")
            self._warm().wait_until_ready()
            try:
                while work.waiting or work.running:
                    self._turn(work, view)
            except KeyboardInterrupt:
                self._interrupt(work, view)
                raise
        return [work.ended[job.number] for job in jobs]

    def _warm(self) -> Zygote:
        if self.zygote is None or not self.zygote.alive:
            self.zygote = Zygote(self.environment)
        return self.zygote

    def _turn(self, work: Work, view: View) -> None:
        """Start what there is room for, and take in what has happened."""
        zygote = self._warm()
        while work.waiting and work.free:
            job, slot = work.waiting.popleft(), work.free.popleft()
            work.running[job.number] = Running(job, slot, time.time())
            zygote.ask(self._request(job, slot))
        self._listen(zygote, work, view)
        if not zygote.alive:
            for running in list(work.running.values()):
                self._end(work, view, running, "its warm parent process was killed, and it with it", None)

    def _listen(self, zygote: Zygote, work: Work, view: View) -> None:
        for event in zygote.events(TURN):
            if isinstance(event, Started):
                running = work.running[event.number]
                running.pid = event.pid
                view.started(running.job, event.pid)
            elif isinstance(event, Ended):
                running = work.running[event.number]
                held = f"; it held up to {event.peak_bytes / 2**30:.1f} GiB" if event.code < 0 else ""
                self._end(work, view, running, in_words(event.code) + held, event.code)
        view.refresh()

    def _end(self, work: Work, view: View, running: Running, how: str, code: int | None) -> None:
        """Note a job's outcome: its own, or what is known of one that could not write any."""
        del work.running[running.job.number]
        work.free.append(running.slot)
        outcome = read_outcome(running.job.folder)
        if outcome is None or outcome.get("started", running.asked) < running.asked:
            outcome = lost(running.job.name, running.job.words, how)
            if code is not None and code < 0:
                outcome["signal"] = signal.Signals(-code).name
            write_outcome(running.job.folder, outcome)
        work.ended[running.job.number] = returned(running.job, outcome)
        view.ended(running.job, outcome, time.time() - running.asked)

    def _interrupt(self, work: Work, view: View) -> None:
        """Let the jobs record that they were interrupted; a second Ctrl-C, or too long a wait, ends them at once."""
        if self.zygote is None:
            return
        view.say("interrupting the jobs that run")
        self.zygote.signal(signal.SIGINT)
        deadline = time.monotonic() + ORDERLY
        try:
            while work.running and self.zygote.alive and time.monotonic() < deadline:
                self._listen(self.zygote, work, view)
        finally:
            self.zygote.close()

    def _request(self, job: Prepared, slot: Slot) -> Request:
        environment = dict(os.environ) | self.environment
        if slot.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot.gpu
        payload = pickle.dumps((self.task, job.config, self.hydra_context.callbacks, os.getcwd(), sys.path))
        log = str(job.folder / LOG)
        return Request(job.number, slot.cores, environment, log, payload, time.time())
