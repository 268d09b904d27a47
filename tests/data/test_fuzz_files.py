"""Any bytes under any name: records, or one line that says what is wrong; nothing is lost and nothing hangs."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.data.files import READERS, read_records
from rlhf.data.reading import jsons, window
from rlhf.data.reading import lines as lines_module
from rlhf.data.reading.base import UNBOUNDED
from rlhf.data.reading.lines import lines
from rlhf.data.reading.strict import parse_line
from rlhf.errors import UserError

SMALL = UNBOUNDED.model_copy(update={"max_row_mb": 0.005, "max_sheet_mb": 1.0, "max_unpacked_gb": 0.01})
ROWS = [{"prompt": "¿Qué?", "completion": 'Say "hi",\nnow'}, {"prompt": "b", "completion": "c"}]
NAMES = [f"f.{kind}" for kind in READERS] + [f"f.{kind}.gz" for kind in READERS] + ["f.zip"]


@cache
def sound(name: str) -> bytes:
    """A file of that name which holds ROWS."""
    import openpyxl
    import pyarrow
    import pyarrow.parquet

    if name.endswith(".gz"):
        return gzip.compress(sound(name.removesuffix(".gz")), mtime=0)
    kind, out = name.rpartition(".")[2], io.BytesIO()
    if kind in ("csv", "tsv"):
        text = io.StringIO()
        table = csv.writer(text, delimiter="," if kind == "csv" else "\t")
        table.writerows([list(ROWS[0]), *(row.values() for row in ROWS)])
        return text.getvalue().encode()
    if kind in ("json", "jsonl", "ndjson"):
        text_of = json.dumps(ROWS) if kind == "json" else "\n".join(map(json.dumps, ROWS))
        return text_of.encode()
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), out)
    elif kind == "xlsx":
        book = openpyxl.Workbook()
        for row in [list(ROWS[0]), *(list(row.values()) for row in ROWS)]:
            book.active.append(row)
        book.save(out)
    elif kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for inner in ("a.jsonl", "b.csv.gz", "c.parquet"):
                archive.writestr(inner, sound(inner))
    else:
        database = sqlite3.connect(":memory:")
        database.execute("CREATE TABLE votes (prompt, completion)")
        database.executemany("INSERT INTO votes VALUES (?, ?)", [tuple(row.values()) for row in ROWS])
        database.commit()
        return bytes(database.serialize())
    return out.getvalue()


def read(name: str, content: bytes) -> tuple[list[Any], UserError | None]:
    """Records of a file, and what ended the reading; whatever else is raised fails the test."""
    found: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_bytes(content)
        try:
            for place, raw in read_records(str(file), SMALL):
                assert place.startswith(str(file))
                found.append(raw)
        except UserError as error:
            end = error
        else:
            end = None
    for told in [*(raw for raw in found if isinstance(raw, UserError)), *([end] if end else [])]:
        assert str(told).isprintable()
        assert told.place.startswith(folder)
        assert told.remedy
    assert all(isinstance(raw, dict | UserError) for raw in found)
    assert found or end
    return found, end


@pytest.mark.parametrize("name", NAMES)
def test_any_bytes_are_records_or_one_line(name: str) -> None:
    signs = [b'{"', b'"a":', b"[", b"]", b"}", b",", b"\n", b"\r", b'"', b"1e9", b"null"]
    pieces = [*signs, b"\0", b"\xff\xfe", b"\xef\xbb\xbf"]

    @settings(max_examples=40)
    @given(st.binary(max_size=60) | st.lists(st.sampled_from(pieces), max_size=20).map(b"".join))
    def check(content: bytes) -> None:
        read(name, content)
        if name.endswith(".gz"):
            read(name, gzip.compress(content))

    check()


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_records_or_one_line(name: str) -> None:
    whole = sound(name)
    rows = {"f.zip": 3 * len(ROWS), "f.sqlite.gz": 0, "f.db.gz": 0}.get(name, len(ROWS))
    assert len([raw for raw in read(name, whole)[0] if isinstance(raw, dict)]) == rows
    place = st.integers(0, len(whole) - 1)

    @settings(max_examples=60)
    @given(
        st.lists(
            st.tuples(place, st.binary(max_size=3), st.sampled_from(["write", "insert", "cut", "end"])), max_size=4
        )
    )
    def check(changes: list[tuple[int, bytes, str]]) -> None:
        content = bytearray(whole)
        for at, new, how in changes:
            if how == "write":
                content[at : at + len(new)] = new
            elif how == "insert":
                content[at:at] = new
            else:
                del content[at : at + 5 if how == "cut" else len(content)]
        read(name, bytes(content))

    check()


# --- lines: what Python itself makes of the bytes

broken_text = st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"bc", b"\xe9", b"\0", b" "]), max_size=30).map(
    b"".join
)


@given(broken_text, st.integers(1, 6), st.integers(1, 5))
def test_lines_are_those_of_splitlines_wherever_blocks_end(text: bytes, most: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "BLOCK", block)
        found = list(lines(io.BytesIO(text), most))
    expected = [line if len(line) <= most else None for line in text.splitlines(keepends=True)]
    assert found == [*enumerate(expected, start=1)]


# --- JSON: what json.loads makes of it

values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=4), values, max_size=4)
indents = st.sampled_from([None, 1])


def in_blocks(block: int, read_it: Callable[[], Any]) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for module in (lines_module, jsons, window):
            patch.setattr(module, "BLOCK", block)
        return read_it()


@settings(max_examples=150)
@given(st.lists(objects | values, min_size=1, max_size=6), indents, st.booleans(), st.integers(1, 40))
def test_a_list_gives_each_of_its_values_wherever_blocks_end(
    whole: list[Any], indent: int | None, escaped: bool, block: int
) -> None:
    text = json.dumps(whole, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    found, end = in_blocks(block, lambda: read("f.json", text))
    assert end is None
    for raw, value in zip(found, whole, strict=True):
        assert raw == value if isinstance(value, dict) else isinstance(raw, UserError)


@settings(max_examples=100)
@given(
    st.dictionaries(st.text(max_size=4), objects, min_size=2, max_size=5), indents, st.booleans(), st.integers(1, 40)
)
def test_an_object_of_objects_gives_each_of_them(
    whole: dict[str, Any], indent: int | None, named: bool, block: int
) -> None:
    text = json.dumps({"votes": whole} if named else whole, indent=indent).encode()
    found, end = in_blocks(block, lambda: read("f.json", text))
    assert end is None
    assert found == list(whole.values())


@given(st.lists(objects, min_size=1, max_size=5), st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n "]))
def test_lines_of_json_give_each_of_their_objects(rows: list[Any], end: bytes) -> None:
    text = end.join(json.dumps(row).encode() for row in rows)
    assert read("f.jsonl", text) == (rows, None)


@given(
    st.lists(
        st.sampled_from([b'{"a": 1}', b"{oops", b"[1]", b'{"a": 1, "a": 2}', b'{"a": "\xe9"}', b"", b" "]), max_size=12
    )
)
def test_every_line_that_is_not_blank_is_a_row_or_named(rows: list[bytes]) -> None:
    found, end = read("f.jsonl", b"\n".join(rows))
    full = [row for row in rows if row.strip()]
    assert [isinstance(raw, dict) for raw in found] == [row == b'{"a": 1}' for row in full]
    assert bool(end) == (not full)


@given(st.text(max_size=30))
def test_strict_json_takes_nothing_that_is_none_and_changes_nothing(text: str) -> None:
    line = text.encode("utf-8", "replace")
    try:
        value = json.loads(line)
    except ValueError:
        assert isinstance(parse_line("here", line), UserError)
    else:
        made = parse_line("here", line)
        assert isinstance(made, UserError) or made == value


# --- tables: what was written comes back

cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@settings(max_examples=100)
@given(
    st.integers(2, 4).flatmap(
        lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=5)
    ),
    st.sampled_from(["csv", "tsv"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_a_table_that_the_csv_module_wrote_comes_back(table: list[list[str]], kind: str, end: str) -> None:
    names = [f"column {number}" for number in range(len(table[0]))]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter="," if kind == "csv" else "\t", lineterminator=end).writerows([names, *table])
    expected = [dict(zip(names, row, strict=True)) for row in table]
    assert read(f"f.{kind}", text.getvalue().encode()) == (expected, None)
