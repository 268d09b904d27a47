"""Between a search and whoever launches its jobs: which job is next, what it left, and when it is over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from rich.markup import escape

from rlhf.config import Run
from rlhf.errors import RunFailure, UserError
from rlhf.search.check import Search
from rlhf.search.engine import Engine, Outcome, Setting
from rlhf.search.record import FILE, lines, record, shown
from rlhf.search.space import Value
from rlhf.search.spec import ObjectiveSpec
from rlhf.search.study import FOLDER, JOB, live, open_study, storage_url
from rlhf.search.watcher import words_for

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from rich.console import Console

LOCK = "search.lock"
RESULT = "result.json"


def folder_of(search: Search, home: Path) -> Path | None:
    """Return the newest folder below `home` in which this search was begun before; None where there is none."""
    found = []
    for file in home.glob(f"*/*/{FILE}"):
        with suppress(OSError, ValueError):
            if json.loads(file.read_text(encoding="utf-8"))["study"] == search.study:
                found.append((file.stat().st_mtime, file.parent))
    return max(found)[1] if found else None


class Drive:
    """A search that is under way in a sweep's folder. `jobs` holds words and run of each job, `words` only those."""

    def __init__(self, search: Search, folder: Path, console: Console) -> None:
        self.search, self.folder, self.console = search, folder.resolve(), console
        self.jobs: list[tuple[tuple[str, ...], Run]] = []
        self.words: list[tuple[str, ...]] = []
        self.running: dict[int, Setting] = {}
        self.lock = FileLock(self.folder / LOCK)

    def open(self) -> None:
        """Open the study, look what is there, and say so. Raises `UserError` where another process is at it."""
        spec = self.search.spec
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            remedy = "Wait for it, or share a study between processes: search.storage=postgresql://USER@HOST/DATABASE"
            raise UserError(str(self.folder), "another process runs this search", remedy) from None
        self.url = storage_url(spec.storage, self.folder)
        study = open_study(spec, self.url, self.search.study, self.search.identity)
        self.engine = Engine(study, spec, self.search.space, private=spec.storage is None)
        again = self.engine.recover(self._left_behind)
        here = [trial for trial in self.engine.trials if trial.user_attrs.get(FOLDER) == str(self.folder)]
        for trial in sorted(here, key=lambda trial: trial.user_attrs[JOB]):
            if trial.user_attrs[JOB] == len(self.jobs):  # attempts at one job are one job
                self._add(trial.params)
        self._tell(again)
        record(self.engine, self.search, self.folder, "running", None)

    @property
    def over(self) -> bool:
        """Whether so many trials have failed that no more are begun."""
        return self.engine.too_many_failed

    def next(self) -> tuple[int, list[str]] | None:
        """Return number and words of the next job; None where none is to be begun now."""
        if len(self.running) >= self.search.spec.jobs or self.over or (setting := self.engine.ask()) is None:
            return None
        trial = live(self.engine.study, self.engine.trials[setting.number])
        own = trial.user_attrs.get(FOLDER) == str(self.folder) and setting.job is not None
        job = setting.job if own and setting.job is not None else len(self.jobs)
        trial.set_user_attr(FOLDER, str(self.folder))
        trial.set_user_attr(JOB, job)
        if job == len(self.jobs):
            self._add(setting.params)
        words = self.words[job]
        (self.folder / str(job) / RESULT).unlink(missing_ok=True)  # of an attempt that was interrupted
        self.running[job] = setting
        watched = self.search.spec.pruner.name != "none"
        return job, [*words, *(words_for(self.url, self.search.study, setting.number) if watched else [])]

    def batch(self) -> list[tuple[int, list[str]]]:
        """Return all jobs that may be begun now, sorted by number."""
        found = []
        while (following := self.next()) is not None:
            found.append(following)
        return sorted(found)

    def ended(self, job: int) -> None:
        """Take what a job left and tell the study."""
        setting = self.running.pop(job)
        outcome = outcome_of(self.folder / str(job), self.search.spec.objectives)
        if outcome is None:
            outcome = Outcome("failed", None, "left no result, it was killed", None)
        self.engine.tell(setting.number, outcome)
        record(self.engine, self.search, self.folder, "running", None)

    def finish(self) -> None:
        """Write the record and print it. Raises `RunFailure` where the search ended because of its failures."""
        message = None
        spec, engine = self.search.spec, self.engine
        if self.over:
            message = (
                f"{engine.failures} of {spec.trials} trials failed, more than search.max_failed={spec.max_failed:g}"
            )
        elif len(engine.counted) < spec.trials:
            few = f"only {len(engine.counted)} of {spec.trials} trials were run"
            message = f"{few}: the space has no more settings" if engine.exhausted else f"{few}: nothing new was drawn"
        found = record(engine, self.search, self.folder, "ended early" if self.over else "complete", message)
        self.console.print()
        self.console.print(shown(found))
        for line in lines(found):
            self.console.print(escape(line), highlight=False, soft_wrap=True)
        self.lock.release()
        if self.over:
            last = [trial["reason"] for trial in found["trials"] if trial["status"] == "failed"][-1]
            raise RunFailure(f"search {self.search.study}", f"{message}; the last one: {last}", "Mend it and run again")

    def _add(self, params: Mapping[str, Value]) -> None:
        words = self.search.overrides(params)
        self.words.append(words)
        self.jobs.append((words, self.search.run_of(params)))

    def _tell(self, again: Sequence[int]) -> None:
        spec, there = self.search.spec, len(self.engine.counted)
        known = f"{there} of {spec.trials} trials are there" if there else f"{spec.trials} trials"
        cut = f", {len(again)} cut short and run again" if again else ""
        wanted = ", ".join(f"{objective.direction} {objective.metric}" for objective in spec.objectives)
        told = [f"search   {self.search.study}: {known}{cut}; {wanted}; sampler {spec.sampler.name}"]
        if there >= spec.trials:
            told.append(
                "nothing  is left to run: search.trials=NUMBER goes on to a larger total, search.seed=N begins anew"
            )
        for line in told:
            self.console.print(line, highlight=False, soft_wrap=True)

    def _left_behind(self, trial: FrozenTrial) -> Outcome | None:
        """What a job had left before the process that ran the search was killed."""
        if trial.user_attrs.get(FOLDER) is None or JOB not in trial.user_attrs:
            return None
        folder = Path(trial.user_attrs[FOLDER]) / str(trial.user_attrs[JOB])
        words = set(self.search.space.words(trial.params))
        outcome = outcome_of(folder, self.search.spec.objectives, words)
        return outcome if outcome and outcome.status != "failed" else None  # what killed it may be the kill itself


def outcome_of(folder: Path, objectives: Sequence[ObjectiveSpec], words: set[str] | None = None) -> Outcome | None:
    """Read how a job ended; None where it left nothing, or something of other `words`."""
    file = folder / RESULT
    if not file.exists():
        return None
    left: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if words is not None and not words <= set(left["words"]):
        return None
    seconds = left.get("seconds")
    if left["status"] == "pruned":
        return Outcome("pruned", None, left["error"], seconds)
    if left["status"] != "finished":
        return Outcome("failed", None, left["error"], seconds)
    missing = [objective.metric for objective in objectives if objective.metric not in left["metrics"]]
    if missing:
        return Outcome("failed", None, f"it finished without {', '.join(missing)}", seconds)
    return Outcome("finished", [left["metrics"][objective.metric] for objective in objectives], None, seconds)
