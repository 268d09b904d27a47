"""Rows on disk: one Arrow file of a data set's rows, mapped into memory, and the parts of a split as views of it."""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from rlhf.data.rows import Row

READ_AT_ONCE = 1 << 16  # bytes that the system maps around one that is asked for
KEPT_BYTES = 1 << 26  # mapped before they are given back to it
_encode = json.JSONEncoder(sort_keys=True, default=str, separators=(",", ":")).encode


def encode(row: Row) -> bytes:
    """Return a row as two lines of JSON: what makes two rows the same row, then its group and meta."""
    content = _encode((row.prompt, row.completion, row.chosen, row.rejected, row.label))
    return f"{content}\n{_encode((row.group, dict(row.meta)))}".encode()


def decode(stored: bytes) -> Row:
    """Return the row that `encode` wrote."""
    content, _, rest = stored.partition(b"\n")
    prompt, completion, chosen, rejected, label = json.loads(content)
    group, meta = json.loads(rest)
    return Row(tuple(prompt), group, completion, chosen, rejected, label, meta)


def batch_bytes(stored: Sequence[bytes]) -> bytes:
    """Return encoded rows as one Arrow record batch, serialised."""
    import pyarrow

    batch = pyarrow.record_batch([pyarrow.array(stored, pyarrow.binary())], schema=_schema())
    return bytes(batch.serialize())


def write_batches(file: Path, batches: Iterable[bytes]) -> None:
    """Write serialised batches of rows one after the other; nothing but the batch at hand is in memory."""
    import pyarrow

    schema = _schema()
    with pyarrow.OSFile(str(file), "wb") as sink, pyarrow.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(pyarrow.ipc.read_record_batch(pyarrow.py_buffer(batch), schema))


def _schema() -> Any:
    import pyarrow

    return pyarrow.schema([("row", pyarrow.binary())])


class ArrowRows(Sequence[Row]):
    """Some rows of a mapped file, in a given order; a row is made anew each time that it is asked for.

    `at` are numbers of rows of the file (int64), `fingerprint` is of the rows in this order, `workers` is how many
    processes may work through them, and `keeper` whatever must live as long as these rows do.
    """

    def __init__(self, file: Path, at: Any, fingerprint: str, workers: int = 1, keeper: Any = None) -> None:
        import numpy
        import pyarrow

        self.file, self.at, self.fingerprint, self.workers, self.keeper = file, at, fingerprint, workers, keeper
        with file.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        reader = pyarrow.ipc.open_file(pyarrow.py_buffer(self._map))
        self._batches = [reader.get_batch(number).column(0) for number in range(reader.num_record_batches)]
        self._starts = numpy.cumsum([0, *(len(batch) for batch in self._batches)])
        self._mapped = 0

    def __len__(self) -> int:
        """How many rows these are."""
        return len(self.at)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> ArrowRows: ...
    def __getitem__(self, index: int | slice) -> Row | ArrowRows:
        """Return one row, or a view of some of them."""
        if isinstance(index, slice):
            own = hashlib.sha256(f"{self.fingerprint} {index.indices(len(self))}".encode()).hexdigest()
            return ArrowRows(self.file, self.at[index], own, self.workers, self.keeper)
        return self._row(int(self.at[index]))

    def __iter__(self) -> Iterator[Row]:
        """Make one row after the other."""
        return self.taken(self.at)

    def taken(self, numbers: Iterable[int]) -> Iterator[Row]:
        """Make rows of the file by their numbers there."""
        return (self._row(int(number)) for number in numbers)

    def _row(self, number: int) -> Row:
        batch = int(self._starts.searchsorted(number, side="right")) - 1
        stored = self._batches[batch][number - int(self._starts[batch])].as_py()
        self._mapped += len(stored) + READ_AT_ONCE
        if self._mapped > KEPT_BYTES:
            self._let_go()
        return decode(stored)

    def _let_go(self) -> None:
        """Give back the memory of pages that were read; they are read again where they are asked for again."""
        self._mapped = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
