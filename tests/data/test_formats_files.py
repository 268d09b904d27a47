"""Each kind of file that a data set is published or exported in, written here and read through `dataset.path`."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlhf.data import load_corpus
from rlhf.data.rows import Row
from tests.data.test_formats_any import examples

Write = Callable[[Path, list[dict[str, Any]]], Path]


def as_csv(folder: Path, raw: list[dict[str, Any]]) -> Path:
    file = folder / "rows.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(raw[0]))
        writer.writeheader()
        writer.writerows(raw)
    return file


def as_xlsx(folder: Path, raw: list[dict[str, Any]]) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(list(raw[0]))
    for row in raw:
        sheet.append(list(row.values()))
    book.save(folder / "rows.xlsx")
    return folder / "rows.xlsx"


def as_parquet(folder: Path, raw: list[dict[str, Any]]) -> Path:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(raw), folder / "rows.parquet")
    return folder / "rows.parquet"


def as_jsonl(folder: Path, raw: list[dict[str, Any]]) -> Path:
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, raw)), encoding="utf-8")
    return folder / "rows.jsonl"


def as_list(folder: Path, raw: list[dict[str, Any]]) -> Path:
    (folder / "rows.json").write_text(json.dumps(raw, indent=2), encoding="utf-8")
    return folder / "rows.json"


def by_id(folder: Path, raw: list[dict[str, Any]]) -> Path:
    (folder / "rows.json").write_text(json.dumps({f"id{at}": row for at, row in enumerate(raw)}), encoding="utf-8")
    return folder / "rows.json"


def as_database(folder: Path, raw: list[dict[str, Any]]) -> Path:
    """A store of votes, with a table of its own beside them."""
    file = folder / "feedback.sqlite"
    columns = list(raw[0])
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE schema_version (number INTEGER)")
        database.execute(f"CREATE TABLE votes ({', '.join(columns)})")
        for row in raw:
            flat = [json.dumps(cell) if isinstance(cell, list | dict) else cell for cell in row.values()]
            database.execute(f"INSERT INTO votes VALUES ({', '.join('?' * len(columns))})", flat)
    database.close()
    return file


def many(name: str, column: str, mark: Callable[[Any, int], Any]) -> list[dict[str, Any]]:
    """Forty rows like the example, each with a prompt of its own, enough to be cut in three."""
    first = examples(name)[0]
    return [{**first, **{part: mark(first[part], at) for part in column.split(" and ")}} for at in range(40)]


def appended(text: str, at: int) -> str:
    return f"{text} {at}"


def bus(text: str, at: int) -> str:
    return text.replace(
        "bus", f"bus of {at} seats and a long way to go"
    )  # the first exchange, which ties rows together


def in_first_turn(key: str) -> Callable[[Any, int], Any]:
    return lambda turns, at: [{**turns[0], key: f"{turns[0][key]} {at}"}, *turns[1:]]


CASES: list[tuple[str, Write, str, Callable[[Any, int], Any], int]] = [  # ..., rows that a record gives
    ("synthetic_persona_chat", as_csv, "user 1 personas and user 2 personas", appended, 1),
    ("tourism_pairs", as_csv, "user_input", bus, 1),
    ("tourism_pairs", as_xlsx, "user_input", bus, 1),
    ("tourism_pairs", as_jsonl, "user_input", bus, 1),
    ("bitext", as_csv, "instruction", lambda text, at: text + "x" * at, 1),
    ("blended_skill_talk", as_parquet, "personas", lambda lines, at: [*lines, f"i am {at}."], 2),
    ("personachat", as_parquet, "personality", lambda lines, at: [*lines, f"I am {at}."], 1),
    ("multiwoz", by_id, "log", in_first_turn("text"), 1),
    ("crosswoz", by_id, "messages", in_first_turn("content"), 1),
    ("sgd_travel", as_list, "turns", in_first_turn("utterance"), 1),
    ("qa_feedback", as_list, "question", appended, 5),
    ("oasst", as_list, "history", lambda turns, at: [[f"{turns[0][0]} {at}", turns[0][1]]], 3),
    ("dpo_mix", as_list, "conversations", lambda turns, at: [turns[0], {**turns[1], "value": f"Prime {at}?"}], 1),
    ("kto_mix", as_list, "instruction", appended, 1),
    ("taskmaster_reward", as_jsonl, "context", lambda text, at: text.replace("latte", f"latte {at}"), 1),
    ("feedback_export", by_id, "prompt", appended, 1),
    ("feedback", as_jsonl, "prompt", in_first_turn("content"), 1),
    ("feedback", as_database, "prompt", in_first_turn("content"), 1),
    ("pairs", as_jsonl, "prompt", in_first_turn("content"), 1),
]


@pytest.mark.parametrize(("name", "write", "column", "mark", "each"), CASES)
def test_a_local_copy_loads_whatever_it_is_published_as(name, write, column, mark, each, tmp_path, spec_of) -> None:
    raw = many(name, column, mark)
    for at, record in enumerate(raw):
        if "conversation_id" in record:  # which ties steps together
            record["conversation_id"] = f"dlg-{at}"
    split = {"validation": 0.2, "test": 0.2, "seed": 0, "folds": None, "fold": 0}
    spec = spec_of(name, path=str(write(tmp_path, raw)), split=split)
    corpus = load_corpus(spec, "preference" if spec.has_pairs else "demonstration")
    assert corpus.counts[0].after == 40
    rows: list[Row] = [*corpus.train, *corpus.validation, *corpus.test]
    assert len(rows) == 40 * each
    assert len({row.group for row in rows}) == 40
    assert not {row.group for row in corpus.train} & {row.group for row in [*corpus.validation, *corpus.test]}


def test_a_flat_export_of_votes_loads_as_a_spreadsheet(tmp_path: Path, spec_of) -> None:
    raw = [
        {
            "prompt": f"q{at}",
            "response1": "a",
            "response2": "b",
            "selected": f"Response {1 + at % 2}",
            "overall_quality": 3,
        }
        for at in range(40)
    ]
    corpus = load_corpus(spec_of("feedback_export", path=str(as_csv(tmp_path, raw))), "preference")
    chosen = {(row.chosen, row.meta["selected"]) for row in corpus.train}
    assert chosen == {("a", 1), ("b", 2)}
