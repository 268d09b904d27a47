"""Addresses, names and values in the form that MLflow accepts."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rlhf.errors import UserError
from rlhf.tracking.masking import mask_text

if TYPE_CHECKING:
    from rlhf.config import TrackingSpec

CHECKOUT = Path(__file__).resolve().parents[2]  # or the folder of installed packages
KEY_LIMIT, PARAM_LIMIT, TAG_LIMIT = 250, 6000, 8000  # characters, of MLflow 3
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}


def resolve_uri(spec: TrackingSpec) -> str:
    """`spec.uri`, else MLFLOW_TRACKING_URI, else `mlflow.db` in the current folder; a relative path becomes whole."""
    uri = spec.uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme not in {*PORTS, "sqlite"}:
        raise UserError(
            "tracking.uri" if spec.uri else "MLFLOW_TRACKING_URI",
            f"'{mask_text(uri)}' is not a store that runs can be written to",
            "Write sqlite:///mlflow.db, postgresql://user@host/name, or the http address of an MLflow server",
        )
    if scheme == "sqlite":
        return f"sqlite:///{Path(uri.partition(':///')[2].partition('?')[0]).absolute()}"
    return uri


def ui_base(uri: str) -> str:
    """Where the UI answers: the server itself, or what `scripts/ui.sh` starts for a database."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return "http://127.0.0.1:5000"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def ui_command(uri: str | None, home: Path = CHECKOUT) -> str:
    """What starts the UI of a store from the current folder: the checkout's script, or MLflow where there is none.

    `uri` is None where it holds a secret; then it is read from the environment.
    """
    script = home / "scripts" / "ui.sh"
    if not script.is_file():
        store = '"$MLFLOW_TRACKING_URI"' if uri is None else shlex.quote(uri)
        return f"mlflow server --host 127.0.0.1 --backend-store-uri {store}"
    named = "scripts/ui.sh" if Path.cwd() == home else shlex.quote(str(script))
    if uri is None:
        return f"bash {named}  # with MLFLOW_TRACKING_URI as it is set now"
    return f"MLFLOW_TRACKING_URI={shlex.quote(uri)} bash {named}"


def as_text(value: Any) -> str:
    """A setting's value as one would write it in YAML: `null`, `true`, `[1, 2]`, text as it is."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def metric_key(name: str) -> str:
    """A name that MLflow accepts: letters, digits, and `_ - . : /` and spaces."""
    return re.sub(r"[^\w\-.: /]", "_", name, flags=re.ASCII).strip("/")[:KEY_LIMIT] or "_"


def cut(text: str, limit: int) -> str:
    """Text within MLflow's limit; what was longer says how long it was."""
    if len(text) <= limit:
        return text
    note = f" ... [cut, {len(text)} characters]"
    return text[: limit - len(note)] + note


def as_number(value: Any) -> float:
    """A metric's value as a float; a value that isn't a number becomes NaN, which the store marks as such."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
