"""Packed files: gzip and zip, opened as streams that end where a file unpacks to more than a machine should take.

Nothing of an archive is written under its own name: no name in it can lead out of anywhere.
"""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath, PureWindowsPath
from typing import IO, cast

from rlhf.data.reading.base import GB, MB
from rlhf.data.reading.lines import BLOCK, buffered
from rlhf.dataset_spec import ReadingSpec
from rlhf.errors import UserError

FREE = 100 * MB  # unpacked bytes up to which no ratio is looked at: a small file may well be one line many times
IN_MEMORY = 64 * MB  # of a packed file that must be read at any place; more of it goes to a nameless temporary file
FETCH = "Fetch it again"
DAMAGED = (gzip.BadGzipFile, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, struct.error, OverflowError)


@contextmanager
def damage(place: str, kind: str) -> Iterator[None]:
    """Say in one line what is wrong with the archive `place`."""
    try:
        yield
    except (*DAMAGED, ValueError) as error:  # ValueError: an offset below 0, a name that is not in its encoding
        if isinstance(error, UserError):
            raise
        raise UserError(place, f"the {kind} file is damaged or cut short ({error})", FETCH) from error
    except RuntimeError as error:  # encrypted (NotImplementedError: packed by a method that Python does not know)
        raise UserError(place, f"the {kind} file cannot be unpacked ({error})", "Pack it with deflate") from error


def gunzipped(place: str, packed: IO[bytes], size: int, reading: ReadingSpec) -> IO[bytes]:
    """Return the unpacked bytes of a gzip stream of `size` bytes."""
    return buffered(_Bounded(place, "gzip", cast(IO[bytes], gzip.GzipFile(fileobj=packed)), size, reading))


class _Bounded(io.RawIOBase):
    """A stream that is being unpacked, and what stops it."""

    def __init__(self, place: str, kind: str, source: IO[bytes], packed: int, reading: ReadingSpec) -> None:
        self._place, self._kind, self._source, self._packed, self._reading = place, kind, source, packed, reading
        self._unpacked = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        with damage(self._place, self._kind):
            block = self._source.read(len(buffer))
        self._unpacked += len(block)
        refuse_bomb(self._place, self._packed, self._unpacked, self._reading)
        buffer[: len(block)] = block
        return len(block)


def refuse_bomb(place: str, packed: int, unpacked: int, reading: ReadingSpec) -> None:
    """Raise UserError where a file unpacks to too much, or to suspiciously many times its size."""
    remedy = "Look at what is in it: if it is your data, raise dataset.reading"
    if unpacked > reading.max_unpacked_gb * GB:
        problem = f"it unpacks to more than {reading.max_unpacked_gb:g} GB"
        raise UserError(place, problem, f"{remedy}.max_unpacked_gb")
    if unpacked > max(FREE, reading.max_unpacked_ratio * packed):
        problem = f"it unpacks to more than {reading.max_unpacked_ratio:g} times its {packed} bytes"
        raise UserError(place, problem, f"{remedy}.max_unpacked_ratio")


def members(place: str, archive: zipfile.ZipFile, reading: ReadingSpec) -> list[zipfile.ZipInfo]:
    """Return the files in an archive in the order of their names; raises UserError for one that means no good."""
    found = sorted((one for one in archive.infolist() if not one.filename.endswith("/")), key=lambda one: one.filename)
    for one in found:
        at = f"{place}/{one.filename!r}"[:300]
        path, remedy = PurePosixPath(one.filename), "Do not trust it: unpack it by hand and give the folder"
        windows = PureWindowsPath(one.filename)
        if path.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
            raise UserError(at, "a name that leads out of the archive", remedy)
        if not one.filename.strip() or not one.filename.isprintable():
            raise UserError(at, "no name, or one with signs that cannot be shown", remedy)
        if stat.S_IFMT(one.external_attr >> 16) not in (0, stat.S_IFREG):
            raise UserError(at, "a link or a device, not a file", remedy)
        if one.flag_bits & 1:
            raise UserError(at, "it is encrypted", "Unpack it with its password and give the folder")
        refuse_bomb(at, one.compress_size, one.file_size, reading)
    refuse_bomb(place, sum(one.compress_size for one in found), sum(one.file_size for one in found), reading)
    return found


def unzipped(place: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo, reading: ReadingSpec) -> IO[bytes]:
    """Return the unpacked bytes of a member; no more than the archive says of it can come."""
    with damage(place, "zip"):
        source = archive.open(member)
    return buffered(_Bounded(place, "zip", source, member.compress_size, reading))


@contextmanager
def seekable(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """Hand on a stream that can be read at any place: the stream itself, or else a copy of it."""
    if stream.seekable():
        yield stream
        return
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, prefix="rlhf-") as copy:
        while block := stream.read(BLOCK):
            copy.write(block)
        copy.seek(0)
        yield cast(IO[bytes], copy)
