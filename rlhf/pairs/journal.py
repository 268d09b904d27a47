"""What is done of an unfinished set of pairs: after a header, one line of `<output>.partial` for each chunk of rows.

A kill leaves whole lines and at most one torn one, which is cut off; so a later run does the rest and nothing twice.
The header holds all that decides the pairs: with anything else the work is refused, not mixed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.errors import UserError
from rlhf.pairs.made import Made

PARTIAL = ".partial"
VERSION = 1  # of the file's layout


def partial_of(output: Path) -> Path:
    """Return the name of the journal of an output."""
    return output.with_name(f"{output.name}{PARTIAL}")


class Journal:
    """The journal of one output, opened for a header: fresh, or with what an earlier run has done under it."""

    def __init__(self, output: Path, header: Mapping[str, Any]) -> None:
        self.file = partial_of(output)
        self.header = {"version": VERSION, **header}
        self.chunks: list[tuple[int, int]] = []  # first row and place in the file of each chunk
        self.done: set[int] = set()
        if self.file.exists():
            self._take_up(output)
        else:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self.file.open("ab")
        if self._stream.tell() == 0:
            self._write(self.header)

    def add(self, chunk: Sequence[tuple[int, Any]], lines: Callable[[int, Made], list[dict[str, Any]]]) -> None:
        """Write down what became of some rows; `lines` gives the records of a row's pairs."""
        done = [[at, lines(at, made), dict(made.lost), dict(made.noted)] for at, made in chunk]
        self._note(self._stream.tell(), self._write({"rows": done}))

    def entries(self) -> Iterator[tuple[int, list[dict[str, Any]], dict[str, int], dict[str, int]]]:
        """Yield row, records, losses and notes of all that is done, in the order of the rows."""
        with self.file.open("rb") as stream:
            for _, place in sorted(self.chunks):
                stream.seek(place)
                yield from json.loads(stream.readline())["rows"]

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _write(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        self._stream.write(as_line(values))
        self._stream.flush()
        os.fsync(self._stream.fileno())
        return values

    def _note(self, place: int, values: Mapping[str, Any]) -> None:
        rows = [entry[0] for entry in values["rows"]]
        self.chunks.append((rows[0], place))
        self.done.update(rows)

    def _take_up(self, output: Path) -> None:
        """Read what is there; cut off a torn end; refuse what was begun otherwise."""
        whole = 0
        with self.file.open("rb") as stream:
            for number, line in enumerate(stream):
                values = _parsed(line)
                if values is None:
                    break
                if number == 0:
                    refuse_other(output, values, self.header, self.file)
                else:
                    self._note(whole, values)
                whole += len(line)
        with self.file.open("r+b") as stream:
            stream.truncate(whole)


def as_line(values: Mapping[str, Any]) -> bytes:
    """Return values as one line of JSON, the same bytes for the same values; texts stay readable."""
    text = json.dumps(values, ensure_ascii=False, default=str)
    return text.encode("utf-8", "backslashreplace") + b"\n"  # a lone surrogate is no text that could be written


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the values of a whole line, None of a torn one."""
    if not line.endswith(b"\n"):
        return None
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def refuse_other(output: Path, before: Mapping[str, Any], now: Mapping[str, Any], begun: Path) -> None:
    """Raise `UserError` where two headers differ, naming the first setting that does."""
    was, is_now = dict(flattened(before)), dict(flattened(json.loads(json.dumps(now, default=str))))
    differing = [key for key in [*is_now, *was] if was.get(key, KeyError) != is_now.get(key, KeyError)]
    if not differing:
        return
    key = differing[0]
    if key.startswith("input."):
        problem = "it was begun from other rows of a data set"
    elif key.startswith("files."):
        problem = f"it was begun from other content of {key.partition('.')[2]}"
    else:
        problem = f"it was begun with {key}={_short(was.get(key))}, now it is {_short(is_now.get(key))}"
    remedy = f"Write to another file, output=OTHER.jsonl, or remove {begun} to begin anew"
    raise UserError(str(output), problem, remedy)


def flattened(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and plain values."""
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from flattened(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, values


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
