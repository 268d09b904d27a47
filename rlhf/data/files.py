"""Records of jsonl, json, csv and parquet files (each also .gz), of folders of them and of the hub, with their places.

A record that cannot be read is handed on as the `UserError` that describes it, so that the caller may count it as a
broken row (`dataset.max_bad_rows`); a file that cannot be read is raised at once.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from rlhf.data.keyed import keyed
from rlhf.errors import UserError

Record = tuple[str, dict[str, Any] | UserError]  # place ("file:line") and the row, or what is wrong with it
Unparsed = tuple[str, dict[str, Any] | UserError | bytes]  # the same, but a line of JSON is still as it was read


def read_records(path: str) -> Iterator[Record]:
    """Yield the records of a file or of every known file below a folder, in the order of their names.

    Raises UserError for a missing, empty, unknown or damaged file.
    """
    return map(parsed, read_unparsed(path))


def read_unparsed(path: str) -> Iterator[Unparsed]:
    """Yield the same records with lines of JSON left for other processes to parse (`parsed`)."""
    for file in data_files(path):
        yield from _read_file(file)


def parsed(record: Unparsed) -> Record:
    """Parse a record that is a line of JSON; others are as they are."""
    place, raw = record
    return (place, _parse_line(place, raw)) if isinstance(raw, bytes) else (place, raw)


def data_files(path: str) -> list[Path]:
    """Return the file, or every known file below the folder, in the order of their names.

    Raises UserError where there is none.
    """
    root = Path(path).expanduser()
    if not root.exists():
        raise UserError("dataset.path", f"there is no {path} (looked in {Path.cwd()})", "Give the path of a data file")
    found = [root]
    if root.is_dir():
        found = sorted(file for file in root.rglob("*") if file.is_file() and _kind(file) in READERS)
        if not found:
            raise UserError("dataset.path", f"the folder {path} holds no data file", f"Put {_known()} files there")
    return found


def _kind(file: Path) -> str:
    return Path(file.name.lower().removesuffix(".gz")).suffix.removeprefix(".")


def _known() -> str:
    return ", ".join(f".{kind}" for kind in READERS) + " (or these with .gz)"


def _read_file(file: Path) -> Iterator[Unparsed]:
    kind = _kind(file)
    if kind not in READERS:
        raise UserError(str(file), f"a {file.suffix or 'nameless'} file cannot be read", f"Use one of {_known()}")
    empty = True
    try:
        with open_binary(file) as stream:
            for record in READERS[kind](file, stream):
                empty = False
                yield record
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(str(file), f"the gzip file is damaged or cut short ({error})", "Fetch it again") from error
    except OSError as error:
        raise UserError(str(file), f"cannot be read ({error.strerror or error})", "Check the file") from error
    if empty:
        raise UserError(str(file), "the file holds no rows", "Give a file with data in it")


def open_binary(file: Path) -> IO[bytes]:
    """Open a file for reading bytes, unpacked if it is named .gz."""
    return cast(IO[bytes], gzip.open(file)) if file.name.lower().endswith(".gz") else file.open("rb")


def _read_jsonl(file: Path, stream: IO[bytes]) -> Iterator[Unparsed]:
    for number, line in enumerate(stream, start=1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield f"{file}:{number}", line


def _parse_line(place: str, line: bytes) -> dict[str, Any] | UserError:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return UserError(place, f"not UTF-8 (byte {error.start + 1} of the line)", "Save the file as UTF-8")
    except (json.JSONDecodeError, RecursionError) as error:
        return UserError(place, f"not JSON ({error})", "Write one JSON object per line")
    return _object(place, value)


def _object(place: str, value: Any) -> dict[str, Any] | UserError:
    if isinstance(value, dict):
        return value
    return UserError(place, f"a {type(value).__name__} where an object with columns was expected", "Mend the row")


def _read_json(file: Path, stream: IO[bytes]) -> Iterator[Unparsed]:
    """Read a list of objects, or an object of them by their ids; else JSON lines under another name, as many are."""
    raw = stream.read().removeprefix(b"\xef\xbb\xbf")
    if raw.lstrip().startswith(b"{") and (records := _by_id(raw)) is not None:
        yield from ((f"{file}:{key}", record) for key, record in records.items())
        return
    if not raw.lstrip().startswith(b"["):
        yield from _read_jsonl(file, io.BytesIO(raw))
        return
    try:
        rows = json.loads(_decode(file, raw))
    except (json.JSONDecodeError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"{file}{line}", f"not JSON ({error})", "Mend the file: a list of objects") from error
    for number, row in enumerate(rows, start=1):
        yield f"{file}:row {number}", _object(f"{file}:row {number}", row)


def _by_id(raw: bytes) -> dict[str, dict[str, Any]] | None:
    """Return the records of an object of them, None where `raw` is something else: lines of JSON are no JSON."""
    try:
        return keyed(json.loads(raw))
    except (ValueError, RecursionError):
        return None


def _decode(file: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"{file}:{line}", f"not UTF-8 (byte {error.start + 1})", "Save the file as UTF-8") from error


def _read_csv(file: Path, stream: IO[bytes]) -> Iterator[Unparsed]:
    """Comma-separated with a header; strict, since a quote left open would swallow the rest of the file in silence."""
    reader = csv.DictReader(io.StringIO(_decode(file, stream.read()), newline=""), strict=True)
    ended = 0  # line of the last sound row's end: where a quote was left open, the reader itself is at the file's end
    try:
        header = reader.fieldnames or []
        _refuse_other_separator(file, header)
        ended = reader.line_num
        for row in reader:
            ended = reader.line_num
            place = f"{file}:{ended}"
            if None in row or None in row.values():
                problem = f"not as many fields as the header's {len(header)}"
                yield place, UserError(place, problem, "Quote fields that hold commas or line breaks")
            else:
                yield place, dict(row)
    except csv.Error as error:
        problem = f"not comma-separated values ({error})"
        raise UserError(f"{file}:{ended + 1}", problem, "Quote fields that hold commas or quotes") from error


def _refuse_other_separator(file: Path, header: Sequence[str]) -> None:
    """Raise UserError where the only column's name is a header cut by something else than commas."""
    for sign, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(header) == 1 and sign in header[0]:
            problem = f"the header is separated by {name}, not by commas"
            raise UserError(f"{file}:1", problem, "Save the file as comma-separated values")


