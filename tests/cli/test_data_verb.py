"""`rlhf data` on the command line: what it shows and writes, what it refuses, and that no personal value gets out."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from commandline import Done, Here, tracked
from rich.console import Console

from rlhf.report.data_table import show, spark

FEW = ("dataset.rows=120", "tracking=none")
PERSONAL = ("maria.lopez@gmail.com", "4539 1488 0343 6467", "DE75512108001245126199", "+34 612 345 678")
COLUMNS = "dataset.columns={prompt: ask, chosen: good, rejected: bad}"


def told(done: Done) -> Any:
    assert done.code == 0, done.err
    return json.loads(done.out)


def write(folder: Path, rows: Sequence[Any], name: str = "rows.jsonl") -> str:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


def pairs(count: int) -> list[dict[str, str]]:
    names = ("order", "refund", "museum", "train", "ticket", "invoice", "parcel", "garden", "hotel", "breakfast")
    return [
        {"ask": f"Tell me about the {names[at % 10]} of {names[at // 10]}", "good": f"Gladly {at}.", "bad": "No."}
        for at in range(count)
    ]


def test_the_default_data_is_shown_and_its_page_named(here: Here, tmp_path: Path) -> None:
    done = here("data", *FEW, folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    (page,) = (tmp_path / "outputs" / "data").iterdir()
    assert page.name.startswith("support_toy-") and len(page.stem) == len("support_toy-") + 8
    assert f"page     outputs/data/{page.name}" in done.out
    for text in ("support_toy as preference rows: 120", "every row", "tokens", "intent (12)", "findings 0 errors"):
        assert text in done.out
    assert [file.name for file in tmp_path.iterdir()] == ["outputs"]


@pytest.mark.parametrize("width", [80, 140])
def test_the_tables_fit_a_screen(width: int, here: Here, tmp_path: Path) -> None:
    values = told(here("data", "--json", *FEW, folder=tmp_path))
    screen = io.StringIO()
    show(values, Console(file=screen, width=width))
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in screen.getvalue()
    assert any(sign in screen.getvalue() for sign in "▅▆▇") == (width == 140)


def test_a_line_of_blocks_shows_whatever_is_there() -> None:
    assert spark([0, 1, 4, 8]) == " ▂▅█"
    assert spark([0, 1, 1000]) == " ▁█"
    assert spark([]) == ""


def test_the_method_follows_the_data_unless_it_is_named(here: Here, tmp_path: Path) -> None:
    rows = [{"prompt": row["ask"], "completion": row["good"]} for row in pairs(60)]
    words = ("dataset=table", f"dataset.path={write(tmp_path, rows)}", "tracking=none")
    assert told(here("data", "--json", *words, folder=tmp_path))["shape"] == "demonstration"
    name = write(tmp_path, pairs(60), "pairs.jsonl")
    words = ("dataset=table", f"dataset.path={name}", COLUMNS, "tracking=none")
    assert told(here("data", "--json", *words, folder=tmp_path))["shape"] == "preference"
    assert told(here("data", "--json", "method=sft", *words, folder=tmp_path))["shape"] == "demonstration"


def test_tokens_are_those_of_the_model_that_is_named(here: Here, tmp_path: Path) -> None:
    both = [told(here("data", "--json", f"model={m}", *FEW, folder=tmp_path)) for m in ("tiny_gpt2", "tiny_mt5")]
    tokens = [one["closely"]["tokens"] for one in both]
    assert [one["model"] for one in tokens] == ["tiny_gpt2", "tiny_mt5"]
    assert tokens[0]["lengths"] != tokens[1]["lengths"]
    assert [one["together"] for one in tokens] == [True, False]
    absent = told(here("data", "--json", "model=gpt2", *FEW, folder=tmp_path))
    assert absent["closely"]["tokens"] is None and absent["tokens_note"].startswith("not measured: ")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("-m", "seed=1,2"), ("-m: ", "one data set at a time", "rlhf data --help")),
        (("--cfg", "job"), ("--cfg: ", "rlhf data has no such flag")),
        (("--output", "page.txt"), ("page.txt: ", "End --output in .html")),
        (("--output",), ("--output: it needs a value. Write --output FILE",)),
        (("--export-test", "t.jsonl", "--rows", "-1"), ("--rows -1: is not a number of rows",)),
        (("dataset=support_toy,hh_rlhf",), ("dataset=support_toy,hh_rlhf: one data set at a time",)),
        (("dataset=table", "dataset.path="), ("dataset.path: it is empty, as an unset variable is",)),
        (("dataset=table", "dataset.path=~/absent/x.jsonl"), (f"no file or folder {Path.home()}/absent/x.jsonl",)),
        (("dataset=table", "dataset.path=a.jsonl,b.jsonl"), ("it has several values. Add -m for a sweep over them.",)),
        (("--rows", "5"), ("--rows: ", "Add --export-test FILE.jsonl")),
        (("--export-test", "t.jsonl", "--rows", "none"), ("--rows none: is not a number of rows",)),
        (("--export-test", "t.csv"), ("t.csv: ", "End --export-test in .jsonl")),
        (("dataset=bitext", "dataset.path=absent.jsonl"), ("dataset.path: there is no file or folder absent.jsonl",)),
        (("dataset=bitext", "method=dpo", "dataset.path=."), ("dataset: bitext holds demonstrations",)),
        (("dataset.strct=true",), ("dataset.strct: unknown key. Did you mean `strict`?",)),
        (("inspection.findings.ties.warning=2",), ("inspection.findings.ties.warning: should be less than or equal",)),
        (("inspection.findings.ties.error=0.1",), ("inspection.findings.ties: should rise from info over warning",)),
        (("inspection.findings.tie.error=1",), ("inspection.findings.tie: unknown key. Did you mean `ties`?",)),
        (("dataset=table", "dataset.path=empty.jsonl"), ("empty.jsonl", "holds no rows")),
        (("dataset=table", "dataset.path=torn.jsonl"), ("torn.jsonl:2", "not JSON")),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    words: tuple[str, ...], parts: tuple[str, ...], here: Here, tmp_path: Path
) -> None:
    (tmp_path / "empty.jsonl").touch()
    write(tmp_path, [{"prompt": "Hi", "completion": "Hello."}, '{"prompt": '], "torn.jsonl")
    assert "(and 1 more" not in here("data", "tracking=none", *words, folder=tmp_path).refused(2, *parts)
    assert not (tmp_path / "outputs").exists()


def test_strict_ends_with_the_first_warning_after_all_is_shown(here: Here, tmp_path: Path) -> None:
    rows = [*pairs(60), *({"ask": f"Same {at}?", "good": "Yes.", "bad": "Yes."} for at in range(3))]
    words = ("dataset=table", f"dataset.path={write(tmp_path, rows)}", COLUMNS, "tracking=none")
    assert here("data", *words, folder=tmp_path).code == 0
    done = here("data", "dataset.strict=true", *words, folder=tmp_path)
    line = done.refused(2, "dataset=table: strict: 3 of 63 rows (4.8%) left out: answers are equal")
    assert "page     outputs/data/table-" in done.out
    assert "inspection.findings.equal_pairs" in line
    loose = "inspection.findings.equal_pairs.warning=0.1"
    more = [
        f"inspection.findings.{kind}.warning=null" for kind in ("longer_chosen", "leaked_answers", "near_duplicates")
    ]
    more += ["inspection.findings.leaked_near_duplicates.warning=null", "inspection.style.threshold=0.999999"]
    done = here("data", "dataset.strict=true", loose, *more, *words, folder=tmp_path)
    done.refused(2, "strict: style alone tells chosen from rejected in 100.0%")  # "No." is always the worse one


def test_strict_ends_training_before_it_starts(here: Here, tmp_path: Path) -> None:
    rows = [*pairs(60), *({"ask": f"Same {at}?", "good": "Yes.", "bad": "Yes."} for at in range(3))]
    words = ("dataset=table", f"dataset.path={write(tmp_path, rows)}", COLUMNS, "tracking=none")
    done = here("method=dpo", "evaluation.judge=none", "dataset.strict=true", *words, folder=tmp_path)
    done.refused(2, "dataset=table: strict: 3 of 63 rows (4.8%) left out: answers are equal")
    assert list((tmp_path / "outputs" / "stages").glob("sft-*")) == []


def test_no_personal_value_gets_out_by_any_way(here: Here, tmp_path: Path) -> None:
    """Terminal, JSON, page, tracked run and its database: planted in texts, a column's name and a broken line."""
    rows: list[Any] = [
        {**row, "ask": f"{row['ask']}, I am {PERSONAL[at % 4]}", "good": f"{row['good']} {PERSONAL[at // 2 % 4]}"}
        for at, row in enumerate(pairs(60))
    ]
    rows = [{**row, PERSONAL[0]: PERSONAL[1]} for row in rows]
    rows.insert(3, f'{{"ask": "{PERSONAL[2]} {PERSONAL[3]}')
    words = ("dataset=table", f"dataset.path={write(tmp_path, rows)}", COLUMNS, "dataset.max_bad_rows=1")
    shown, values = here("data", *words, folder=tmp_path), here("data", "--json", *words, folder=tmp_path)
    assert (shown.code, values.code) == (0, 0)
    left = [file for file in tmp_path.rglob("*") if file.is_file() and file.name != "rows.jsonl"]
    assert {file.suffix for file in left} >= {".html", ".json", ".db"}
    texts = [shown.out, shown.err, values.out, *(file.read_bytes().decode("utf-8", "replace") for file in left)]
    for value in PERSONAL:
        assert not any(value in text or value.replace(" ", "") in text for text in texts)
    personal = told(values)["closely"]["personal"]
    assert personal["rows"] == 60 and {one["kind"] for one in personal["kinds"]} >= {"email", "card", "iban", "phone"}


