"""What the user sees of jobs that run at once: a line per job in a terminal, a line per event in a file."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from rlhf.launchers.forked import LOG
from rlhf.launchers.jobs import Prepared
from rlhf.report.words import given
from rlhf.terminal import make_console

TAIL_BYTES = 4096
COLOURS = {"finished": "green", "failed": "red", "interrupted": "yellow"}


@dataclass
class Line:
    """A running job on the screen."""

    job: Prepared
    begun: float
    log: Path
    offset: int  # where its own part of the log begins


class View:
    """Shows the jobs that run; a context manager, as a live display must be taken off the screen again."""

    def __init__(self, total: int | None, shared: Collection[str] = ()) -> None:
        self.console = make_console()
        self.total, self.shared = total, shared  # words that all jobs share are not shown
        self.lines: dict[int, Line] = {}
        self.live = Live(console=self.console, auto_refresh=False, transient=True) if sys.stdout.isatty() else None

    def __enter__(self) -> View:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def say(self, text: str) -> None:
        """Tell what is being done; in a terminal it is gone when it is done."""
        if self.live and not self.lines:
            self.live.update(Text(text, style="dim"), refresh=True)

    def started(self, job: Prepared, where: str) -> None:
        """A job has been started, or handed in."""
        log = job.folder / LOG
        offset = log.stat().st_size if log.exists() else 0
        self.lines[job.number] = Line(job, time.monotonic(), log, offset)
        if not self.live:
            self.console.print(f"[dim]start[/]    {self._named(job)} ({where}) -> {log}", soft_wrap=True)

    def ended(self, job: Prepared, outcome: Mapping[str, Any], seconds: float) -> None:
        """A job has ended, in whatever way."""
        self.lines.pop(job.number, None)
        self.refresh()
        status = outcome["status"]
        colour = COLOURS.get(status, "yellow")
        why = f": {escape(outcome['error'])}" if "error" in outcome else ""
        said = f"[{colour}]{status:<8}[/] {self._named(job)} in {_clock(seconds)}{why}"
        self.console.print(said, soft_wrap=True)

    def refresh(self) -> None:
        """Show how far each job is by the last line of its log."""
        if self.live:
            rows = []
            for line in self.lines.values():
                text = (
                    f"  {self._named(line.job)}  [dim]{_clock(time.monotonic() - line.begun)}  {escape(_last(line))}[/]"
                )
                row = Text.from_markup(text)
                row.truncate(self.console.width, overflow="ellipsis")
                rows.append(row)
            self.live.update(Group(*rows), refresh=True)

    def _named(self, job: Prepared) -> str:
        of_all = f" of {self.total}" if self.total else ""
        own = " ".join(word for word in given(job.words) if word not in self.shared)
        return f"job {job.number + 1}{of_all} [bold]{escape(own)}[/]"


def _last(line: Line) -> str:
    """The last line that a job has printed."""
    try:
        with line.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(line.offset, size - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    told = [part.strip() for part in text.splitlines() if part.strip()]
    return told[-1] if told else ""


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
