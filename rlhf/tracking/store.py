"""The MLflow store behind the tracker, and the only file that imports mlflow.

Everything written here is idempotent (MLflow drops a metric point that it already has, tags and artifacts overwrite),
so the same events may be applied twice after a failure and count once.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.errors import UserError
from rlhf.tracking.masking import mask_text
from rlhf.tracking.names import KEY_LIMIT, PARAM_LIMIT, TAG_LIMIT, cut, metric_key
from rlhf.tracking.reach import Refused, StoreDown, knock, set_up_whole, setup_turn
from rlhf.tracking.run_info import RunInfo

if TYPE_CHECKING:
    from mlflow import MlflowClient

Event = dict[str, Any]  # {"kind": metrics|params|tags|text|file|dataset|end, ...}, plain JSON
LOCAL_ID = "rlhf.local_id"  # the id a run has before the store knows it
AT_ONCE = (LOCAL_ID, "role", "sweep_id", "built_for", "rlhf.pid", "rlhf.host", "rlhf.boot", "rlhf.process_started")
VIEW = "mlflow.sharedViewState."  # begins the experiment's tags that are views
METRICS_PER_CALL, PARAMS_PER_CALL = 1000, 100

log = logging.getLogger("rlhf.tracking")
_writing = threading.RLock()  # held around every call into mlflow; a fork waits for it and inherits no half-done call
os.register_at_fork(before=_writing.acquire, after_in_parent=_writing.release, after_in_child=lambda: _after_fork())
_engines: list[Any] = []


def _after_fork() -> None:
    """A forked child keeps no connection of its parent: two processes on one database connection corrupt it."""
    _writing.release()
    for engine in _engines:
        engine.dispose(close=False)


class Store:
    """One MLflow store and one experiment in it. Every method raises `StoreDown` when the store doesn't answer."""

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri, self.experiment = uri, experiment
        self.experiment_id = ""
        self.database = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
        self._inode: int | None = None
        self._client: MlflowClient | None = None

    def connect(self) -> MlflowClient:
        """The client, once database and experiment exist; processes of this host take turns at making them."""
        with self._guard():
            if self._client is None or not self.database:
                knock(self.uri, self.database)  # a server that went away is noticed before MLflow's own retries
            if self._client is None:
                with setup_turn(self.uri, self.database):
                    self._client = self._open()
            if self.database:
                inode = self.database.stat().st_ino if self.database.exists() else None
                if self._inode not in (None, inode):
                    raise StoreDown(f"{self.database} was removed or replaced")
                self._inode = inode
            return self._client

    def create_run(self, name: str, started: int, tags: Mapping[str, str]) -> str:
        """A new run's id; a run that was made before with the same `rlhf.local_id` is found again instead."""
        client = self.connect()
        with self._guard():
            found = self._search({LOCAL_ID: tags[LOCAL_ID]}, None) if LOCAL_ID in tags else []
            if found:
                return str(found[0].info.run_id)
            known = {key: value for key, value in tags.items() if key in AT_ONCE}  # found and closed after a kill
            return str(client.create_run(self.experiment_id, started, known, name).info.run_id)

    def has_run(self, run_id: str) -> bool:
        """Whether the store knows the run, deleted or not."""
        return self._lifecycle(run_id) is not None

    def was_deleted(self, run_id: str) -> bool:
        """Whether the store knows the run as deleted."""
        return self._lifecycle(run_id) == "deleted"

    def delete_runs(self, run_ids: Sequence[str]) -> list[str]:
        """Delete runs by their id, or by the local id they had before the store knew them; which were deleted.

        The store keeps a deleted run and can restore it; it is closed first, so that it doesn't come back as RUNNING.
        """
        client = self.connect()
        deleted: list[str] = []
        for run_id in run_ids:
            found = [run_id] if self._lifecycle(run_id) else [run.id for run in self.runs({LOCAL_ID: run_id}, None)]
            for own_id in found:
                if not self.was_deleted(own_id):
                    with self._guard():
                        if client.get_run(own_id).info.status == "RUNNING":
                            client.set_terminated(own_id, status="FAILED")
                        client.delete_run(own_id)
                    deleted.append(own_id)
        return deleted

    def _lifecycle(self, run_id: str) -> str | None:
        from mlflow.exceptions import MlflowException

        client = self.connect()
        with self._guard():
            try:
                return str(client.get_run(run_id).info.lifecycle_stage)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise

    def apply(self, run_id: str, events: Sequence[Event]) -> None:
        """Write events; what the store refuses for good (a param given two values) is dropped with a warning."""
        from mlflow.entities import Metric, Param, RunTag

        client = self.connect()
        metrics: list[Any] = []
        params: list[Any] = []
        tags: list[Any] = []
        rest: list[Event] = []
        for event in events:
            if event["kind"] == "metrics":
                for key, value in event["values"].items():
                    metrics.append(Metric(metric_key(key), value, event["time"], event["step"]))
            elif event["kind"] == "params":
                params += [Param(cut(k, KEY_LIMIT), cut(v, PARAM_LIMIT)) for k, v in event["values"].items()]
            elif event["kind"] == "tags":
                tags += [RunTag(cut(k, KEY_LIMIT), cut(v, TAG_LIMIT)) for k, v in event["values"].items()]
            else:
                rest.append(event)
        for name, items, size in (
            ("params", params, PARAMS_PER_CALL),
            ("tags", tags, PARAMS_PER_CALL),
            ("metrics", metrics, METRICS_PER_CALL),
        ):
            for start in range(0, len(items), size):
                self._batch(client, run_id, name, items[start : start + size])
        for event in rest:
            with self._drop_refused(event["kind"]), self._guard():
                _apply_other(client, run_id, event)

    def save_view(self, name: str, state: Mapping[str, Any]) -> None:
        """Keep a state of the UI's page of runs, where its links `?viewStateShareKey=name` look for it."""
        client = self.connect()
        with self._guard():
            client.set_experiment_tag(self.experiment_id, f"{VIEW}{name}", json.dumps(state))

    def runs(self, tags: Mapping[str, str], status: str | None) -> list[RunInfo]:
        """Runs of this experiment that carry all these tags (and have this status, if given), newest first."""
        self.connect()
        with self._guard():
            return [_info(run) for run in self._search(tags, status)]

    def by_prefix(self, prefix: str) -> list[RunInfo]:
        """Runs of any experiment whose id begins so, as far as they were not deleted."""
        client = self.connect()
        with self._guard():
            everywhere = [found.experiment_id for found in client.search_experiments()]
            return [_info(run) for run in self._search({}, None, everywhere) if run.info.run_id.startswith(prefix)]

    def release(self) -> None:
        """Let go of pooled connections, so that a process may be forked without sharing them."""
        with self._guard():
            engine = self._engine()
            if engine is not None:
                engine.dispose()

    def _batch(self, client: MlflowClient, run_id: str, name: str, items: list[Any]) -> None:
        """One `log_batch`; where it is refused, item by item, so that a bad one takes no neighbours along."""
        if len(items) > 1:
            with contextlib.suppress(Refused), self._guard():  # what is refused goes on below, item by item
                client.log_batch(run_id, synchronous=True, **{name: items})
                return
        for item in items:
            with self._drop_refused(f"{name} {item.key}"), self._guard():
                client.log_batch(run_id, synchronous=True, **{name: [item]})

    def _search(
        self, tags: Mapping[str, str], status: str | None, experiments: Sequence[str] | None = None
    ) -> list[Any]:
        assert self._client is not None
        simple = {key: value for key, value in tags.items() if "'" not in value}  # its filters know no escape
        words = [f"tags.`{key}` = '{value}'" for key, value in simple.items()]
        words += [f"attributes.status = '{status}'"] if status else []
        found: list[Any] = []
        token: str | None = None
        while token is None or token:
            where = [self.experiment_id] if experiments is None else list(experiments)
            page = self._client.search_runs(where, " and ".join(words), max_results=1000, page_token=token)
            found += page
            token = page.token or ""
        return [run for run in found if tags.items() <= run.data.tags.items()]

    def _open(self) -> MlflowClient:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "true"
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # we try again ourselves
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        for name in ("mlflow.store.db.utils", "mlflow.store.tracking.sqlalchemy_store"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # it prints a traceback for what we report in one line
        logging.getLogger("alembic").setLevel(logging.WARNING)
        if self.database:
            set_up_whole(self.database, lambda uri: MlflowClient(tracking_uri=uri).search_experiments(max_results=1))
        client = MlflowClient(tracking_uri=self.uri)
        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            home = re.sub(r"[^\w.-]+", "_", self.experiment)
            folder = (self.database.parent / "mlruns" / home).as_uri() if self.database else None
            try:
                self.experiment_id = client.create_experiment(self.experiment, artifact_location=folder)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                made = client.get_experiment_by_name(self.experiment)
                assert made is not None, "it was said to exist"
                self.experiment_id = made.experiment_id
        elif found.lifecycle_stage == "deleted":
            raise UserError(
                "tracking.experiment",
                f"'{self.experiment}' was deleted in the MLflow UI",
                "Restore it there or choose another name",
            )
        else:
            self.experiment_id = found.experiment_id
        self._client = client
        engine = self._engine()
        if engine is not None and engine not in _engines:
            _engines.append(engine)
        return client

    def _engine(self) -> Any:
        """SQLAlchemy's engine where the store is a database, else None."""
        return getattr(self._client._tracking_client.store, "engine", None) if self._client else None

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Serialise calls, and sort what goes wrong into refused for good and not now."""
        try:
            with _writing:
                yield
        except (StoreDown, Refused, UserError):
            raise
        except Exception as error:
            code = getattr(error, "error_code", "")
            problem = mask_text(str(error)).splitlines()
            line = problem[0] if problem else type(error).__name__
            if code == "INVALID_PARAMETER_VALUE" or isinstance(error, FileNotFoundError):
                raise Refused(line) from error
            raise StoreDown(line) from error

    @contextlib.contextmanager
    def _drop_refused(self, what: str) -> Iterator[None]:
        try:
            yield
        except Refused as error:
            log.warning("tracking: the store refused %s (%s); training goes on without it", what, error)


def _info(run: Any) -> RunInfo:
    return RunInfo(
        id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        started=run.info.start_time,
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
    )


def _apply_other(client: MlflowClient, run_id: str, event: Event) -> None:
    if event["kind"] == "text":
        client.log_text(run_id, event["content"], event["name"])
    elif event["kind"] == "file":
        client.log_artifact(run_id, event["path"], event["folder"])
    elif event["kind"] == "dataset":
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=event["name"],
            digest=event["fingerprint"][:36],
            source_type="local",
            source=json.dumps({"name": event["name"]}),
            profile=json.dumps(event["counts"]),
        )
        client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    else:
        assert event["kind"] == "end", event["kind"]
        client.set_terminated(run_id, status=event["status"], end_time=event["time"])