def test_a_tracked_run_holds_the_page_and_the_numbers(here: Here, tmp_path: Path) -> None:
    done = here("data", "dataset.rows=120", folder=tmp_path)
    assert done.code == 0 and "tracked  http" in done.out and "scripts/ui.sh" in done.out
    (run,) = tracked(tmp_path)
    assert (run.data.tags["role"], run.info.status) == ("data", "FINISHED")
    assert run.data.params["dataset.name"] == "support_toy"
    assert sum(run.data.metrics[f"rows/{part}"] for part in ("train", "validation", "test")) == 120
    names = {file.name for file in tmp_path.rglob("*") if file.is_file() and "data" not in file.parent.name}
    assert names >= {"data.json", "findings.json"}
    assert any(name.startswith("support_toy-") for name in names)


def test_a_test_set_is_a_seeded_part_of_the_test_rows_that_can_be_read_again(here: Here, tmp_path: Path) -> None:
    words = ("data", "--json", *FEW, "--export-test", "set.jsonl", "--rows", "5")
    written = told(here(*words, folder=tmp_path))["written"]["test set"]
    first = (tmp_path / "set.jsonl").read_text()
    assert written.startswith("set.jsonl, 5 of ") and len(first.splitlines()) == 5
    (tmp_path / "set.jsonl").unlink()
    told(here(*words, folder=tmp_path))
    assert (tmp_path / "set.jsonl").read_text() == first
    assert json.loads(first.splitlines()[0])["meta"]["intent"]
    told(here("data", "--json", "dataset.rows=400", "tracking=none", "--export-test", "more.jsonl", folder=tmp_path))
    columns = "dataset.columns={prompt: prompt, chosen: chosen, rejected: rejected}"
    split = ("dataset.split.validation=0.3", "dataset.split.test=0.3", "tracking=none")
    again = told(here("data", "--json", "dataset=table", "dataset.path=more.jsonl", columns, *split, folder=tmp_path))
    assert again["rows"] == len((tmp_path / "more.jsonl").read_text().splitlines()) > 20


def test_a_file_that_is_there_is_never_written_over(here: Here, tmp_path: Path) -> None:
    path = write(tmp_path, pairs(60))
    before = (tmp_path / path).read_bytes()
    words = ("dataset=table", f"dataset.path={path}", COLUMNS, "tracking=none")
    done = here("data", *words, "--export-test", path, folder=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "rows.jsonl: there is such a file already. Name another one, or remove it" in done.err
    assert done.err.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == [path] and (tmp_path / path).read_bytes() == before


def test_help_names_examples(here: Here, tmp_path: Path) -> None:
    out = here("data", "--help", folder=tmp_path).out
    assert "rlhf data dataset=bitext" in out and "--export-test" in out
