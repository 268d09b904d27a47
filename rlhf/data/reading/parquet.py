"""Parquet files, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from rlhf.data.reading.base import MB, Unparsed, refuse_equal_names, too_long
from rlhf.data.reading.lines import BLOCK
from rlhf.data.reading.packed import seekable
from rlhf.dataset_spec import ReadingSpec
from rlhf.errors import UserError, one_line

ROWS = 256  # in memory at a time


def read_parquet(place: str, stream: IO[bytes], reading: ReadingSpec) -> Iterator[Unparsed]:
    """Yield the rows with the types that the file gives them."""
    import pyarrow
    import pyarrow.parquet

    most = int(reading.max_row_mb * MB)
    number = 0
    with seekable(stream) as source:
        try:
            table = pyarrow.parquet.ParquetFile(source, buffer_size=BLOCK, pre_buffer=False)
            _refuse_equal_names(place, table.schema_arrow)
            for batch in table.iter_batches(batch_size=ROWS):
                for row in _rows(batch, most):
                    number += 1
                    at = f"{place}:row {number}"
                    yield at, too_long(at, reading) if row is None else row
        except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
            if isinstance(error, UserError):
                raise
            problem = f"not a whole parquet file, from row {number + 1} on" if number else "not a whole parquet file"
            raise UserError(place, f"{problem} ({one_line(error)})", "Fetch it again") from error


def _rows(batch: Any, most: int) -> Iterator[dict[str, Any] | None]:
    """Yield the rows of a batch; None for one of more than `most` bytes."""
    if batch.nbytes <= most:
        yield from batch.to_pylist()
        return
    for at in range(batch.num_rows):
        row = batch.slice(at, 1)
        yield row.to_pylist()[0] if row.nbytes <= most else None


def _refuse_equal_names(place: str, schema: Any) -> None:
    import pyarrow

    refuse_equal_names(place, schema.names)
    nested = [schema.field(name).type for name in schema.names]
    while nested:
        kind = nested.pop()
        fields = [kind.field(at) for at in range(kind.num_fields)]
        if pyarrow.types.is_struct(kind):
            refuse_equal_names(place, [field.name for field in fields])
        nested += [field.type for field in fields]
