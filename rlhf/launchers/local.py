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
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from rlhf.launchers import HOME
from rlhf.launchers.endings import in_words, lost, read_outcome, signal_name, write_outcome
from rlhf.launchers.forked import LOG
from rlhf.launchers.jobs import Prepared, prepared, returned, shared_words
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


@dataclass
class Work:
    """What is under way: where there is room, what runs, what came out."""

    free: deque[Slot]
    running: dict[int, Running] = field(default_factory=dict)
    returned: dict[int, JobReturn] = field(default_factory=dict)


class LocalLauncher(Launcher):
    """Runs jobs in processes of this machine, so many at once."""

    def __init__(self, jobs: int | None) -> None:
        cores, gpus = own_cores(), own_gpus()
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
        waiting = deque(enumerate(job_overrides, start=initial_job_idx))
        total = initial_job_idx + len(waiting)
        found = self.stream(
            lambda: waiting.popleft() if waiting else None, lambda number: None, total, shared_words(job_overrides)
        )
        return [found[number] for number in sorted(found)]

    def stream(
        self,
        following: Callable[[], tuple[int, Sequence[str]] | None],
        ended: Callable[[int], None],
        total: int | None = None,
        shared: Collection[str] = (),
    ) -> dict[int, JobReturn]:
        """Run the jobs that `following` gives (number, words) wherever there is room, and tell `ended` of each number.

        It is asked again whenever a job has ended; all is over when it gives None while none runs.
        """
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        work = Work(deque(self.slots))
        with View(total, shared) as view:
            view.say("loading torch, transformers and trl")
            self._warm().wait_until_ready()
            try:
                while self._start(work, following) or work.running:
                    for number in self._turn(work, view):
                        ended(number)
            except BaseException:  # Ctrl-C, or jobs that cannot be composed or drawn: none goes on unattended
                self._interrupt(work, view)
                raise
        return work.returned

    def _warm(self) -> Zygote:
        if self.zygote is None or not self.zygote.alive:
            self.zygote = Zygote(self.environment)
        return self.zygote

    def _start(self, work: Work, following: Callable[[], tuple[int, Sequence[str]] | None]) -> bool:
        """Ask for processes for as many jobs as there is room for; whether there were any."""
        zygote, begun = self._warm(), False
        while work.free and (job := following()) is not None:
            number, words = job
            [composed] = prepared(self.hydra_context, self.config, [words], number)
            slot = work.free.popleft()
            work.running[number] = Running(composed, slot, time.time())
            zygote.ask(self._request(composed, slot))
            begun = True
        return begun

    def _turn(self, work: Work, view: View) -> list[int]:
        """Take in what has happened within a moment; the numbers of jobs that have ended."""
        ended = []
        zygote = self.zygote
        assert zygote is not None, "jobs run, so it was started"
        for event in zygote.events(TURN):
            if isinstance(event, Started):
                running = work.running[event.number]
                view.started(running.job, f"process {event.pid}")
            elif isinstance(event, Ended):
                held = f"; it held up to {event.peak_bytes / 2**30:.1f} GiB" if event.code < 0 else ""
                ended.append(self._end(work, view, event.number, in_words(event.code) + held, event.code))
        if not zygote.alive:
            for number in list(work.running):
                ended.append(self._end(work, view, number, "its warm parent process was killed, and it with it", None))
        view.refresh()
        return ended

    def _end(self, work: Work, view: View, number: int, how: str, code: int | None) -> int:
        """Note a job's outcome: its own, or what is known of one that could not write any."""
        running = work.running.pop(number)
        work.free.append(running.slot)
        outcome = read_outcome(running.job.folder)
        if outcome is None:
            outcome = lost(running.job.name, running.job.words, how)
            if code is not None and code < 0:
                outcome["signal"] = signal_name(-code)
            write_outcome(running.job.folder, outcome)
        work.returned[number] = returned(running.job, outcome)
        view.ended(running.job, outcome, time.time() - running.asked)
        return number

    def _interrupt(self, work: Work, view: View) -> None:
        """Let the jobs record that they were interrupted; a second Ctrl-C, or too long a wait, ends them at once."""
        if self.zygote is None:
            return
        view.say("interrupting the jobs that run")
        self.zygote.signal(signal.SIGINT)
        deadline = time.monotonic() + ORDERLY
        try:
            while work.running and self.zygote.alive and time.monotonic() < deadline:
                self._turn(work, view)
        finally:
            self.zygote.close()

    def _request(self, job: Prepared, slot: Slot) -> Request:
        environment = dict(os.environ) | self.environment
        if slot.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot.gpu
        payload = pickle.dumps((self.task, job.config, self.hydra_context.callbacks, os.getcwd(), sys.path))
        log = str(job.folder / LOG)
        return Request(job.number, slot.cores, environment, log, payload, time.time())
