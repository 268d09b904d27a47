"""What a launcher runs for each job of a command line: a callable that travels to other processes by pickle."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhf.errors import RunFailure, UserError, mendable
from rlhf.loading import loading
from rlhf.terminal import make_console


@dataclass
class Task:
    """One job: composed configuration in, outcome out. A failure is recorded and told, and ends no other job."""

    jobs: list[tuple[str, ...]]  # words of each
    sweep_id: str | None  # None: a single run, whose failure is kept for the caller
    command: list[str]  # words of the whole command line, of which the tracker is told in whatever process the job runs
    total: int | None = None  # of the jobs, where a search makes them up as it goes
    failures: list[BaseException] = field(default_factory=list)

    def __call__(self, config: Any) -> dict[str, Any]:
        """Run the job that Hydra has composed."""
        from hydra.core.hydra_config import HydraConfig

        from rlhf.build import build
        from rlhf.compose import plain
        from rlhf.launchers.endings import read_outcome

        with loading():  # in a process of the job's own; elsewhere they are loaded already
            from rlhf.job import execute
        sys.argv = ["rlhf", *self.command]
        tell_warnings_once()
        console = make_console()
        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        if self.sweep_id:
            from rlhf.sweep import announce

            known = hydra.job.num < len(self.jobs)  # a search makes up its jobs as it goes
            jobs = self.jobs if known else [tuple(hydra.overrides.task)] * (hydra.job.num + 1)
            announce(console, hydra.job.num, jobs, self.total)
        try:
            return execute(build(plain(config)), folder, list(hydra.overrides.task), self.sweep_id, console)
        except (
            Exception,
            SystemExit,
        ) as error:  # it is recorded, told again at the end, and ends no other job
            self.failures.append(error)
            if self.sweep_id:
                say(error)
            return read_outcome(folder) or {}


def tell_warnings_once() -> None:
    """Print the framework's warnings as lines on stderr; that a store is down is told once, not by each part."""
    told: set[str] = set()

    def fresh(record: logging.LogRecord) -> bool:
        cause = str(record.args[0]) if isinstance(record.args, tuple) and record.args else record.getMessage()
        known = cause in told
        told.add(cause)
        return not known

    logger = logging.getLogger("rlhf")
    if any(getattr(handler, "stream", None) is sys.stderr for handler in logger.handlers):
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("rlhf: %(message)s"))
    handler.addFilter(fresh)
    logger.handlers, logger.propagate = [handler], False


def say(problem: BaseException | str) -> None:
    """One line on stderr; an unforeseen exception with its type and the hint to see more."""
    if isinstance(problem, BaseException):
        problem = mendable(problem) or problem
    if isinstance(problem, UserError | RunFailure | str):
        text = str(problem)
    else:
        text = f"{type(problem).__name__}: {' '.join(str(problem).split())} (--debug shows where)"
    print(f"rlhf: {text}", file=sys.stderr)
