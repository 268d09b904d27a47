"""Sheets, databases and archives that are not as they should be, and how far they may unpack."""

from __future__ import annotations

import gzip
import io
import sqlite3
import stat
import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from rlhf.data.files import read_records, unpacked_bytes
from rlhf.errors import UserError
from tests.odd_files import SMALL, A, B, put, read, refused, rows


def workbook(folder: Path, *sheets: Sequence[Sequence[Any]]) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, cells in enumerate(sheets, start=1):
        sheet = book.create_sheet(f"S{number}")
        for row in cells:
            sheet.append(list(row))
    book.save(folder / "f.xlsx")
    return folder / "f.xlsx"


def test_cells_are_the_texts_that_a_csv_would_hold(tmp_path: Path) -> None:
    cells = [7, 7.0, 0.5, True, date(2025, 3, 1), datetime(2025, 3, 1, 12, 30), "ä\nb", None, " x"]
    names = [f"c{number}" for number in range(len(cells))]
    ((place, row),) = read(workbook(tmp_path, [names, cells]))
    assert place == "f.xlsx:2"
    assert list(row.values()) == ["7", "7", "0.5", "TRUE", "2025-03-01", "2025-03-01 12:30:00", "ä\nb", "", " x"]


def test_every_sheet_is_read_and_empty_rows_and_short_rows_are_no_fault(tmp_path: Path) -> None:
    file = workbook(tmp_path, [["n", "prompt"], [], [1, "a"], [2]], [["prompt"], ["b"]])
    assert read(file) == [
        ("S1:3", {"n": "1", "prompt": "a"}),
        ("S1:4", {"n": "2", "prompt": ""}),
        ("S2:2", B),
    ]


def test_cells_that_say_nothing_are_broken_rows(tmp_path: Path) -> None:
    file = workbook(
        tmp_path, [["n", "prompt"], [1, "=A2"], [2, "#DIV/0!"], [3, "a", "beside"], [4, "x" * 2000], [5, "a"]]
    )
    formula, error, beside, long, last = rows(file)
    assert formula.startswith("f.xlsx:2, cell B2: a formula without a value. Open the file and save it again")
    assert error.startswith("f.xlsx:3, cell B3: it holds the error #DIV/0!")
    assert beside.startswith("f.xlsx:4: 3 cells where the header has 2")
    assert long.startswith("f.xlsx:5: the row is larger than 0.001 MB")
    assert last == {"n": "5", "prompt": "a"}


def test_a_formula_stands_for_its_saved_value(tmp_path: Path) -> None:
    file = workbook(tmp_path, [["n"], ["=40+2"]])
    packed = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"<v></v>", b"<v>42</v>").replace(b"<v />", b"<v>42</v>"))
    assert rows(put(tmp_path, "f.xlsx", packed.getvalue())) == [{"n": "42"}]


def test_a_sheet_whose_stated_size_is_wrong_is_read_whole(tmp_path: Path) -> None:
    file = workbook(tmp_path, [["n", "prompt"], [1, "a"]])
    packed = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'ref="A1:B2"', b'ref="A1"'))
    assert rows(put(tmp_path, "f.xlsx", packed.getvalue())) == [{"n": "1", "prompt": "a"}]


def test_workbooks_that_are_none_are_refused(tmp_path: Path) -> None:
    whole = workbook(tmp_path, [["n"], [1]]).read_bytes()
    assert "damaged or cut short" in refused(put(tmp_path, "f.xlsx", whole[:-40]))
    assert "damaged or cut short" in refused(put(tmp_path, "f.xlsx", b"PK"))
    assert "encrypted workbook, or one of the older" in refused(
        put(tmp_path, "f.xlsx", bytes.fromhex("d0cf11e0a1b11ae1"))
    )
    with zipfile.ZipFile(tmp_path / "f.xlsx", "w") as archive:
        archive.writestr("a.txt", "a")
    assert "not a whole xlsx file" in refused(tmp_path / "f.xlsx")
    with zipfile.ZipFile(tmp_path / "f.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", b"x" * 2_000_000)
    assert "the workbook unpacks to 2 MB, more than 1" in refused(tmp_path / "f.xlsx")


def test_sqlite_gives_the_rows_of_the_votes_or_of_its_only_table(tmp_path: Path) -> None:
    file = tmp_path / "f.sqlite"
    database = sqlite3.connect(file)
    database.executescript("CREATE TABLE a (n, text); INSERT INTO a VALUES (1, 'é'), (NULL, CAST(x'ff' AS TEXT));")
    database.commit()
    assert read(file) == [("f.sqlite:row 1", {"n": 1, "text": "é"}), ("f.sqlite:row 2", {"n": None, "text": "\udcff"})]
    database.execute("CREATE TABLE b (n)")
    assert "it holds the tables a, b, none of them 'votes'" in refused(file)
    database.executescript("CREATE TABLE votes (prompt); INSERT INTO votes VALUES ('a')")
    database.close()
    assert rows(file) == [A]
    assert "not a whole SQLite database" in refused(put(tmp_path, "g.db", b"x" * 5000))
    assert "a packed database cannot be read" in refused(put(tmp_path, "f.db.gz", gzip.compress(file.read_bytes())))


def parquet(file: Path, columns: dict[str, list[Any]], names: Sequence[str] | None = None) -> Path:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(columns)
    pyarrow.parquet.write_table(table.rename_columns(list(names)) if names else table, file)
    return file


