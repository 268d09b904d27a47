"""The way of a run's events from the training thread to the store, or to a spool file while the store is down.

`put` only appends to a queue. One background thread per tracker (`Writer`) empties the queues every few seconds; it
lives only while something is queued, so that a process that waits for others can be forked with no thread. A channel
that failed writes to `<folder>/spool/<id>.jsonl` (first line: the run itself) and tries now and then to
deliver that file; `deliver` is the same step for files that earlier processes left.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlhf.tracking.names import as_number
from rlhf.tracking.store import Event, Store, StoreDown
from rlhf.tracking.surroundings import process_gone, process_tags

RETRY_AFTER = (0.2, 1.0)  # seconds before the second and the third try of one write
REDELIVER_SECONDS = 30.0  # how long a spooling run waits before it knocks again
END_SECONDS = 60.0  # how long the end of a run waits for a store that hangs
SLICE = 1000  # events delivered between two notes of how far we are
WAKE_AT = 5000  # queued events that wake the writer early

log = logging.getLogger("rlhf.tracking")


class Channel:
    """One run's events in order. `header` is what creates the run: name, started, tags, and run_id once known."""

    def __init__(self, store: Store, spool: Path, header: dict[str, Any]) -> None:
        self.store, self.header = store, header
        self.spool = spool / f"{header['local_id']}.jsonl"
        self.spooling = header["run_id"] is None
        self.closed = threading.Event()
        self._pending: deque[Event] = deque()
        self._in_flight: list[Event] = []
        self._next_try = time.monotonic() + REDELIVER_SECONDS
        self._turn = threading.Lock()
        self._nonfinite: dict[str, str] = {}
        self._warned = False
        self.notify: Callable[[int], None] = lambda count: None  # told of each event, with the number queued

    @property
    def waiting(self) -> bool:
        """Whether something is queued."""
        return bool(self._pending)

    def put(self, event: Event) -> None:
        """Queue an event. The only part that runs in the training thread."""
        self._pending.append(event)
        self.notify(len(self._pending))

    def flush(self) -> None:
        """Write what is queued to the store, else to the spool file. Never raises; runs in the writer's thread."""
        with self._turn:
            while self._pending:
                self._in_flight.append(self._pending.popleft())
            batch = self._prepare(self._in_flight)
            ends = any(event["kind"] == "end" for event in batch)
            if self.spooling:
                self._to_spool(batch)
                if self.spool.exists() and (ends or time.monotonic() > self._next_try):
                    self._next_try = time.monotonic() + REDELIVER_SECONDS
                    with contextlib.suppress(StoreDown):
                        self.header["run_id"] = deliver(self.spool, self.store)
                        self.spooling = False
            elif batch:
                self._write(batch)
            self._in_flight.clear()
            if ends:
                self._finish()

    def close(self, status: str, wake: Callable[[], None]) -> None:
        """Put everything and the run's end into store or spool file; waits for a hanging store at most a minute."""
        try:
            self.put({"kind": "end", "status": status, "time": int(time.time() * 1000)})
            wake()
        except RuntimeError:  # no thread can be started any more: the interpreter is going down
            self.flush()
        if not self.closed.wait(END_SECONDS):
            self._to_spool(self._prepare([*self._in_flight, *self._pending]))  # twice delivered counts once
            self._finish()

    def _write(self, batch: list[Event]) -> None:
        for pause in (*RETRY_AFTER, None):
            try:
                self.store.apply(str(self.header["run_id"]), batch)
                break
            except StoreDown as error:
                if pause is None:
                    self.spooling = True
                    self.warn(str(error))
                    self._to_spool(batch)
                else:
                    time.sleep(pause)
        if not self.spooling:
            discard_files(batch)

    def warn(self, problem: str) -> None:
        """Say once that the store is down and where the records go meanwhile."""
        if not self._warned:
            self._warned = True
            log.warning(
                "tracking: the store does not answer (%s). Training goes on; records go to %s and are delivered later",
                problem,
                self.spool,
            )

    def _prepare(self, events: Sequence[Event]) -> list[Event]:
        """Values as floats, and a tag for the first NaN or infinity of each metric (the UI draws neither)."""
        batch: list[Event] = []
        fresh = False
        for event in events:
            if event["kind"] == "metrics":
                event = event | {"values": {key: as_number(value) for key, value in event["values"].items()}}
                for key, value in event["values"].items():
                    if value - value != 0 and key not in self._nonfinite:
                        self._nonfinite[key] = f"{key}={value} at step {event['step']}"
                        fresh = True
            batch.append(event)
        if fresh:
            batch.insert(0, {"kind": "tags", "values": {"nonfinite": "; ".join(self._nonfinite.values())}})
        return batch

    def _to_spool(self, batch: Sequence[Event]) -> None:
        """Append whole lines; a disk that refuses loses the records and says so, as nothing better is left."""
        try:
            self.spool.parent.mkdir(parents=True, exist_ok=True)
            lines = [] if self.spool.exists() else [self.header]
            with self.spool.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in [*lines, *batch])
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            log.error("tracking: %d records are lost, %s can't be written (%s)", len(batch), self.spool, error)

    def _finish(self) -> None:
        if self.spool.exists() and not self.closed.is_set():
            log.warning("tracking: the records of run '%s' wait in %s for the store", self.header["name"], self.spool)
        remove_empty(self.spool.parent)
        self.closed.set()


