"""Lines of text files: ended by LF, CRLF or CR, in UTF-8 or marked as UTF-16 or UTF-32, never longer than asked."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import IO, Any, cast

from rlhf.errors import UserError

BLOCK = 1 << 20  # bytes taken in at a time
BOM = codecs.BOM_UTF8
MARKED = {  # the longer marks first: that of UTF-32-LE begins with that of UTF-16-LE
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def as_utf8(place: str, stream: IO[bytes]) -> IO[bytes]:
    """Return the stream without its mark; what is marked as UTF-16 or UTF-32 is turned into UTF-8."""
    assert isinstance(stream, io.BufferedReader)
    head = stream.peek(4)[:4]
    if head.startswith(BOM):
        stream.read(len(BOM))
    for mark, encoding in MARKED.items():
        if head.startswith(mark):
            return buffered(_Recoded(place, stream, encoding))
    return stream


def buffered(raw: io.RawIOBase) -> IO[bytes]:
    """Return a stream of our own as one that is read in blocks."""
    return cast(IO[bytes], io.BufferedReader(cast(Any, raw), BLOCK))


class _Recoded(io.RawIOBase):
    """The UTF-8 of a stream in another encoding."""

    def __init__(self, place: str, source: IO[bytes], encoding: str) -> None:
        self._place, self._source, self._encoding = place, source, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""
        self._read = self._lines = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            block = self._source.read(BLOCK)
            self._ended = not block
            try:
                self._ready = self._decoder.decode(block, final=self._ended).encode()
            except UnicodeError as error:
                problem = f"marked as {self._encoding.upper()}, but it is not ({error})"
                raise UserError(f"{self._place}:{self._lines + 1} or later", problem, "Save it as UTF-8") from None
            self._lines += self._ready.count(b"\n")
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count


def lines(stream: IO[bytes], most: int) -> Iterator[tuple[int, bytes | None]]:
    r"""Yield (number from 1 on, line with its end) of a stream; None stands for a line of more than `most` bytes.

    A CR that no LF follows ends a line, too: neither JSON nor an unquoted field may hold one.
    """
    rest, number, over = b"", 0, False
    while block := stream.read(BLOCK):
        pieces = (rest + block).splitlines(keepends=True)
        rest = b"" if pieces[-1].endswith(b"\n") else pieces.pop()  # a CR may be half of an end: it waits
        for piece in pieces:
            number += 1
            yield number, None if over or len(piece) > most else piece
            over = False
        if len(rest) > most:
            over, rest = True, rest[-1:]  # the last byte alone tells where the line ends
    if rest:
        yield number + 1, None if over else rest
