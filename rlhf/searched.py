"""What surrounds a search: the sweep that it is to the tracker and the report, its jobs becoming known one by one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console

from rlhf.launchers.search import hand_over
from rlhf.launchers.task import Task
from rlhf.search.check import Search
from rlhf.search.drive import Drive, folder_of
from rlhf.search.study import open_storage
from rlhf.sweep import Sweep
from rlhf.unfinished import ROOT, Record, read


class SearchSweep(Sweep):
    """A sweep whose jobs are those of a search; trials that failed or were pruned are not run again."""

    goes_on = False

    def __init__(self, search: Search, words: Sequence[str], console: Console, resumed: Path | None) -> None:
        """Begin a search, or go on with the one in the folder `resumed`, or with the same one of this place."""
        if search.spec.storage is not None:
            open_storage(search.spec.storage)  # before there is a folder: one that can't be reached leaves none
        found = resumed or folder_of(search, ROOT)
        record = (read(found) if found else None) or Record(
            uuid.uuid4().hex[:12], list(words), time.time(), "", search.spec.trials, search.study, None
        )
        record.words, record.jobs = list(words), search.spec.trials  # of the newest command: it may ask for more trials
        record.search = {"name": search.spec.name, "study": search.study}
        self._begin([], console, record, found, search.runs[0][1])
        self.drive = Drive(search, self.folder, console)
        self.jobs = self.drive.jobs

    def __enter__(self) -> SearchSweep:
        """Say where it is; the search says how far it is."""
        goes_on = " goes on" if self.resumed else ""
        self.console.print(f"sweep [bold]{self.id}[/]{goes_on}: a search -> {self.folder}", highlight=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Report as every sweep does. Failed trials are no failure of a search, unless they end it."""
        super().__exit__(kind, error, trace)
        self.exit_code = 0

    def _report(self, outcomes: list[dict[str, Any]]) -> None:
        if outcomes:
            super()._report(outcomes)


def run_search(
    search: Search,
    words: list[str],
    added: list[str],
    console: Console,
    resumed: Path | None,
    hydra: Callable[[list[str], Any], int],
) -> int:
    """Run a search with `hydra`, which takes words of a command line and a job; returns the exit code.

    `added` are the words that make Hydra search; they are no part of the command that is written down.
    """
    with SearchSweep(search, words, console, resumed) as sweep:
        hand_over(sweep.drive)
        task = Task(sweep.drive.words, sweep.id, words, search.spec.trials)
        hydra([*words, *added, f"hydra.sweep.dir={sweep.folder}"], task)
    return sweep.exit_code
