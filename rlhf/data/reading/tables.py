"""Tables as text: csv and tsv, line by line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import IO

from rlhf.data.reading.base import MB, Unparsed, has_nul, not_utf8, refuse_equal_names, too_long
from rlhf.data.reading.lines import lines
from rlhf.dataset_spec import ReadingSpec
from rlhf.errors import UserError

SIGNS = {",": ("commas", "comma"), ";": ("semicolons", "semicolon"), "\t": ("tabs", "tab"), "|": ("bars", "bar")}


def read_csv(place: str, stream: IO[bytes], reading: ReadingSpec) -> Iterator[Unparsed]:
    """Yield the rows below the header, the fields parted by commas."""
    return _rows(place, stream, reading, ",")


def read_tsv(place: str, stream: IO[bytes], reading: ReadingSpec) -> Iterator[Unparsed]:
    """Yield the rows below the header, the fields parted by tabs."""
    return _rows(place, stream, reading, "\t")


class _Source:
    """The lines of a file as text; notes what is wrong with those of the row that is being read."""

    def __init__(self, place: str, stream: IO[bytes], reading: ReadingSpec) -> None:
        self._place, self._reading, self._most = place, reading, int(reading.max_row_mb * MB)
        self._lines = lines(stream, self._most)
        self.number = 0  # of the newest line
        self.begin()

    def begin(self) -> None:
        """Forget the row before."""
        self.first, self._size, self.wrong = self.number + 1, 0, None

    first: int  # line where the row begins
    wrong: UserError | None

    def __iter__(self) -> Iterator[str]:
        for number, line in self._lines:
            self.number = number
            at = f"{self._place}:{self.number}"
            self._size += 0 if line is None else len(line)
            if line is None or self._size > self._most:  # where it ends is unknown: nothing after it can be trusted
                error = too_long(f"{self._place}:{self.first}", self._reading)
                raise UserError(error.place, f"{error.problem}, or a quote in it is left open", error.remedy)
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                self.wrong = self.wrong or not_utf8(at, error.start + 1)
                text = line.decode("utf-8", errors="replace")
            if b"\0" in line:
                self.wrong = self.wrong or has_nul(at, line.index(b"\0") + 1)
            yield text


def _rows(place: str, stream: IO[bytes], reading: ReadingSpec, sign: str) -> Iterator[Unparsed]:
    """Read strictly, since a quote left open would swallow the rest of the file in silence."""
    csv.field_size_limit(max(csv.field_size_limit(), int(reading.max_row_mb * MB)))  # the row's bound holds instead
    source = _Source(place, stream, reading)
    rows = csv.reader(source, delimiter=sign, strict=True)
    header: list[str] | None = None
    try:
        for fields in rows:
            at, wrong = f"{place}:{source.first}", source.wrong
            source.begin()
            if not fields:
                continue
            if header is None:
                if wrong is not None:
                    raise wrong
                _refuse_other_separator(at, fields, sign)
                refuse_equal_names(at, fields)
                header = fields
            elif wrong is None and len(fields) != len(header):
                problem = f"not as many fields as the header's {len(header)}, but {len(fields)}"
                remedy = f"Quote fields that hold {SIGNS[sign][0]} or line breaks"
                yield at, UserError(at, problem, remedy)
            else:
                yield at, wrong or dict(zip(header, fields, strict=True))
    except csv.Error as error:
        problem = f"not {SIGNS[sign][1]}-separated values ({error})"
        remedy = f"Quote fields that hold {SIGNS[sign][0]} or quotes, and double the quotes inside"
        raise UserError(f"{place}:{source.first}", problem, remedy) from error


def _refuse_other_separator(place: str, header: Sequence[str], sign: str) -> None:
    """Raise UserError where the only column's name is a header cut by something else."""
    for other, (name, _) in SIGNS.items():
        if len(header) == 1 and other != sign and other in header[0]:
            problem = f"the header is separated by {name}, not by {SIGNS[sign][0]}"
            raise UserError(place, problem, f"Save the file as {SIGNS[sign][1]}-separated values")
