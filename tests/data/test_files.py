"""Reading files: every kind, and the table of what can be wrong with one."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rlhf.data import load_corpus
from rlhf.data.files import read_records
from rlhf.data.reading.base import UNBOUNDED
from rlhf.errors import UserError

ROWS = [{"prompt": "¿Qué tal?", "completion": "Bien, gracias"}, {"prompt": "Hi, you", "completion": 'Say "hello"\nnow'}]


def write(folder: Path, name: str) -> str:
    import pyarrow
    import pyarrow.parquet

    file = folder / name
    plain = file.with_suffix("") if name.endswith(".gz") else file
    if ".jsonl" in name:
        plain.write_text("\n\n".join(json.dumps(row) for row in ROWS), encoding="utf-8-sig")
    elif ".json" in name:
        plain.write_text(json.dumps(ROWS, indent=1, ensure_ascii=False), encoding="utf-8")
    elif ".csv" in name:
        plain.write_text(
            'prompt,completion\n"¿Qué tal?","Bien, gracias"\n"Hi, you","Say ""hello""\nnow"\n', encoding="utf-8"
        )
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), plain)
    if file != plain:
        file.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    return str(file)


@pytest.mark.parametrize("zipped", ["", ".gz"])
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_every_kind_of_file_gives_the_same_rows(kind: str, zipped: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"rows.{kind}{zipped}")
    records = list(read_records(path, UNBOUNDED))
    assert [row for _, row in records] == ROWS
    assert all(place.startswith(f"{path}:") for place, _ in records)


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name, number in (("sub/b.jsonl", 2), ("a.jsonl", 1), ("README.md", 0)):
        (tmp_path / name).write_text(json.dumps({"n": number}))
    assert [row for _, row in read_records(str(tmp_path), UNBOUNDED)] == [{"n": 1}, {"n": 2}]


def test_files_that_are_not_read_are_named_in_the_account(tmp_path: Path, spec_of) -> None:
    line = '{"prompt": "Question %d", "completion": "Answer"}\n'
    (tmp_path / "a.jsonl").write_text("".join(line % n for n in range(40)))
    (tmp_path / "b.ndjson").write_text("".join(line % n for n in range(40, 60)))
    for name in ("c.txt", ".hidden.txt", "e.pickle"):
        (tmp_path / name).write_text("x")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for name in ("./x.jsonl", "notes/about.md", "__MACOSX/x.jsonl", ".y.jsonl", "./.z.txt"):
            archive.writestr(name, line % 100)
    corpus = load_corpus(spec_of("table", path=str(tmp_path)), "demonstration")
    told = [(count.step, count.before, count.after) for count in corpus.counts[:2]]
    named = "files of other kinds, not read: 'c.txt', 'e.pickle', 'd.zip/notes/about.md'"
    assert told == [("read", 61, 61), (named, 61, 61)]
    few = load_corpus(spec_of("table", path=str(tmp_path / "a.jsonl")), "demonstration")
    assert not any("not read" in count.step for count in few.counts)


@pytest.mark.parametrize("stream_over_mb", [100, 0])
def test_holes_of_a_list_are_counted_and_not_broken(stream_over_mb: float, tmp_path: Path, spec_of) -> None:
    rows: list[object] = [{"prompt": f"Question {n}", "completion": "Answer"} for n in range(40)]
    (tmp_path / "a.json").write_text(json.dumps([None, *rows[:7], None, *rows[7:], None]))  # ids 1 to 7, 9, ...
    reading = {**UNBOUNDED.model_dump(), "stream_over_mb": stream_over_mb, "workers": 1}
    corpus = load_corpus(spec_of("table", path=str(tmp_path / "a.json"), reading=reading), "demonstration")
    told = [(count.step, count.before, count.after) for count in corpus.counts[:2]]
    assert told == [("read", 43, 43), ("null in a list of records", 43, 40)]


def test_json_lines_under_the_name_json_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"n": 1}\n{"n": 2}\n')
    assert [row for _, row in read_records(str(tmp_path / "x.json"), UNBOUNDED)] == [{"n": 1}, {"n": 2}]


GOOD = b'{"prompt": "a", "completion": "b"}\n'
BAD = {
    "not JSON": ("f.jsonl", GOOD + b"{oops\n", r"f\.jsonl:2: not JSON"),
    "cut JSON line": ("f.jsonl", GOOD + GOOD + b'{"prompt": "a', r"f\.jsonl:3: not JSON"),
    "not UTF-8": ("f.jsonl", GOOD + '{"prompt": "é"}'.encode("latin-1"), r"f\.jsonl:2: not UTF-8 \(byte 13"),
    "a list": ("f.jsonl", b"[1, 2]\n", r"f\.jsonl:1: a list where an object"),
    "deep": ("f.jsonl", b"[" * 200_000, r"f\.jsonl:1: not JSON"),
    "missing column": ("f.jsonl", GOOD + b'{"prompt": "a"}\n', r"f\.jsonl:2, column 'completion': .*only: prompt"),
    "a number": ("f.jsonl", b'{"prompt": 3, "completion": "b"}\n', r"f\.jsonl:1, column 'prompt': a int where text"),
    "empty": ("f.jsonl", b"", r"f\.jsonl: the file holds no rows"),
    "blank": ("f.jsonl", b"\n \n", r"f\.jsonl: the file holds no rows"),
    "empty json": ("f.json", b"", r"f\.json: the file holds no rows"),
    "json": ("f.json", b'[{"prompt": "a", "completion": "b"},\n{', r"f\.json:2: not JSON"),
    "json list of text": ("f.json", b'["a"]', r"f\.json:row 1: a str where an object"),
    "csv header only": ("f.csv", b"prompt,completion\n", r"f\.csv: the file holds no rows"),
    "csv short": ("f.csv", b"prompt,completion\na\n", r"f\.csv:2: not as many fields as the header's 2"),
    "csv long": ("f.csv", b"prompt,completion\na,b,c\n", r"f\.csv:2: not as many fields as the header's 2"),
    "csv open quote": ("f.csv", b'prompt,completion\na,"b\nc,d\n', r"f\.csv:2: not comma-separated"),
    "csv semicolons": ("f.csv", b"prompt;completion\na;b\n", r"f\.csv:1: the header is separated by semicolons"),
    "csv tabs": ("f.csv", b"prompt\tcompletion\na\tb\n", r"f\.csv:1: the header is separated by tabs"),
    "csv not UTF-8": ("f.csv", b"prompt,completion\na,\xe9\n", r"f\.csv:2: not UTF-8"),
    "parquet": ("f.parquet", b"PAR1 not really", r"f\.parquet: not a whole parquet file"),
    "not gzip": ("f.jsonl.gz", GOOD, r"f\.jsonl\.gz: the gzip file is damaged"),
    "cut gzip": ("f.jsonl.gz", gzip.compress(GOOD * 50)[:-12], r"f\.jsonl\.gz: the gzip file is damaged or cut short"),
    "unknown kind": ("f.xls", b"PK", r"f\.xls: a \.xls file cannot be read\. Use one of \.jsonl"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_broken_file_is_one_line_with_place_and_remedy(case: str, tmp_path: Path, spec_of) -> None:
    name, content, message = BAD[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load_corpus(spec_of("table", path=str(tmp_path / name)), "demonstration")
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_a_missing_file_and_a_folder_without_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.path: there is no nowhere\.jsonl"):
        list(read_records("nowhere.jsonl", UNBOUNDED))
    with pytest.raises(UserError, match="holds no data file"):
        list(read_records(str(tmp_path), UNBOUNDED))


def in_fresh_process(code: str, home: Path) -> str:
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_an_unreachable_hub_points_to_dataset_path(tmp_path: Path) -> None:
    code = """
from rlhf.data.files import read_hub
from rlhf.errors import UserError
try:
    list(read_hub("Anthropic/hh-rlhf", "helpful-base", None))
except UserError as error:
    print(error)
"""
    said = in_fresh_process(code, tmp_path)
    assert said.startswith("dataset.hub_id: Anthropic/hh-rlhf could not be fetched from the hub")
    assert "dataset.path=FILE" in said


def test_the_hub_client_reads_every_split_of_a_configuration_folder(tmp_path: Path) -> None:
    (tmp_path / "set" / "part").mkdir(parents=True)
    for split in ("train", "test"):
        (tmp_path / "set" / "part" / f"{split}.jsonl").write_text(json.dumps({"prompt": split}) + "\n")
    code = f"""
from rlhf.data.files import read_hub
print(sorted(row["prompt"] for _, row in read_hub({str(tmp_path / "set")!r}, "part", None)))
"""
    assert in_fresh_process(code, tmp_path / "home") == "['test', 'train']"
