"""Records of files, of folders of them and of the hub, with their places: which file is read how.

A record that cannot be read is handed on as the `UserError` that describes it, so that the caller may count it as a
broken row (`dataset.max_bad_rows`); a file that cannot be read is raised once the rows before the damage are read.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from rlhf.data.reading.base import Reader, Record, Unparsed, as_object
from rlhf.data.reading.databases import read_sqlite
from rlhf.data.reading.hub import read_hub
from rlhf.data.reading.jsons import read_json, read_jsonl
from rlhf.data.reading.lines import as_utf8
from rlhf.data.reading.packed import damage, gunzipped, members, unzipped
from rlhf.data.reading.parquet import read_parquet
from rlhf.data.reading.sheets import read_xlsx
from rlhf.data.reading.strict import parse_line
from rlhf.data.reading.tables import read_csv, read_tsv
from rlhf.dataset_spec import ReadingSpec
from rlhf.errors import UserError

__all__ = [
    "Record",
    "Unparsed",
    "data_files",
    "may_swell",
    "parsed",
    "passed_over",
    "read_hub",
    "read_records",
    "read_unparsed",
    "unpacked_bytes",
]

TEXTS: dict[str, Reader] = {
    "jsonl": read_jsonl,
    "ndjson": read_jsonl,
    "json": read_json,
    "csv": read_csv,
    "tsv": read_tsv,
}
BINARIES: dict[str, Reader] = {"parquet": read_parquet, "xlsx": read_xlsx, "sqlite": read_sqlite, "db": read_sqlite}
READERS = TEXTS | BINARIES
SWELLING = (".gz", ".zip", ".parquet", ".xlsx")
KNOWN = ", ".join(f".{kind}" for kind in READERS) + " (or these with .gz, or in a .zip)"


def read_records(path: str, reading: ReadingSpec) -> Iterator[Record]:
    """Yield the records of a file or of every known file below a folder, in the order of their names.

    Raises UserError for a missing, empty, unknown or damaged file.
    """
    return map(parsed, read_unparsed(path, reading))


def read_unparsed(path: str, reading: ReadingSpec) -> Iterator[Unparsed]:
    """Yield the same records with lines of JSON left for other processes to parse (`parsed`)."""
    for file in data_files(path):
        yield from _read_file(file, reading)


def parsed(record: Unparsed) -> Record:
    """Parse a record that is a line of JSON; others are as they are."""
    place, raw = record
    if not isinstance(raw, bytes):
        return place, raw
    value = parse_line(place, raw)
    return place, value if isinstance(value, UserError) else as_object(place, value)


def data_files(path: str) -> list[Path]:
    """Return the file, or every known file below the folder, in the order of their names; hidden ones are left out.

    Raises UserError where there is none, and for what only looks like a file.
    """
    root = Path(path).expanduser()
    try:
        if not root.exists():
            problem = f"there is no {path} (looked in {Path.cwd()})"
            raise UserError("dataset.path", problem, "Give the path of a data file")
        found = [file for file in _below(root) if _is_data(file.name)] if root.is_dir() else [root]
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = getattr(error, "strerror", None) or str(error)
        if isinstance(error, UserError):
            raise
        raise UserError("dataset.path", f"{path!r} cannot be looked at ({why})", "Check the path") from error
    if not found:
        raise UserError("dataset.path", f"the folder {path} holds no data file", f"Put {KNOWN} files there")
    for file in found:
        if not file.exists():
            raise UserError(str(file), "a link that leads nowhere", "Mend or remove it")
        if not stat.S_ISREG(file.stat().st_mode):
            raise UserError(str(file), "a pipe or a device, not a file", "Save what it gives as a file")
    return found


def passed_over(path: str) -> list[str]:
    """Return the names of files below a folder, or in zip files, that are of no known kind; none of hidden ones."""
    root = Path(path).expanduser()
    below = _below(root) if root.is_dir() else [root]
    names = [str(file.relative_to(root)) for file in below if root.is_dir() and not _is_data(file.name)]
    for file in below:
        if file.suffix.lower() == ".zip":
            with zipfile.ZipFile(file) as archive:
                inside = [one.filename for one in archive.infolist() if not one.is_dir()]
            names += [f"{file.name}/{name}" for name in inside if not _is_data(name) and not _is_hidden(name)]
    return names


def _below(root: Path) -> list[Path]:
    """Return all files below a folder in the order of their names, hidden ones left out."""
    found, seen = [], set()

    def fail(error: OSError) -> None:
        raise error  # else a folder that may not be read would be passed over

    for folder, folders, names in os.walk(root, onerror=fail, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in seen else [name for name in folders if not _hidden(name)]
        if real not in seen:
            found += [Path(folder, name) for name in names if not _hidden(name)]
        seen.add(real)
    return sorted(found)


def _hidden(name: str) -> bool:
    return (name.startswith(".") and name not in (".", "..")) or name == "__MACOSX"


def _is_hidden(path: str) -> bool:
    return any(map(_hidden, path.split("/")))


def _kind(name: str) -> str:
    return PurePosixPath(name.lower().removesuffix(".gz")).suffix.removeprefix(".")


def _is_data(name: str) -> bool:
    return _kind(name) in READERS or name.lower().endswith(".zip")


def may_swell(file: Path) -> bool:
    """Whether more may come out of a file than `unpacked_bytes` tells: gzip of several parts, values written once."""
    return file.suffix.lower() in SWELLING


def unpacked_bytes(file: Path) -> int:
    """Return about how large a file is once unpacked, or less (`may_swell`).

    Of gzip the larger of its own size and what its last four bytes tell (mod 2^32), of zip what it says of its members.
    """
    size = file.stat().st_size
    if file.suffix.lower() == ".zip":
        try:
            with damage(str(file), "zip"), zipfile.ZipFile(file) as archive:
                return max(size, sum(one.file_size for one in archive.infolist()))
        except UserError:  # told when it is read
            return size
    if file.suffix.lower() != ".gz" or size < 4:
        return size
    with file.open("rb") as stream:
        stream.seek(-4, os.SEEK_END)
        return max(size, int.from_bytes(stream.read(4), "little"))


def _read_file(file: Path, reading: ReadingSpec) -> Iterator[Unparsed]:
    place = str(file)
    if not _is_data(file.name):
        kind = f"a {file.suffix} file" if file.suffix else "a file without an ending"
        raise UserError(place, f"{kind} cannot be read", f"Use one of {KNOWN}")
    try:
        with file.open("rb") as stream:
            if file.suffix.lower() == ".zip":
                yield from _read_zip(place, stream, reading)
            else:
                yield from _filled(place, _read(place, stream, file.stat().st_size, reading))
    except OSError as error:
        raise UserError(place, f"cannot be read ({error.strerror or error})", "Check the file") from error


def _filled(place: str, records: Iterator[Unparsed]) -> Iterator[Unparsed]:
    """Hand on records; raises UserError where there are none."""
    empty = True
    for record in records:
        empty = False
        yield record
    if empty:
        raise UserError(place, "the file holds no rows", "Give a file with data in it")


def _read(place: str, stream: IO[bytes], size: int, reading: ReadingSpec) -> Iterator[Unparsed]:
    """Read a stream by the name of its file."""
    if place.lower().endswith(".gz"):
        stream = gunzipped(place, stream, size, reading)
    kind = _kind(place)
    source = as_utf8(place, stream) if kind in TEXTS else stream
    yield from READERS[kind](place, source, reading)


def _read_zip(place: str, stream: IO[bytes], reading: ReadingSpec) -> Iterator[Unparsed]:
    with damage(place, "zip"):
        archive = zipfile.ZipFile(stream)
    with archive:
        found = [one for one in members(place, archive, reading) if not _is_hidden(one.filename)]
        data = [one for one in found if _is_data(one.filename)]
        if not data:
            raise UserError(place, "the zip file holds no data file", f"Pack {KNOWN} files")
        for one in data:
            at = f"{place}/{one.filename}"
            if one.filename.lower().endswith(".zip"):
                raise UserError(at, "a zip file in a zip file", "Unpack the outer one and give the folder")
            with unzipped(at, archive, one, reading) as member:
                yield from _filled(at, _read(at, member, one.file_size, reading))
