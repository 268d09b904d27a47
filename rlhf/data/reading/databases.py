"""SQLite files: the rows of one table, in the order in which they were written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

from rlhf.data.reading.base import MB, Unparsed, too_long
from rlhf.dataset_spec import ReadingSpec
from rlhf.errors import UserError

VOTES = "votes"  # the table that is read where there are several: that of the feedback store


def read_sqlite(place: str, stream: IO[bytes], reading: ReadingSpec) -> Iterator[Unparsed]:
    """Yield the rows of the table `votes`, or of the only one; the file is opened for reading alone."""
    file = Path(place).expanduser()
    if not stream.seekable() or not file.is_file():
        raise UserError(place, "a packed database cannot be read", "Unpack it first")
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.text_factory = lambda text: text.decode("utf-8", errors="surrogateescape")
            yield from _rows(place, database, _table(place, database), reading)
    except (sqlite3.Error, UnicodeError) as error:  # UnicodeError: the name of a table or column
        problem = f"not a whole SQLite database, or one in use ({error})"
        raise UserError(place, problem, "Fetch it again, or wait for who writes it") from error


def _table(place: str, database: sqlite3.Connection) -> str:
    names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    names = [name for name in names if not name.startswith("sqlite_")]
    if VOTES in names or len(names) == 1:
        return VOTES if VOTES in names else str(names[0])
    holds = f"the tables {', '.join(sorted(names))}" if names else "no table"
    raise UserError(place, f"it holds {holds}, none of them {VOTES!r}", "Export the one you mean as csv")


def _rows(place: str, database: sqlite3.Connection, table: str, reading: ReadingSpec) -> Iterator[Unparsed]:
    quoted = table.replace('"', '""')
    found = database.execute(f'SELECT * FROM "{quoted}"')
    names = [column[0] for column in found.description]
    for number, values in enumerate(found, start=1):
        at = f"{place}:row {number}"
        size = sum(len(one) for one in values if isinstance(one, str | bytes))
        yield at, too_long(at, reading) if size > reading.max_row_mb * MB else dict(zip(names, values, strict=True))
