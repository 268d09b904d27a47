"""JSON files: lines of objects, a list of objects, or an object of them by their ids, none of them held as a whole."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import IO, Any

from rlhf.data.keyed import keyed
from rlhf.data.reading.base import MB, Hole, Unparsed, as_object, name_in_place, too_long
from rlhf.data.reading.lines import BLOCK, buffered, lines
from rlhf.data.reading.strict import LAX
from rlhf.data.reading.window import TooLong, Window
from rlhf.dataset_spec import ReadingSpec
from rlhf.errors import UserError


def read_jsonl(place: str, stream: IO[bytes], reading: ReadingSpec) -> Iterator[Unparsed]:
    """Yield the lines that are not blank, unparsed."""
    for number, line in lines(stream, int(reading.max_row_mb * MB)):
        at = f"{place}:{number}"
        if line is None:
            yield at, too_long(at, reading)
        elif line.strip():
            yield at, line


def read_json(place: str, stream: IO[bytes], reading: ReadingSpec) -> Iterator[Unparsed]:
    """Tell by its beginning what the file holds: lines of JSON under another name, as many do, or one document.

    Records of a document are named by their number, or by their id.
    """
    most = int(reading.max_row_mb * MB)
    head = _head(stream, most)
    whole = buffered(_Joined(head, stream))
    first = head.lstrip()[:1]
    if first not in (b"{", b"[") or (first == b"{" and _is_lines(head, len(head) >= most)):
        yield from read_jsonl(place, whole, reading)
        return
    window = Window(place, whole, most)
    try:
        if first == b"[":
            yield from _items(place, window)
        else:
            yield from _objects(place, window)
    except TooLong:
        raise too_long(window.place(), reading) from None


class _Joined(io.RawIOBase):
    """Bytes that were read already, and the stream that they were read from."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = io.BytesIO(head), rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        block = self._head.read(len(buffer)) or self._rest.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


def _head(stream: IO[bytes], most: int) -> bytes:
    """Read on until something stands below the first line, or `most` bytes are read."""
    head = b""
    while len(head) < most and not _parted(head)[1] and (block := stream.read(BLOCK)):
        head += block
    return head


def _parted(head: bytes) -> tuple[bytes, bytes]:
    line, _, rest = head.lstrip().replace(b"\r", b"\n").partition(b"\n")
    return line, rest.lstrip()


def _is_lines(head: bytes, cut: bool) -> bool:
    """Whether the first line is an object by itself, and either others follow or it is no object of records."""
    line, rest = _parted(head)
    if not rest and cut:
        return False
    try:
        value = LAX.decode(line.decode("utf-8", errors="replace"))
    except (ValueError, RecursionError):
        return rest.startswith(b"{")  # a broken row among lines
    return bool(rest) or keyed(value) is None


def _items(place: str, window: Window) -> Iterator[Unparsed]:
    number = 0
    window.expect("[")
    if window.peek() == "]":
        window.expect("]")
        window.finish()
        return
    sign = ","
    while sign == ",":
        number += 1
        at = f"{place}:row {number}"
        value = window.take(at)
        yield at, Hole(at) if value is None else _row(at, value)
        sign = window.expect(",]")
    window.finish()


def _row(place: str, value: Any) -> dict[str, Any] | UserError:
    return value if isinstance(value, UserError) else as_object(place, value)


def _objects(place: str, window: Window) -> Iterator[Unparsed]:
    """Yield the records of an object of them, or a record that stands alone or before others."""
    try:
        whole, _ = window.look(LAX)
    except TooLong:
        yield from _entries(place, window, None)
        window.finish()
        return
    if keyed(whole) is not None:
        yield from _entries(place, window, _depth(whole))
        window.finish()
        return
    number = 0
    while window.peek():
        number += 1
        at = f"{place}:row {number}"
        yield at, _row(at, window.take(at))


def _depth(whole: Mapping[str, Any]) -> int:
    below = next(iter(whole.values()))
    return 1 + _depth(below) if len(whole) == 1 and keyed(below) is not None else 0


def _entries(place: str, window: Window, depth: int | None) -> Iterator[Unparsed]:
    """Yield the values of the object that lies `depth` objects down; None: tell how far down by the first value."""
    window.expect("{")
    first = True
    while True:
        key = window.key()
        at = f"{place}:{name_in_place(key)}"
        if first and (depth or (depth is None and _holds_rows(window))):
            yield from _entries(place, window, None if depth is None else depth - 1)
        else:
            value = window.take(at)
            if first and depth is None and not isinstance(value, dict | UserError):
                raise TooLong
            yield at, _row(at, value)
        first = False
        if window.expect(",}") == "}":
            return


def _holds_rows(window: Window) -> bool:
    """Whether the next value is too large for a row, so that it must hold them."""
    if window.peek() != "{":
        return False
    try:
        value, end = window.look(LAX)
        return keyed(value) is not None and window.follows(end) == "}"
    except TooLong:
        return True