def _read_parquet(file: Path, stream: IO[bytes]) -> Iterator[Unparsed]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(io.BytesIO(stream.read()))
        rows = (row for batch in table.iter_batches() for row in batch.to_pylist())
        for number, row in enumerate(rows, start=1):
            yield f"{file}:row {number}", row
    except pyarrow.ArrowException as error:
        raise UserError(str(file), f"not a parquet file ({error})", "Fetch it again") from error


READERS = {"jsonl": _read_jsonl, "json": _read_json, "csv": _read_csv, "parquet": _read_parquet}


def read_hub(hub_id: str, hub_config: str | None, revision: str | None) -> Iterator[Record]:
    """Yield the records of every split of a data set on the hub; `hub_config` is a configuration's name or a folder."""
    import datasets

    try:
        names = datasets.get_dataset_config_names(hub_id, revision=revision) if hub_config else []
        where = {"name": hub_config} if hub_config in names else {"data_dir": hub_config}
        parts = datasets.load_dataset(hub_id, revision=revision, **where)
    except Exception as error:  # the clients of the hub raise what their transport raises: OSError, httpx, ValueError
        problem = f"{hub_id} could not be fetched from the hub ({type(error).__name__})"
        remedy = "Check the name and the network, or give a local copy with dataset.path=FILE"
        raise UserError("dataset.hub_id", problem, remedy) from error
    for split, rows in parts.items():
        for number, row in enumerate(rows, start=1):
            yield f"{hub_id}/{split}:row {number}", row