def test_parquet_rows_are_bounded_and_its_columns_told_apart(tmp_path: Path) -> None:
    first, long, last = rows(parquet(tmp_path / "f.parquet", {"prompt": ["a", "x" * 5000, "b"]}))
    assert (first, last) == (A, B)
    assert long.startswith("f.parquet:row 2: the row is larger than 0.001 MB")
    twice = parquet(tmp_path / "g.parquet", {"a": [1], "b": [2]}, ["n", "n"])
    assert refused(twice).startswith("g.parquet: 2 columns are named 'n'")
    whole = (tmp_path / "f.parquet").read_bytes()
    assert refused(put(tmp_path, "h.parquet", whole[:-9])).startswith("h.parquet: not a whole parquet file")
    assert refused(put(tmp_path, "h.parquet", b"")).startswith("h.parquet: not a whole parquet file")


def test_a_zip_is_read_like_a_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "f.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sub/b.jsonl.gz", gzip.compress(b'{"prompt": "b"}\n'))
        archive.writestr("a.csv", "prompt\na\n")
        archive.writestr("README.md", "about")
        archive.writestr("__MACOSX/._a.csv", b"\0\5")
        parquet(tmp_path / "c.parquet", {"prompt": ["c"]})
        archive.write(tmp_path / "c.parquet", "sub/c.parquet")
        archive.write(workbook(tmp_path, [["prompt"], ["d"]]), "d.xlsx")
    found = [
        (place.removeprefix(f"{tmp_path}/"), raw["prompt"])
        for place, raw in read_records(str(tmp_path / "f.zip"), SMALL)
    ]  # type: ignore[index]
    assert found == [
        ("f.zip/a.csv:2", "a"),
        ("f.zip/d.xlsx:2", "d"),
        ("f.zip/sub/b.jsonl.gz:1", "b"),
        ("f.zip/sub/c.parquet:row 1", "c"),
    ]


def zipped(folder: Path, name: str, content: bytes = b'{"prompt": "a"}\n', mode: int = 0) -> Path:
    with zipfile.ZipFile(folder / "f.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = mode << 16
        archive.writestr(info, content)
    return folder / "f.zip"


@pytest.mark.parametrize(
    "name", ["../x.jsonl", "/etc/x.jsonl", "a/../../x.jsonl", "C:\\x.jsonl", "..\\x.jsonl", "c:x.jsonl"]
)
def test_a_name_that_leads_out_of_an_archive_is_refused(name: str, tmp_path: Path) -> None:
    said = refused(zipped(tmp_path, name))
    assert "a name that leads out of the archive" in said
    assert sorted(file.name for file in tmp_path.iterdir()) == ["f.zip"]


def test_archives_that_mean_no_good_are_refused(tmp_path: Path) -> None:
    assert "a link or a device" in refused(zipped(tmp_path, "x.jsonl", b"/etc/passwd", stat.S_IFLNK | 0o777))
    assert "signs that cannot be shown" in refused(zipped(tmp_path, "a\nb.jsonl"))
    assert "f.zip/in.zip: a zip file in a zip file" in refused(zipped(tmp_path, "in.zip"))
    assert "f.zip: the zip file holds no data file" in refused(zipped(tmp_path, "a.txt"))
    assert "f.zip/a.jsonl: the file holds no rows" in refused(zipped(tmp_path, "a.jsonl", b""))
    sound = zipped(tmp_path, "a.jsonl").read_bytes()
    assert "f.zip: the zip file is damaged or cut short" in refused(put(tmp_path, "f.zip", sound[:-5]))
    bad = sound.replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01").replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
    )
    assert "it is encrypted" in refused(put(tmp_path, "f.zip", bad))


def test_a_packed_file_that_unpacks_to_far_too_much_is_left_early(tmp_path: Path) -> None:
    line = b'{"prompt": "' + b" " * 900 + b'"}\n'
    bomb = line * 120_000  # 110 MB, hundreds of times what it packs to
    packed = put(tmp_path, "f.jsonl.gz", gzip.compress(bomb, 1))
    said = refused(packed)
    assert said.startswith("f.jsonl.gz: it unpacks to more than 50 times its")
    assert "dataset.reading.max_unpacked_ratio" in said
    assert "f.zip/'x.jsonl': it unpacks to more than 50 times its" in refused(zipped(tmp_path, "x.jsonl", bomb))
    large = SMALL.model_copy(update={"max_unpacked_gb": 0.1, "max_unpacked_ratio": 1e6})
    for file in (packed, tmp_path / "f.zip"):
        with pytest.raises(UserError, match=r"it unpacks to more than 0.1 GB\. .*dataset\.reading\.max_unpacked_gb"):
            list(read_records(str(file), large))


def test_the_unpacked_size_is_told_without_unpacking(tmp_path: Path) -> None:
    content = b'{"prompt": "a"}\n' * 1000
    assert unpacked_bytes(put(tmp_path, "f.jsonl", content)) == 16_000
    assert unpacked_bytes(put(tmp_path, "f.jsonl.gz", gzip.compress(content))) == 16_000
    assert unpacked_bytes(zipped(tmp_path, "a.jsonl", content)) == 16_000
    assert unpacked_bytes(put(tmp_path, "f.zip", b"no zip")) == 6
