"""Runs as the rest of the framework sees them: start one, give it numbers and files, end it. See `rlhf.tracking`."""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from rlhf.errors import RunFailure
from rlhf.tracking import channel as channels
from rlhf.tracking.masking import flatten, mask_settings, mask_text, mask_value
from rlhf.tracking.names import as_text, resolve_uri, ui_base, ui_command
from rlhf.tracking.reach import Refused, StoreDown
from rlhf.tracking.run_info import RunInfo
from rlhf.tracking.store import LOCAL_ID, Store
from rlhf.tracking.surroundings import process_gone, process_tags, surroundings

if TYPE_CHECKING:
    from rlhf.config import TrackingSpec

log = logging.getLogger("rlhf.tracking")
Status = Literal["FINISHED", "FAILED", "KILLED"]


class Tracker:
    """Records runs in one MLflow experiment. `folder` takes the spool while the store is down."""

    def __init__(self, spec: TrackingSpec, folder: Path) -> None:
        self.uri = resolve_uri(spec)
        self.folder = folder
        self.store = Store(self.uri, spec.experiment)
        self._writer = channels.Writer(spec.flush_seconds)

    def start_run(
        self, name: str, *, role: str, tags: Mapping[str, str], params: Mapping[str, Any], of_another: bool = False
    ) -> TrackedRun:
        """A new run, in the store if it answers, else in the spool until it does. `role` is job, stage or summary.

        Nested `params` become dotted keys. Code version, command line, packages and hardware are tagged without asking;
        of a run `of_another` process only who holds it now is. A run with the same tag `rlhf.local_id`, where the
        caller gives one, is gone on with.
        """
        local_id = uuid.uuid4().hex
        own = (process_tags(os.getpid()) if of_another else surroundings()) | {"role": role, LOCAL_ID: local_id}
        header: dict[str, Any] = {
            "kind": "run",
            "local_id": local_id,
            "run_id": None,
            "name": name,
            "started": int(time.time() * 1000),
            "tags": own | {key: mask_value(key, str(value)) for key, value in tags.items()},
        }
        problem = ""
        try:
            header["run_id"] = self.store.create_run(name, header["started"], header["tags"])
        except StoreDown as error:
            problem = str(error)
        channel = channels.Channel(self.store, self.folder / "spool", header)
        if problem:
            channel.warn(problem)
        run = TrackedRun(self, channel, self._writer)
        run.tags(header["tags"])
        run.params(params)
        self._writer.add(channel)
        self._writer.wake()
        return run

    def settle(self) -> None:
        """Write what is queued and end our thread, so that this process may be forked; the next record starts it."""
        self._writer.settle()

    def supersede(self, run_ids: Sequence[str]) -> list[str]:
        """Delete runs (the UI can restore them) that a new attempt replaces; the ids of those deleted. Never raises.

        A run that never reached the store under its own id is found by the local id that it had. While the store is
        down, they are deleted when our records are delivered.
        """
        replaced = [run_id for run_id in run_ids if run_id]
        if not replaced:
            return []
        try:
            return self.store.delete_runs(replaced)
        except StoreDown as error:
            log.warning("tracking: the runs of earlier attempts are still shown (%s)", error)
            channels.note_superseded(self.folder / "spool", replaced)
            return []

    def run_url(self, run_id: str) -> str:
        """The run's page in the UI."""
        return f"{ui_base(self.uri)}/#/experiments/{self.store.experiment_id or 0}/runs/{run_id}"

    def compare_url(self, run_ids: Sequence[str], name: str = "", view: Mapping[str, Any] | None = None) -> str:
        """The UI's page that compares these runs: its saved view `name`, where one is given and the store answers."""
        if view is not None:
            try:
                self.store.save_view(name, view)
                home = f"{ui_base(self.uri)}/#/experiments/{self.store.experiment_id}/runs"
                return f"{home}?viewStateShareKey={quote(name)}&compareRunsMode=CHART"
            except (StoreDown, Refused) as error:
                log.warning("tracking: the view of charts was not saved (%s)", error)
        runs, experiments = (quote(json.dumps(ids), safe="") for ids in (list(run_ids), [self.store.experiment_id]))
        return f"{ui_base(self.uri)}/#/compare-runs?runs={runs}&experiments={experiments}"

    @property
    def ui_command(self) -> str:
        """What to type in order to browse the runs."""
        if self.uri.startswith("http"):
            return f"open {ui_base(self.uri)}"
        return ui_command(None if mask_text(self.uri) != self.uri else self.uri)

    def find(self, tags: Mapping[str, str]) -> list[RunInfo]:
        """Runs of the experiment with all these tags, newest first; `RunFailure` when the store doesn't answer."""
        try:
            return self.store.runs(tags, None)
        except StoreDown as error:
            raise RunFailure(mask_text(self.uri), str(error), "Start the store, or check tracking.uri") from error

    def by_prefix(self, prefix: str) -> list[RunInfo]:
        """Runs of any experiment whose id begins so; `RunFailure` when the store doesn't answer."""
        try:
            return self.store.by_prefix(prefix)
        except StoreDown as error:
            raise RunFailure(mask_text(self.uri), str(error), "Start the store, or check tracking.uri") from error

    def add_metrics(self, run_id: str, values: Mapping[str, float]) -> None:
        """Give a run of an earlier job numbers, unless this store does not know it, has it deleted, or is down."""
        event = {"kind": "metrics", "values": dict(values), "step": 0, "time": int(time.time() * 1000)}
        try:
            if self.store.has_run(run_id) and not self.store.was_deleted(run_id):
                self.store.apply(run_id, [event])
        except StoreDown as error:
            log.warning("tracking: the numbers of run %s were not recorded there (%s)", run_id, error)

    def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Label a run of an earlier job, unless this store does not know it, has it deleted, or is down."""
        try:
            if self.store.has_run(run_id) and not self.store.was_deleted(run_id):
                self.store.apply(run_id, [{"kind": "tags", "values": dict(tags)}])
        except StoreDown as error:
            log.warning("tracking: run %s was not linked (%s)", run_id, error)

    def close_zombies(self, killed: Collection[str] = ()) -> list[str]:
        """Mark runs FAILED that are RUNNING by their record while their process is gone; their ids.

        That is so where it ran on this host and has ended, and of stages that were built for the runs `killed`.
        """
        closed: list[str] = []
        try:
            for run in self.store.runs({}, "RUNNING"):
                if process_gone(run.tags) or run.tags.get("built_for") in killed:
                    note = {"closed": f"process {run.tags['rlhf.pid']} ended without closing this run"}
                    end = {"kind": "end", "status": "FAILED", "time": int(time.time() * 1000)}
                    self.store.apply(run.id, [{"kind": "tags", "values": note}, end])
                    closed.append(run.id)
        except StoreDown as error:
            log.warning("tracking: runs left over by a kill could not be closed (%s)", error)
        return closed


class TrackedRun:
    """One run. Every method returns at once and none raises: what goes wrong is logged, training goes on."""

    def __init__(self, tracker: Tracker, channel: channels.Channel, writer: channels.Writer) -> None:
        self._tracker, self._channel, self._writer = tracker, channel, writer
        self._pid = os.getpid()
        self._tables: list[str] = []
        atexit.register(self._abandon)

    @property
    def id(self) -> str:
        """The store's run id; a local id as long as the store hasn't been reached."""
        return str(self._channel.header["run_id"] or self._channel.header["tags"][LOCAL_ID])

    @property
    def url(self) -> str:
        """The run's page in the UI."""
        return self._tracker.run_url(self.id)

    def metrics(self, values: Mapping[str, float], step: int | None) -> None:
        """Numbers at a training step (None: of the whole run). Queued; NaN and infinity are recorded and tagged."""
        event = {"kind": "metrics", "values": dict(values), "step": int(step or 0), "time": int(time.time() * 1000)}
        self._channel.put(event)

    def params(self, values: Mapping[str, Any]) -> None:
        """Settings, nested or flat; secrets are masked, long values cut with a note."""
        self._words("params", flatten(values))

    def tags(self, values: Mapping[str, str]) -> None:
        """Labels; a later value replaces an earlier one."""
        self._words("tags", values)

    def text(self, name: str, content: str) -> None:
        """A text artifact, such as the resolved `config.yaml`; secrets are masked."""
        masked = mask_settings(content) if name.endswith((".yaml", ".yml", ".json", ".toml")) else mask_text(content)
        self._channel.put({"kind": "text", "name": name, "content": masked})

    def file(self, path: Path, folder: str | None = None) -> None:
        """A small file as artifact. It is copied now, so it may change or go afterwards."""

        def keep() -> None:
            copy = self._tracker.folder / "spool" / "files" / uuid.uuid4().hex / Path(path).name
            copy.parent.mkdir(parents=True)
            shutil.copyfile(path, copy)
            self._channel.put({"kind": "file", "path": str(copy), "folder": folder})

        self._try(f"file {path}", keep)

    def figure(self, path: Path) -> None:
        """A rendered plot, shown under `figures/`."""
        self.file(path, "figures")

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        """A table that the UI's evaluation page shows, as `<name>.json`."""

        def keep() -> None:
            file = name if name.endswith(".json") else f"{name}.json"
            cells = [[None if isinstance(x, float) and not math.isfinite(x) else x for x in row] for row in rows]
            content = json.dumps({"columns": columns, "data": cells}, default=str, ensure_ascii=False)
            self._channel.put({"kind": "text", "name": file, "content": mask_text(content)})
            if file not in self._tables:
                self._tables.append(file)
            shown = json.dumps([{"path": table, "type": "table"} for table in self._tables])
            self._channel.put({"kind": "tags", "values": {"mlflow.loggedArtifacts": shown}})

        self._try(f"table {name}", keep)

    def dataset(self, name: str, fingerprint: str, counts: Mapping[str, int]) -> None:
        """The data by name and hash (MLflow keeps 36 characters, the tag keeps all), with its row counts."""
        self._channel.put({"kind": "dataset", "name": name, "fingerprint": fingerprint, "counts": dict(counts)})
        self.tags({f"dataset.{name}": fingerprint})

    def artifact_reference(self, name: str, path: Path) -> None:
        """Where a large artifact lies and what it is: path, bytes and sha256 of each file, not a copy."""

        def keep() -> None:
            files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
            names = [str(file.relative_to(path)) if file != path else file.name for file in files]
            sizes = [file.stat().st_size for file in files]
            listed = [
                {"path": part, "bytes": size, "sha256": _hash(file)}
                for part, size, file in zip(names, sizes, files, strict=True)
            ]
            content = {"name": name, "path": str(path.absolute()), "bytes": sum(sizes), "files": listed}
            self._channel.put(
                {"kind": "text", "name": f"references/{name}.json", "content": json.dumps(content, indent=1)}
            )
            self.tags({f"artifact.{name}": str(path.absolute())})

        self._try(f"reference to {path}", keep)

    def end(self, status: Status) -> None:
        """Flush everything and close the run. A second end is ignored."""
        if self._channel.closed.is_set():
            return
        atexit.unregister(self._abandon)
        self._channel.close(status, self._writer.wake)

    def _abandon(self) -> None:
        """At the interpreter's exit, a run that nobody ended has failed."""
        if os.getpid() == self._pid:
            self.end("FAILED")

    def _words(self, kind: str, values: Mapping[str, Any]) -> None:
        masked = {str(key): mask_value(str(key), as_text(value)) for key, value in values.items()}
        if masked:
            self._channel.put({"kind": kind, "values": masked})

    def _try(self, what: str, step: Callable[[], None]) -> None:
        try:
            step()
        except (OSError, ValueError, TypeError) as error:
            log.warning("tracking: %s was not recorded (%s)", what, error)


def _hash(file: Path) -> str:
    digest = sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
