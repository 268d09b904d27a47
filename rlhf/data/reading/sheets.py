"""Spreadsheets (xlsx): each sheet's rows below its header, every cell as the text that a csv of it would hold."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import IO, Any

from rlhf.data.reading.base import MB, Unparsed, name_in_place, refuse_equal_names, too_long
from rlhf.data.reading.packed import damage, members, seekable
from rlhf.dataset_spec import ReadingSpec
from rlhf.errors import UserError, one_line

ENCRYPTED = bytes.fromhex("d0cf11e0a1b11ae1")  # how the container of older and of encrypted workbooks begins


def read_xlsx(place: str, stream: IO[bytes], reading: ReadingSpec) -> Iterator[Unparsed]:
    """Yield the rows of all sheets in their order; a formula stands for the value that was saved with it."""
    with seekable(stream) as source:
        _refuse(place, source, reading)
        yield from _sheets(place, source, reading)


def _refuse(place: str, source: IO[bytes], reading: ReadingSpec) -> None:
    """Raise UserError for what is no workbook or too large a one: its table of texts is held in memory."""
    if source.read(len(ENCRYPTED)) == ENCRYPTED:
        raise UserError(place, "an encrypted workbook, or one of the older kind", "Save it as xlsx without a password")
    source.seek(0)
    with damage(place, "xlsx"):
        archive = zipfile.ZipFile(source)
    with archive:
        size = sum(one.file_size for one in members(place, archive, reading))
    if size > reading.max_sheet_mb * MB:
        problem = f"the workbook unpacks to {size / MB:.0f} MB, more than {reading.max_sheet_mb:g}"
        raise UserError(
            place, problem, "Save it as csv, which is read line by line, or raise dataset.reading.max_sheet_mb"
        )
    source.seek(0)


def _sheets(place: str, source: IO[bytes], reading: ReadingSpec) -> Iterator[Unparsed]:
    import warnings

    import openpyxl

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and extensions, which no row depends on
            values, formulas = (
                openpyxl.load_workbook(source, read_only=True, data_only=saved) for saved in (True, False)
            )
            sheets = values.worksheets
            for number, sheet in enumerate(sheets):
                at = place if len(sheets) == 1 else f"{place}/{name_in_place(sheet.title)}"
                yield from _rows(at, sheet, formulas.worksheets[number], reading)
    except UserError:
        raise
    except Exception as error:  # the library raises whatever its XML leads it to: KeyError, ParseError, ValueError, ...
        raise UserError(place, f"not a whole xlsx file ({one_line(error)})", "Save it again as xlsx") from error


def _rows(place: str, sheet: Any, written: Any, reading: ReadingSpec) -> Iterator[Unparsed]:
    header: list[str] | None = None
    for one in (sheet, written):
        one.reset_dimensions()  # what a sheet says of its own size is often wrong
    for number, (cells, sources) in enumerate(zip(sheet.iter_rows(), written.iter_rows(), strict=True), start=1):
        at = f"{place}:{number}"
        row = _row(at, cells, sources, header)
        if row is None:
            continue
        if header is None:
            if isinstance(row, UserError):
                raise row
            header = row
            refuse_equal_names(at, header)
        elif isinstance(row, list) and sum(map(len, row)) > reading.max_row_mb * MB:
            yield at, too_long(at, reading)
        else:
            yield at, row if isinstance(row, UserError) else dict(zip(header, row, strict=True))


def _row(
    place: str, cells: Sequence[Any], sources: Sequence[Any], header: Sequence[str] | None
) -> list[str] | UserError | None:
    """Return the texts of a row, one for each column of the header; None where all are empty."""
    for cell, source in zip(cells, sources, strict=True):
        if cell.data_type == "e":
            return UserError(f"{place}, cell {cell.coordinate}", f"it holds the error {cell.value}", "Mend the cell")
        if cell.value is None and source.data_type == "f":
            problem = "a formula without a value"
            return UserError(f"{place}, cell {cell.coordinate}", problem, "Open the file and save it again")
    texts = [shown(cell.value) for cell in cells]
    while texts and not texts[-1]:
        texts.pop()
    if not texts or header is None:
        return texts or None
    if len(texts) > len(header):
        problem = f"{len(texts)} cells where the header has {len(header)}"
        return UserError(place, problem, "Name the columns in the first row, or clear the cells beside them")
    return texts + [""] * (len(header) - len(texts))


def shown(value: Any) -> str:
    """Write a cell's value as text: whole numbers without a point, dates as ISO 8601, truth as TRUE or FALSE."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return str(value)
