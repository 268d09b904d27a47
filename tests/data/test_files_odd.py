"""Text files that are not as they should be: what is read all the same, what is a broken row, what ends the reading."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rlhf.data.columns import parsed
from rlhf.data.files import data_files, read_records
from rlhf.errors import UserError
from tests.odd_files import SMALL, A, B, put, read, refused, rows


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("f.jsonl", ['{"prompt": "é😀"}', "", '{"prompt": "b"}', ""]),
        ("f.json", ['[{"prompt":', '"é😀"}, {"prompt": "b"}]']),
        ("f.csv", ["prompt", "é😀", "b", ""]),
        ("f.tsv", ["prompt", "é😀", "b"]),
    ],
)
def test_line_ends_and_marked_encodings_make_no_difference(
    name: str, lines: Sequence[str], encoding: str, end: str, tmp_path: Path
) -> None:
    text = end.join(lines)
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    assert rows(put(tmp_path, name, mark + text.encode(encoding))) == [{"prompt": "é😀"}, B]


def test_lines_are_numbered_as_an_editor_does_whatever_ends_them(tmp_path: Path) -> None:
    file = put(tmp_path, "f.jsonl", b'\n{"prompt": "a"}\r\n\r{"prompt": "b"}')
    assert read(file) == [("f.jsonl:2", A), ("f.jsonl:4", B)]


def test_a_mark_in_the_middle_is_that_of_a_file_that_was_appended(tmp_path: Path) -> None:
    assert rows(put(tmp_path, "f.jsonl", '\ufeff{"prompt": "a"}\n\ufeff{"prompt": "b"}')) == [A, B]


BROKEN_LINES = {
    "equal keys": ('{"prompt": "x", "prompt": "y"}', "f.jsonl:2: the key 'prompt' stands twice in one object"),
    "equal keys below": ('{"a": [{"b": 1, "b": 1}]}', "f.jsonl:2: the key 'b' stands twice"),
    "NaN": ('{"a": NaN}', "f.jsonl:2: NaN is no JSON"),
    "infinite": ('{"a": -Infinity}', "f.jsonl:2: -Infinity is no JSON"),
    "beyond a float": ('{"a": 1e999}', "f.jsonl:2: 1e999 is too large a number"),
    "a long number": ('{"a": ' + "9" * 5000 + "}", "f.jsonl:2: the row is larger than 0.001 MB"),
    "null": ("null", "f.jsonl:2: a NoneType where an object with columns was expected"),
    "a NUL": ('{"a": "\0"}', "f.jsonl:2: a NUL (byte 8 of the line)"),
    "a deep list": (
        '{"a": ' + "[" * 100 + "]" * 100 + "}",
        "f.jsonl:2: not JSON that can be read (nested more than 100",
    ),
    "cut": ('{"a": "x', "f.jsonl:2: not JSON (Unterminated string starting at, column 7)"),
    "long": ('{"a": "' + "x" * 1000 + '"}', "f.jsonl:2: the row is larger than 0.001 MB"),
    "a comment": ("# a", "f.jsonl:2: not JSON (Expecting value, column 1). Write one JSON object per line"),
    "two objects": ("{} {}", "f.jsonl:2: not JSON (Extra data, column 4)"),
}


@pytest.mark.parametrize("case", BROKEN_LINES)
def test_a_broken_line_is_one_row_and_the_next_is_read(case: str, tmp_path: Path) -> None:
    line, problem = BROKEN_LINES[case]
    first, broken, last = rows(put(tmp_path, "f.jsonl", f'{{"prompt": "a"}}\n{line}\n{{"prompt": "b"}}'))
    assert (first, last) == (A, B)
    assert broken.startswith(problem)


def test_what_json_allows_is_read(tmp_path: Path) -> None:
    row = {"n": 10**40, "x": -1.5e300, "deep": [[[{}]]], "none": None, "text": "\u2028\u0000 é", "": [True]}
    assert rows(put(tmp_path, "f.jsonl", json.dumps(row) + "\n" + json.dumps(row, ensure_ascii=False))) == [row, row]


def test_99_levels_below_the_row_are_not_too_deep(tmp_path: Path) -> None:
    row = json.loads('{"a": ' + "[" * 99 + "]" * 99 + "}")
    assert rows(put(tmp_path, "f.jsonl", json.dumps(row))) == [row]


def test_a_line_far_beyond_the_bound_is_skipped_whole(tmp_path: Path) -> None:
    long = '{"prompt": "' + "x" * 5_000_000 + '"}'
    first, middle, last = read(put(tmp_path, "f.jsonl", f'{{"prompt": "a"}}\r\n{long}\r\n{{"prompt": "b"}}\r\n'))
    assert (first, last) == (("f.jsonl:1", A), ("f.jsonl:3", B))
    assert middle[0] == "f.jsonl:2"
    assert "dataset.reading.max_row_mb" in str(middle[1])


DOCUMENTS: dict[str, tuple[str, list[Any]]] = {
    "a list": ('[{"prompt": "a"}, {"prompt": "b"}]', [("row 1", A), ("row 2", B)]),
    "an empty row": ("[{}]", [("row 1", {})]),
    "objects by id": ('{"x": {"prompt": "a"},\n "y": {"prompt": "b"}}', [("x", A), ("y", B)]),
    "under one name": ('{"votes": {"x": {"prompt": "a"}}}', [("x", A)]),
    "one record in lines": ('{\n"prompt": "a"\n}', [("row 1", A)]),
    "records in lines": ('{\n"prompt": "a"\n}\n{\n"prompt": "b"}', [("row 1", A), ("row 2", B)]),
    "lines": ('{"prompt": "a"}\n{"prompt": "b"}', [("1", A), ("2", B)]),
    "lines of objects": ('{"x": {"y": {}}}\n{"x": {"y": {}}}', [("1", {"x": {"y": {}}}), ("2", {"x": {"y": {}}})]),
    "one line": ('{"prompt": "a"}', [("1", A)]),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_json_file_tells_by_its_beginning_what_it_is(case: str, tmp_path: Path) -> None:
    text, expected = DOCUMENTS[case]
    file = put(tmp_path, "f.json", text)
    assert read(file) == [(f"f.json:{place}", row) for place, row in expected]


def test_a_document_beyond_the_bound_of_a_row_is_read_row_by_row(tmp_path: Path) -> None:
    many = {
        f"id{number}": {"prompt": "x" * 90, "n": [number]} for number in range(15_000)
    }  # 1.8 MB; a row may have 1 kB
    for name, whole in {
        "list": list(many.values()),
        "ids": many,
        "named": {"votes": many},
        "twice": {"export": {"votes": many}},
    }.items():
        file = put(tmp_path, f"{name}.json", json.dumps(whole, indent=1 if name == "named" else None))
        assert rows(file) == list(many.values()), name


def test_a_broken_row_of_a_list_is_one_row(tmp_path: Path) -> None:
    file = put(
        tmp_path, "f.json", b'[{"prompt": "a"},\n{"n": NaN}, {"n": 1, "n": 2},\n {"n": "\xe9"}, 7, {"prompt": "b"}]'
    )
    first, nan, twice, latin, seven, last = rows(file)
    assert (first, last) == (A, B)
    assert nan.startswith("f.json:row 2: NaN is no JSON")
    assert twice.startswith("f.json:row 3: the key 'n' stands twice")
    assert latin.startswith("f.json:3: not UTF-8 (byte 9 of the line)")
    assert seven.startswith("f.json:row 5: a int where an object")


CUT = {
    "in a row": ('[{"prompt": "a"},\n{"prompt', "f.json:2: not JSON (Unterminated string starting at, column 2)"),
    "between rows": ('[{"prompt": "a"}', "f.json:1: not JSON (Expecting ',' or ']', column 17)"),
    "after a comma": ('[{"prompt": "a"},', "f.json:1: not JSON (Expecting value, column 18)"),
    "two lists": ("[]\n[]", "f.json:2: not JSON (Extra data, column 1)"),
    "no comma": ('[{"prompt": "a"}\n{"prompt": "b"}]', "f.json:2: not JSON (Expecting ',' or ']', column 1)"),
    "an object of them": ('{"x": {"prompt": "a"},\n"y": {"prompt', "f.json:2: not JSON"),
    "a long row": ('[{"prompt": "' + "x" * 3_000_000 + '"}]', "f.json:1: the row is larger than 0.001 MB"),
    "a long record": ('{"prompt": "a",\n"more": "' + "x" * 3_000_000 + '"}', "f.json:1: the row is larger"),
    "text": ('"a"', "f.json:1: a str where an object"),
}


@pytest.mark.parametrize("case", CUT)
def test_a_damaged_document_names_the_line(case: str, tmp_path: Path) -> None:
    text, problem = CUT[case]
    file = put(tmp_path, "f.json", text)
    try:
        found = [raw for raw in rows(file) if isinstance(raw, str)]
    except UserError as error:
        found = [str(error).replace(f"{tmp_path}/", "")]
    assert found[-1].startswith(problem)


def test_a_csv_row_in_several_lines_is_named_by_its_first(tmp_path: Path) -> None:
    file = put(tmp_path, "f.csv", 'n,prompt\n1,"a\nb"\n\n2,c\n')
    assert read(file) == [("f.csv:2", {"n": "1", "prompt": "a\nb"}), ("f.csv:5", {"n": "2", "prompt": "c"})]


def test_broken_rows_of_a_csv_are_single_rows(tmp_path: Path) -> None:
    file = put(tmp_path, "f.csv", b"n,prompt\n1\n2,a,b\n3,\xe9\n4,a\0\n5,ok\n")
    short, long, latin, nul, last = rows(file)
    assert short.startswith("f.csv:2: not as many fields as the header's 2, but 1. Quote fields that hold commas")
    assert long.startswith("f.csv:3: not as many fields as the header's 2, but 3")
    assert latin.startswith("f.csv:4: not UTF-8 (byte 3 of the line). Save the file as UTF-8")
    assert nul.startswith("f.csv:5: a NUL (byte 4 of the line)")
    assert last == {"n": "5", "prompt": "ok"}


TABLES = {
    "equal names": ("f.csv", "prompt,n,prompt\n1,2,3\n", "f.csv:1: 2 columns are named 'prompt'. Give each"),
    "no names": ("f.csv", "prompt,,\n1,2,3\n", "f.csv:1: several columns have no name"),
    "tabs": ("f.csv", "a\tb\n1\t2\n", "f.csv:1: the header is separated by tabs, not by commas"),
    "commas": ("f.tsv", "a,b\n1,2\n", "f.tsv:1: the header is separated by commas, not by tabs"),
    "bad quote": ("f.csv", 'a,b\n"x" y,z\n', "f.csv:2: not comma-separated values (',' expected after '\"')"),
    "open quote": ("f.csv", 'a,b\n1,"x\n', "f.csv:2: not comma-separated values"),
    "open far": ("f.csv", 'a,b\n1,"x\n' + "2,y\n" * 500, "f.csv:2: the row is larger than 0.001 MB, or a quote"),
    "header in latin-1": ("f.csv", b"pr\xe9,b\n1,2\n", "f.csv:1: not UTF-8 (byte 3"),
    "header alone": ("f.csv", "prompt,completion\n", "f.csv: the file holds no rows"),
    "blank": ("f.csv", "\n \n"[:1], "f.csv: the file holds no rows"),
    "utf-16 cut": ("f.csv", "a,b\n1,2\n".encode("utf-16")[:-1], "f.csv:2 or later: marked as UTF-16, but it is not"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_that_cannot_be_trusted_is_refused(case: str, tmp_path: Path) -> None:
    name, content, problem = TABLES[case]
    assert refused(put(tmp_path, name, content)).startswith(problem)


def test_a_field_beyond_what_the_csv_module_takes_by_itself_is_read(tmp_path: Path) -> None:
    file = put(tmp_path, "f.csv", "prompt\n" + "x" * 200_000 + "\n")
    whole = SMALL.model_copy(update={"max_row_mb": 1.0})
    assert [raw for _, raw in read_records(str(file), whole)] == [{"prompt": "x" * 200_000}]


def test_what_only_looks_like_a_file_is_named_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    for path in (tmp_path / "pipe.jsonl", tmp_path):
        assert "pipe.jsonl: a pipe or a device, not a file" in refused(path)
    (tmp_path / "pipe.jsonl").unlink()
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    assert "gone.jsonl: a link that leads nowhere" in refused(tmp_path)
    (tmp_path / "gone.jsonl").unlink()
    (tmp_path / "x.jsonl").mkdir()
    assert "x.jsonl holds no data file" in refused(tmp_path / "x.jsonl")
    put(tmp_path / "x.jsonl", "a.jsonl", '{"prompt": "a"}')
    assert rows(tmp_path / "x.jsonl") == [A]
    assert "a pipe or a device" in refused(Path("/dev/zero"))
    assert "dataset.path: there is no a b" in refused(Path("a\0b"))
    assert "cannot be looked at" in refused(Path("x" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    file = put(tmp_path, "a.jsonl", '{"prompt": "a"}')
    file.chmod(0)
    assert "a.jsonl: cannot be read (Permission denied)" in refused(file)
    (tmp_path / "sub").mkdir(mode=0)
    assert "cannot be looked at (Permission denied)" in refused(tmp_path)


def test_folders_that_lead_in_a_circle_are_read_once_and_hidden_files_left_out(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", '{"prompt": "a"}')
    put(tmp_path, ".b.jsonl", "{oops")
    (tmp_path / ".cache").mkdir()
    put(tmp_path / ".cache", "c.jsonl", "{oops")
    (tmp_path / "round").symlink_to(tmp_path, target_is_directory=True)
    assert [file.name for file in data_files(str(tmp_path))] == ["a.jsonl"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"a": 1, "a": 2}', "column 'log': the key 'a' stands twice in one object"),
        ("[NaN]", "column 'log': NaN is no JSON"),
        ("[" * 200 + "]" * 200, "column 'log': not JSON that can be read (nested more than 100 deep)"),
        ("[", "column 'log': not JSON (Expecting value, column 2)"),
    ],
)
def test_json_inside_a_column_is_held_to_the_same(content: str, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        parsed(content, "log")
    assert str(caught.value) == f"{problem}. Mend the row."


def test_a_message_is_one_line_that_a_terminal_can_show() -> None:
    said = str(UserError("a\nb", "x\x1b[31m\udcff" + "y" * 2000, "mend"))
    assert said.isprintable()
    assert len(said) < 1100
