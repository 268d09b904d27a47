"""Whether a store answers, asked before MLflow retries for minutes; and turns at setting up a new one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from rlhf.tracking.names import PORTS

SECONDS = 5.0  # for a network address to accept a connection, and for a server to say that it lives
SILENT_SECONDS = 10.0  # an address that kept us waiting in vain is not asked again for so long
LOCKED_SECONDS = 20.0  # for a busy SQLite file
SETUP_SECONDS = 120.0  # for another process to finish setting up the same store


_silent: dict[str, tuple[float, str]] = {}  # host:port -> until when it is not asked, and why


class StoreDown(Exception):
    """The store can't take this now; the same events may be tried again later."""


class Refused(Exception):
    """The store understood and said no; trying again can't help."""


def knock(uri: str, database: Path | None) -> None:
    """Raise `StoreDown` unless the SQLite file opens (its folder is made) or the address accepts a connection."""
    import socket
    import sqlite3

    if database:
        try:
            database.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(database, timeout=LOCKED_SECONDS)) as connection:
                connection.execute("pragma schema_version").fetchone()
        except (OSError, sqlite3.Error) as error:
            raise StoreDown(f"{database}: {error}") from error
        return
    parts = urlsplit(uri)
    host, port = parts.hostname or "127.0.0.1", parts.port or PORTS[parts.scheme.partition("+")[0]]
    place = f"{host}:{port}"
    silent, problem = _silent.get(place, (0.0, ""))
    if time.monotonic() < silent:
        raise StoreDown(problem)
    try:
        if parts.scheme == "http":
            _ask(f"http://[{host}]:{port}" if ":" in host else f"http://{place}", parts.path)
        else:
            socket.create_connection((host, port), timeout=SECONDS).close()
    except (OSError, HTTPException) as error:
        problem = f"{place}: {getattr(error, 'reason', None) or error}"
        if "timed out" in problem:
            _silent[place] = (time.monotonic() + SILENT_SECONDS, problem)
        raise StoreDown(problem) from error


def _ask(address: str, path: str) -> None:
    """Ask an MLflow server how it is: one that hangs accepts connections, too. Any answer but a gateway's will do."""
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        urlopen(f"{address}{path.rstrip('/')}/health", timeout=SECONDS).close()
    except HTTPError as error:
        error.close()
        if error.code >= 502:
            raise OSError(f"the gateway says {error.code}") from error


@contextlib.contextmanager
def setup_turn(uri: str, database: Path | None) -> Iterator[None]:
    """One process of this host at a time sets up a store: two of MLflow's migrations at once fail (hydraflow #245)."""
    import tempfile

    from filelock import FileLock

    name = f"rlhf-tracking-{sha256(uri.encode()).hexdigest()[:16]}.lock"
    with FileLock(f"{database}.lock" if database else Path(tempfile.gettempdir()) / name, timeout=SETUP_SECONDS):
        yield


def set_up_whole(database: Path, make: Callable[[str], object]) -> None:
    """Let `make` (given an address) write a new SQLite database beside, and take it once it is whole.

    A kill in the middle of MLflow's hundred steps would leave one that MLflow can never open again.
    """
    if database.exists() and database.stat().st_size:
        return
    place = database.resolve()
    new = place.with_name(f"{place.name}.new")
    for left in (new, new.with_name(f"{new.name}-journal")):
        left.unlink(missing_ok=True)
    make(f"sqlite:///{new}")
    new.replace(place)
