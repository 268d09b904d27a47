"""A window that moves over the text of a JSON document: values are taken out of it one by one."""

from __future__ import annotations

import codecs
import json
import re
from typing import IO, Any

from rlhf.data.reading.base import not_utf8
from rlhf.data.reading.lines import BLOCK
from rlhf.data.reading.strict import LAX, REMEDY, STRICT, fault, too_deep
from rlhf.errors import UserError

BLANK = re.compile(r"[ \t\n\r]*")
NO_TEXT = re.compile("[\udc80-\udcff]")  # what stands in for bytes that are not UTF-8
CUT = 16  # characters before the end where a token may have been cut: 1.5 after `1.`; what is further ahead holds


class TooLong(Exception):
    """A value that goes on beyond the bytes that a row may have."""


class Window:
    """The part of a document that is looked at: `buffer` from `at` on; it grows up to `most` characters for a value."""

    def __init__(self, place: str, stream: IO[bytes], most: int) -> None:
        self._place, self._stream, self._most = place, stream, most
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.buffer, self.at, self._ended = "", 0, False
        self._lines = self._column = 0  # line ends before the buffer, and characters since the last of them

    def _grow(self) -> None:
        """Read as much again as is in the window, and let go of what lies behind."""
        gone = self.buffer[: self.at]
        self._lines += gone.count("\n")
        self._column = len(gone) - gone.rfind("\n") - 1 if "\n" in gone else self._column + len(gone)
        block = self._stream.read(max(BLOCK, len(self.buffer) - self.at))
        self._ended = not block
        self.buffer, self.at = self.buffer[self.at :] + self._decoder.decode(block, final=self._ended), 0

    def place(self, at: int | None = None) -> str:
        """Return file and line of a place in the window."""
        return f"{self._place}:{self._lines + self.buffer.count(chr(10), 0, self.at if at is None else at) + 1}"

    def _broken(self, problem: str, at: int) -> UserError:
        before = self.buffer[:at]
        column = len(before) - before.rfind("\n") if "\n" in before else self._column + len(before) + 1
        problem = f"not JSON ({problem}, column {column})"
        return UserError(self.place(at), problem, "Mend the file: a list of objects, or one object per line")

    def peek(self) -> str:
        """Return the next character that is not blank, and stop before it; nothing at the end."""
        while True:
            self.at = BLANK.match(self.buffer, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if self._ended:
                return ""
            self._grow()

    def expect(self, signs: str) -> str:
        """Take one of these signs; raises UserError where another stands."""
        found = self.peek()
        if not found or found not in signs:
            raise self._broken("Expecting " + " or ".join(map(repr, signs)), self.at)
        self.at += 1
        return found

    def finish(self) -> None:
        """Raise UserError where something stands after the document."""
        if self.peek():
            raise self._broken("Extra data", self.at)

    def look(self, decoder: json.JSONDecoder) -> tuple[Any, int]:
        """Return the next value and where it ends, without taking it; raises TooLong, UserError or what is faulty."""
        self.peek()
        while True:
            try:
                value, end = decoder.raw_decode(self.buffer, self.at)
                if end - self.at > self._most:
                    raise TooLong
                if end <= len(self.buffer) - CUT or self._ended:
                    return value, end
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos > len(self.buffer) - CUT
                if self._ended or not cut:
                    raise self._broken(error.msg, error.pos) from None
            except RecursionError as error:
                raise UserError(self.place(), fault(error), REMEDY) from None
            if len(self.buffer) - self.at > self._most:
                raise TooLong
            self._grow()

    def take(self, place: str) -> Any:
        """Take the next value; what is wrong with it alone is returned as the UserError that describes it."""
        value: Any
        try:
            value, end = self.look(STRICT)
        except UserError:
            raise
        except ValueError as error:
            value, end = UserError(place, fault(error), REMEDY), self.look(LAX)[1]
        text = self.buffer[self.at : end]
        if bad := NO_TEXT.search(text):
            value = not_utf8(self.place(self.at + bad.start()), self._byte(self.at + bad.start()))
        elif not isinstance(value, UserError) and too_deep(text, value):
            value = UserError(place, fault(RecursionError()), REMEDY)
        self.at = end
        return value

    def _byte(self, at: int) -> int:
        before = self.buffer[:at]
        start = before.rfind("\n") + 1
        return len(before[start:].encode("utf-8", "surrogateescape")) + (0 if start else self._column) + 1

    def key(self) -> str:
        """Take the name of an object's next value, and the colon."""
        if self.peek() != '"':
            self.expect('"')
        name = self.take(self._place)
        if not isinstance(name, str):
            raise name
        self.expect(":")
        return name

    def follows(self, end: int) -> str:
        """Return the next character from `end` on that is not blank, without moving."""
        ahead = end - self.at
        while True:
            stop = BLANK.match(self.buffer, self.at + ahead).end()  # type: ignore[union-attr]
            if stop < len(self.buffer) or self._ended:
                return self.buffer[stop : stop + 1]
            if len(self.buffer) - self.at > self._most:
                raise TooLong
            self._grow()
