"""A sweep on disk: what it was asked for and how far it is, so that it can be gone on with after any end.

`<folder>/sweep.json` says which command it is; `<folder>/<N>/result.json` what came out of job N; and
`<folder>/<N>/attempts.txt` names the tracked run of each attempt at it, before that run exists.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rlhf.config import Run
from rlhf.disk import write_whole
from rlhf.errors import UserError
from rlhf.fingerprint import digest

ROOT = Path("multirun")
RECORD = "sweep.json"
ATTEMPTS = "attempts.txt"
LOCK = "sweep.lock"  # held by whoever runs the sweep
UNTOLD = {"tracking", "reuse", "inspection"}  # parts of a run that decide no outcome


@dataclass
class Record:
    """The content of `sweep.json`."""

    id: str
    words: list[str]  # of the command line, experiments expanded
    started: float
    summary_run: str
    jobs: int
    composed: str  # digest of all jobs' words and settings
    search: dict[str, Any] | None = None
    reported: bool = False  # whether its report was written, and its summary run ended, after the last of its jobs
    planned: list[dict[str, Any]] = field(default_factory=list)  # name and words of each job; empty of a search

    def write(self, folder: Path) -> None:
        """Leave it in the sweep's folder."""
        write_whole(folder / RECORD, json.dumps(asdict(self), indent=1))


def read(folder: Path) -> Record | None:
    """Read a sweep's record; None where there is none that we understand."""
    try:
        return Record(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def sweeps(root: Path = ROOT) -> Iterator[tuple[Path, Record]]:
    """All sweeps below `root`, newest first."""
    found = [(file.parent, record) for file in root.glob(f"*/*/{RECORD}") if (record := read(file.parent))]
    yield from sorted(found, key=lambda sweep: sweep[1].started, reverse=True)


def composed_digest(jobs: Sequence[tuple[Sequence[str], Run]]) -> str:
    """Hash what a command line asks for: the words and settings of all of its jobs, in order."""
    return digest([[list(words), run.model_dump(exclude=UNTOLD)] for words, run in jobs])


def equal_jobs(jobs: Sequence[tuple[Sequence[str], Run]]) -> list[list[int]]:
    """Numbers, from 1, of jobs that ask for the very same."""
    alike: dict[str, list[int]] = {}
    for number, (_, run) in enumerate(jobs, start=1):
        alike.setdefault(digest(run.model_dump(exclude=UNTOLD)), []).append(number)
    return [numbers for numbers in alike.values() if len(numbers) > 1]


def job_digest(run: Run, stages: Sequence[str], measuring: Sequence[Any]) -> str:
    """Hash everything that decides a job's outcome: settings, fingerprints of its stages, what measures its policy."""
    return digest({"run": run.model_dump(exclude=UNTOLD), "stages": list(stages), "measuring": list(measuring)})


def claim(folder: Path) -> FileLock | None:
    """Take a sweep for this process, until it ends in whatever way; None where another process runs the sweep."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock


def is_running(folder: Path) -> bool:
    """Whether a process runs the sweep, on any machine that shares the folder."""
    lock = claim(folder)
    if lock is not None:
        lock.release()
    return lock is None


def finished_jobs(folder: Path, jobs: int) -> int:
    """Count the jobs that have finished."""
    return sum(_status(folder / str(number)) == "finished" for number in range(jobs))


def _unfinished(folder: Path, record: Record) -> bool:
    """Whether a sweep has jobs to run or a report to write; a search is complete with trials that failed, too."""
    if not record.reported:
        return True
    if record.search is None:
        return finished_jobs(folder, record.jobs) < record.jobs
    try:
        return bool(json.loads((folder / "search.json").read_text(encoding="utf-8"))["state"] == "running")
    except (OSError, ValueError, KeyError):
        return True


def to_go_on(folder: Path) -> Record | None:
    """The record of the sweep in `folder` where `rlhf resume` would go on with it: unfinished, and nobody runs it."""
    record = read(folder)
    if record is None or not _unfinished(folder, record):
        return None
    return None if (folder / LOCK).exists() and is_running(folder) else record


def same_sweep(words: Sequence[str], composed: str) -> Path | None:
    """Find the newest sweep of the same command and the same jobs, if it is unfinished and nobody runs it."""
    for folder, record in sweeps():
        if record.words == list(words) and record.composed == composed:
            return folder if _unfinished(folder, record) and not is_running(folder) else None
    return None


def all_finished() -> int:
    """Count the sweeps here if none of them waits to be gone on with, else 0."""
    found = list(sweeps())
    return 0 if any(_unfinished(f, r) and not is_running(f) for f, r in found) else len(found)


def named_sweep(name: str | None) -> tuple[Path, Record]:
    """Find the sweep that `rlhf resume NAME` means: a folder, an id, or the newest unfinished one.

    Raises `UserError` where there is none, or where it still runs.
    """
    if name is None:
        waiting = [(f, r) for f, r in sweeps() if _unfinished(f, r) and not is_running(f)]
        if not waiting:
            raise UserError(f"{ROOT}", "there is no unfinished sweep here", "Name one: rlhf resume FOLDER")
        return waiting[0]
    folder = Path(name)
    record = read(folder)
    if record is None:
        found = [(own, known) for own, known in sweeps() if known.id.startswith(name)]
        if len(found) != 1:
            problem = "several sweeps begin so" if found else "this is neither a sweep's folder nor its id"
            raise UserError(name, problem, f"Look below {ROOT}")
        folder, record = found[0]
    if is_running(folder):
        raise UserError(name, "another process is running it", "Wait for it, or end it first")
    return folder, record


def begin_attempt(folder: Path, run_id: str) -> list[str]:
    """Note the tracked run of a new attempt at a job; returns those of earlier attempts."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / ATTEMPTS
    earlier = file.read_text(encoding="utf-8").split() if file.exists() else []
    with file.open("a", encoding="utf-8") as opened:
        opened.write(f"{run_id}\n")
        opened.flush()
        os.fsync(opened.fileno())
    return earlier


def last_attempt(folder: Path) -> str | None:
    """Return the tracked run of the newest attempt at a job, by its local id."""
    file = folder / ATTEMPTS
    found = file.read_text(encoding="utf-8").split() if file.exists() else []
    return found[-1] if found else None


def fresh_record(sweep_id: str, words: Sequence[str], jobs: Sequence[tuple[Sequence[str], Run]]) -> Record:
    """Begin the record of a new sweep."""
    record = Record(sweep_id, list(words), time.time(), "", len(jobs), composed_digest(jobs))
    record.planned = [{"name": f"{run.method.name}-{run.model.name}", "words": list(own)} for own, run in jobs]
    return record


def _status(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / "result.json").read_text(encoding="utf-8"))["status"])
    except (OSError, ValueError, KeyError):
        return None
