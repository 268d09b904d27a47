"""Where runs are recorded: MLflow behind a buffer that never stops training, or nothing (`tracking=none`).

    prepare_store(spec)                      # once, before any job starts
    tracker = open_tracker(spec, folder)
    run = tracker.start_run("dpo-tiny_gpt2", role="job", tags={"sweep_id": "..."}, params=config)
    run.metrics({"loss": 0.69}, step=1)      # a few microseconds; a thread of ours writes to the store
    run.end("FINISHED")

While the store is down, records go to `<folder>/spool/*.jsonl`; `deliver_spool` brings them in later, in order and
once.
Only `store.py` imports mlflow, and only when a run starts.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.tracking import channel
from rlhf.tracking.names import resolve_uri
from rlhf.tracking.null import NullRun, NullTracker
from rlhf.tracking.run_info import RunInfo
from rlhf.tracking.store import Store, StoreDown
from rlhf.tracking.surroundings import process_gone
from rlhf.tracking.tracker import TrackedRun, Tracker

if TYPE_CHECKING:
    from rlhf.config import TrackingSpec

__all__ = [
    "NullRun", "NullTracker", "RunInfo", "TrackedRun", "Tracker", "deliver_spool", "open_tracker", "prepare_store",
]  # fmt: skip
log = logging.getLogger("rlhf.tracking")


def open_tracker(spec: TrackingSpec, folder: Path) -> Tracker | NullTracker:
    """The tracker that `spec` asks for; `folder` takes the spool. A malformed address is a `UserError`."""
    return NullTracker() if spec.name == "none" else Tracker(spec, folder)


def prepare_store(spec: TrackingSpec) -> None:
    """Create database and experiment, so that jobs may start together. A store that is down is only a warning."""
    if spec.name == "none":
        return
    store = Store(resolve_uri(spec), spec.experiment)
    try:
        store.connect()
        store.release()
    except StoreDown as error:
        log.warning(
            "tracking: the store does not answer (%s). Runs will keep their records in their own folders", error
        )


def deliver_spool(spec: TrackingSpec, folder: Path) -> int:
    """Bring in what runs under `folder` (any depth) had to keep to themselves; how many runs were delivered whole.

    Files of runs that are still being written are left alone, as are all others while the store is down.
    """
    files = [] if spec.name == "none" else sorted(folder.rglob("spool/*.jsonl"))
    whole = [file for file in files if _complete(file)]
    if not whole:
        return 0
    store = Store(resolve_uri(spec), spec.experiment)
    try:
        store.connect()
    except StoreDown as error:
        where = whole[0] if len(whole) == 1 else f"{folder} ({len(whole)} runs)"
        log.warning("tracking: records wait in %s, the store does not answer (%s)", where, error)
        return 0
    delivered = 0
    for file in whole:
        try:
            header = channel.read_spool(file)[0]
            channel.deliver(file, store)
            delivered += 1
            if process_gone(header["tags"]):  # or it may be about to write there
                channel.remove_empty(file.parent)
        except FileNotFoundError:  # another job that starts now was quicker
            continue
        except StoreDown as error:
            log.warning("tracking: records wait in %s (%s)", file, error)
    return delivered


def _complete(file: Path) -> bool:
    """Whether a spool file is to be delivered now: nobody writes to it any more. A killed run's gets its end here."""
    try:
        lines = channel.read_spool(file)
        if lines and lines[0].get("kind") != "run":
            log.warning("tracking: %s lost its first line and cannot be delivered", file)
            return False
        if not lines or not channel.abandoned(lines):
            return False
        if not any(line["kind"] == "end" for line in lines):
            channel.append_failed_end(file)
    except FileNotFoundError:  # another process has just delivered it
        return False
    return True