class Writer:
    """Empties the channels of one tracker every `flush_seconds`, in a thread that lives while something is queued."""

    def __init__(self, flush_seconds: float) -> None:
        self._seconds = flush_seconds
        self._channels: list[Channel] = []
        self._wake = threading.Event()
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, channel: Channel) -> None:
        """Take care of a channel until it is closed."""
        with self._turn:
            self._channels.append(channel)
        channel.notify = self._queued
        if channel.waiting:
            self._queued(0)

    def wake(self) -> None:
        """Flush now rather than at the next turn."""
        self._wake.set()

    def settle(self) -> None:
        """Flush what is queued and wait until the thread is gone; a store that hangs is waited for at most a minute."""
        thread = self._thread
        if thread is not None:
            self._wake.set()
            thread.join(END_SECONDS)

    def _queued(self, count: int) -> None:
        with self._turn:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._loop, name="rlhf-tracking", daemon=True)
                thread.start()
                self._thread = thread
        if count >= WAKE_AT:
            self._wake.set()

    def _loop(self) -> None:
        while True:
            self._wake.wait(self._seconds)
            self._wake.clear()
            for channel in list(self._channels):
                try:
                    channel.flush()
                except Exception as error:  # this thread must outlive whatever a library throws
                    log.exception("tracking: a flush failed: %s", error)
                    channel.spooling = True
            with self._turn:  # what is queued from here on starts a new thread
                self._channels = [channel for channel in self._channels if not channel.closed.is_set()]
                if not any(channel.waiting for channel in self._channels):
                    self._thread = None
                    return


def deliver(spool: Path, store: Store) -> str:
    """Write one spool file to the store, in order and from where an earlier try stopped, then remove it; the run's id.

    Raises `StoreDown` when the store fails again, or while another process delivers the same file; the file stays.
    `FileNotFoundError` when another process has just delivered it.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(spool.with_suffix(".lock"), timeout=0) as lock:
            try:
                return _deliver(spool, store)
            finally:
                Path(lock.lock_file).unlink(missing_ok=True)
    except Timeout as error:
        raise StoreDown("another process delivers these records now") from error


def _deliver(spool: Path, store: Store) -> str:
    header, *events = read_spool(spool)
    run_id = header["run_id"]
    if superseded := [event["run_id"] for event in events if event["kind"] == "superseded"]:
        store.delete_runs(superseded)
        spool.unlink()
        return str(superseded[0])
    if run_id is not None and store.was_deleted(run_id):  # superseded, or thrown away by hand
        spool.unlink()
        discard_files(events)
        return str(run_id)
    if run_id is None or not store.has_run(run_id):
        run_id = store.create_run(header["name"], header["started"], header["tags"])
        store.apply(run_id, [{"kind": "tags", "values": header["tags"]}])
    mark = spool.with_suffix(".delivered")
    done = int(mark.read_text()) if mark.exists() else 0
    for start in range(done, len(events), SLICE):
        store.apply(run_id, events[start : start + SLICE])
        mark.write_text(str(min(start + SLICE, len(events))))
    spool.unlink()
    mark.unlink(missing_ok=True)
    discard_files(events)
    return str(run_id)


def note_superseded(folder: Path, run_ids: Sequence[str]) -> None:
    """Leave word in a spool's folder that runs are to be deleted. It is delivered after their own records: by name."""
    folder.mkdir(parents=True, exist_ok=True)
    header = {"kind": "run", "run_id": None, "name": "superseded", "tags": process_tags(os.getpid())}
    for run_id in run_ids:
        lines = (header, {"kind": "superseded", "run_id": run_id}, {"kind": "end"})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"superseded-{run_id}.jsonl").write_text(text, encoding="utf-8")


def read_spool(spool: Path) -> list[Event]:
    """The lines of a spool file; a last line that a kill cut in half is left out."""
    lines: list[Event] = []
    for line in spool.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            log.warning("tracking: %s has a broken line, it is left out", spool)
    return lines


def abandoned(events: Sequence[Event]) -> bool:
    """Whether nobody will write to the spool file any more: its run ended, or its process is gone."""
    return any(event.get("kind") == "end" for event in events[1:]) or process_gone(events[0]["tags"])


def discard_files(events: Sequence[Event]) -> None:
    """Remove our copies of the files that are now in the artifact store."""
    for event in events:
        if event["kind"] == "file":
            file = Path(event["path"])
            file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                file.parent.rmdir()


def remove_empty(folder: Path) -> None:
    """Remove a spool's folder once nothing waits in it: where a run ends, and nobody is about to write there."""
    for empty in (folder / "files", folder):
        with contextlib.suppress(OSError):
            empty.rmdir()


def append_failed_end(spool: Path) -> None:
    """Close the record of a run whose process was killed: it failed when the file was last written."""
    when = int(spool.stat().st_mtime * 1000)
    whole = spool.read_text(encoding="utf-8").endswith("\n")
    with spool.open("a", encoding="utf-8") as file:
        file.write(("" if whole else "\n") + json.dumps({"kind": "end", "status": "FAILED", "time": when}) + "\n")
