"""A search's study in its storage: opened or made, known by what decides its results, its trials read as facts."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.errors import UserError, one_line
from rlhf.search.plugins import make_pruner, quiet
from rlhf.search.spec import SearchSpec

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, Trial

DATABASE = "search.db"  # in a sweep's folder, where no storage is named
LOCK_SECONDS = 120  # how long a process waits for another one's write to an sqlite file
CONNECT_SECONDS = 5  # in which a database server answers, or counts as out of reach
KEPT = {"identity": "identity", "pruner": "pruner"}  # attributes of a study
OWNER, JOB, FOLDER, REASON, SECONDS = "owner", "job", "folder", "reason", "seconds"  # of a trial
INTERRUPTED, TWIN = "interrupted", "twin_of"
ORPHANED = timedelta(minutes=1)  # a process died between drawing a trial and signing it
SCHEMES = ("sqlite:///", "postgresql://", "postgresql+psycopg://")


def storage_url(named: str | None, folder: Path) -> str:
    """Return the url of a search's storage; a file in its folder where none is named. Raises `UserError`."""
    if named is None:
        return f"sqlite:///{(folder / DATABASE).resolve()}"
    if not named.startswith(SCHEMES):
        known = "Write sqlite:///FILE or postgresql://USER@HOST/DATABASE, or search.storage=null for a file of its own"
        raise UserError("search.storage", f"{without_password(named)} is no url of a storage", known)
    if without_password(named) != named:
        raise UserError(
            "search.storage",
            "it holds a password, which would be written down with the command",
            "Leave it out and set PGPASSWORD, or put it into ~/.pgpass",
        )
    if named.startswith("sqlite:///"):
        return f"sqlite:///{Path(named.removeprefix('sqlite:///')).expanduser().resolve()}"
    return named


def without_password(url: str) -> str:
    """Return a url with its password left out."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1@", url)


def open_storage(url: str) -> RDBStorage:
    """Connect to a storage and make its tables where they are missing. Raises `UserError` where that fails."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    quiet()
    given: dict[str, Any] = {"pool_pre_ping": True}
    if url.startswith("postgresql"):
        given["connect_args"] = {"connect_timeout": CONNECT_SECONDS}  # else an address that swallows all is waited for
    if url.startswith("sqlite"):
        given = {"connect_args": {"timeout": LOCK_SECONDS}}
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    try:
        return RDBStorage(url, engine_kwargs=given)
    except (ImportError, ModuleNotFoundError):
        remedy = "Run `pip install -c constraints.txt -e '.[postgres]'`"
        raise UserError("search.storage", "psycopg is not installed", remedy) from None
    except (SQLAlchemyError, ArgumentError, RuntimeError, AssertionError) as error:
        remedy = "Check that it runs, that the database exists and that you may write to it"
        cause = getattr(error, "orig", None) or error  # the driver's own words, without SQLAlchemy's around them
        raise UserError(f"search.storage={url}", one_line(cause), remedy) from None


def open_study(spec: SearchSpec, url: str, name: str, identity: Mapping[str, str]) -> Study:
    """Open the study `name`, or make it. One that was made for other settings is refused as `UserError`."""
    import optuna

    study = optuna.create_study(
        storage=open_storage(url),
        study_name=name,
        directions=[objective.direction for objective in spec.objectives],
        pruner=make_pruner(spec.pruner),
        load_if_exists=True,
    )
    before = study.user_attrs.get(KEPT["identity"])
    if before is None:
        study.set_user_attr(KEPT["identity"], dict(identity))
    elif other := sorted(part for part in identity if before.get(part) != identity[part]):
        raise UserError(
            f"search.study={name}",
            f"its trials were made with another {' and another '.join(other)}, so new ones cannot be compared",
            "Write search.study=NAME for a study of its own, or take back what was changed",
        )
    study.set_user_attr(KEPT["pruner"], spec.pruner.model_dump() | {"wanted": spec.objectives[0].direction})
    return study


def sign_of(pruner: Mapping[str, Any], wanted: str) -> float:
    """Return what a curve is multiplied with: a study compares reports in the direction of its objective.

    A threshold is of the curve itself.
    """
    return 1.0 if pruner["direction"] == wanted or pruner["name"] == "threshold" else -1.0


def live(study: Study, trial: FrozenTrial) -> Trial:
    """Return a trial that can still be written to, whichever process drew it."""
    import optuna

    study.sampler = optuna.samplers.RandomSampler()  # which does nothing to a trial that it meets
    return optuna.trial.Trial(study, trial._trial_id)


def signature() -> dict[str, Any]:
    """Return what names this process among all that were and will be."""
    import psutil

    return {"host": socket.gethostname(), "pid": os.getpid(), "born": psutil.Process().create_time()}


def is_dead(trial: FrozenTrial, stale_hours: float) -> bool:
    """Whether the process that runs a trial is gone: looked up on this machine, guessed by age on others."""
    import psutil

    owner = trial.user_attrs.get(OWNER)
    age = datetime.now() - (trial.datetime_start or datetime.now())
    if owner is None:
        return age > ORPHANED
    if owner["host"] != socket.gethostname():
        return age > timedelta(hours=stale_hours)
    try:
        return abs(psutil.Process(owner["pid"]).create_time() - float(owner["born"])) > 1
    except psutil.NoSuchProcess:
        return True


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial is one of the search's total: not an attempt that was cut short, not a setting drawn again."""
    return INTERRUPTED not in trial.user_attrs and TWIN not in trial.user_attrs
