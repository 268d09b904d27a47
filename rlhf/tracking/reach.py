"""Whether a store answers, asked before MLflow retries for minutes; and turns at setting up a new one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from rlhf.tracking.names import PORTS

SECONDS = 5.0  # for a network address to accept a connection
LOCKED_SECONDS = 20.0  # for a busy SQLite file
SETUP_SECONDS = 120.0  # for another process to finish setting up the same store


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
    address = (parts.hostname or "127.0.0.1", parts.port or PORTS[parts.scheme.partition("+")[0]])
    try:
        socket.create_connection(address, timeout=SECONDS).close()
    except OSError as error:
        raise StoreDown(f"{address[0]}:{address[1]}: {error}") from error


@contextlib.contextmanager
def setup_turn(uri: str, database: Path | None) -> Iterator[None]:
    """One process of this host at a time sets up a store: two of MLflow's migrations at once fail (hydraflow #245)."""
    import tempfile

    from filelock import FileLock

    name = f"rlhf-tracking-{sha256(uri.encode()).hexdigest()[:16]}.lock"
    with FileLock(f"{database}.lock" if database else Path(tempfile.gettempdir()) / name, timeout=SETUP_SECONDS):
        yield
