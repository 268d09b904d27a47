"""What the readers share: the shape of a record with its place, and the sentences for a file that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO, Any

from rlhf.dataset_spec import ReadingSpec
from rlhf.errors import UserError

Record = tuple[str, dict[str, Any] | UserError]  # place ("file:line") and the row, or what is wrong with it
Unparsed = tuple[str, dict[str, Any] | UserError | bytes]  # the same, but a line of JSON is still as it was read
Reader = Callable[[str, IO[bytes], ReadingSpec], Iterator[Unparsed]]  # place of the file, its bytes, the bounds
MB, GB = 10**6, 10**9
BOUNDS = ("max_row_mb", "max_sheet_mb", "max_unpacked_gb", "max_unpacked_ratio", "stream_over_mb")
UNBOUNDED = ReadingSpec(name="unbounded", workers=None, **dict.fromkeys(BOUNDS, 1e9))


class Hole(UserError):
    """A null in a list of records, as Firebase writes one for each number that is no id: no row, nor a broken one."""

    def __init__(
        self, place: str, problem: str = "null where an object was expected", remedy: str = "Leave it out"
    ) -> None:
        super().__init__(place, problem, remedy)


def as_object(place: str, value: Any) -> dict[str, Any] | UserError:
    """Return an object as it is, an error for anything else."""
    if isinstance(value, dict):
        return value
    return UserError(place, f"a {type(value).__name__} where an object with columns was expected", "Mend the row")


def too_long(place: str, reading: ReadingSpec) -> UserError:
    """Say that a row is beyond `max_row_mb`."""
    problem = f"the row is larger than {reading.max_row_mb:g} MB"
    return UserError(place, problem, "Shorten it, or raise dataset.reading.max_row_mb")


def not_utf8(place: str, byte: int) -> UserError:
    """Say which byte of a line, from 1 on, is not UTF-8."""
    return UserError(place, f"not UTF-8 (byte {byte} of the line)", "Save the file as UTF-8")


def has_nul(place: str, byte: int) -> UserError:
    """Say which byte of a line, from 1 on, is NUL."""
    remedy = "Mend the row; if the file is UTF-16, save it as UTF-8"
    return UserError(place, f"a NUL (byte {byte} of the line), which no text holds", remedy)


def refuse_equal_names(place: str, names: list[str]) -> None:
    """Raise UserError where two columns have one name: a record would keep the last one alone."""
    equal = sorted({name for name in names if names.count(name) > 1})
    if equal:
        which = f"{len([name for name in names if name == equal[0]])} columns are named {equal[0]!r}"
        if not equal[0].strip():
            which = "several columns have no name"
        raise UserError(place, which, "Give each column a name of its own")


def name_in_place(name: str) -> str:
    """Write a name that a file holds (an id, a sheet) as part of a place: in one line, and short."""
    return name if name.isprintable() and len(name) <= 80 else repr(name[:80])
