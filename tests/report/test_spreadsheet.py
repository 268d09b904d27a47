"""The spreadsheet: settings by metrics, numbers as numbers, and no text that a program takes for a formula."""

from __future__ import annotations

import pytest
from left_by_jobs import failed, finished, leave
from openpyxl import load_workbook

from rlhf.report.spreadsheet import number, safe
from rlhf.report.write import write_report


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[object]]]:
    """Learning rate x batch x epochs x final loss, as a study's table has it, over two seeds; one job failed."""
    jobs = [
        finished(
            [f"method.trainer.learning_rate={rate}", f"batch={batch}", f"epochs={epochs}", f"seed={seed}"],
            {"final/loss": float(batch) + seed, "final/reward": 1.0 / batch, "cost/usd": 0.25},
        )
        for rate, batch, epochs in (("1e-5", 8, 1), ("5e-5", 16, 3))
        for seed in (0, 2)
    ]
    place = leave(tmp_path_factory.mktemp("s3"), [*jobs, failed(["epochs=9"], '=HYPERLINK("http://x")')])
    read = load_workbook(write_report(place)[1])
    return {sheet.title: [list(line) for line in sheet.iter_rows(values_only=True)] for sheet in read.worksheets}


def test_settings_and_final_loss_stand_side_by_side_as_numbers(book: dict[str, list[list[object]]]) -> None:
    head, *lines = book["comparison"]
    wanted = [head.index(title) for title in ("learning_rate", "batch", "epochs", "seeds", "loss")]
    told = [[line[place] for place in wanted] for line in lines if line[1] == "policy"]
    assert told == [[1e-5, 8, 1, 2, 9.0], [5e-5, 16, 3, 2, 17.0]]


def test_intervals_stand_beside_their_mean(book: dict[str, list[list[object]]]) -> None:
    """Losses 8 and 10 have a standard error of 1, so half the interval is 12.7062."""
    head, first, *_ = book["comparison"]
    low, high = first[head.index("loss low")], first[head.index("loss high")]
    assert (low, high) == (pytest.approx(9 - 12.7062, abs=1e-3), pytest.approx(9 + 12.7062, abs=1e-3))


def test_every_job_has_a_line_with_its_seed_and_command(book: dict[str, list[list[object]]]) -> None:
    head, *lines = book["jobs"]
    assert [line[head.index("seed")] for line in lines] == [0, 2, 0, 2, None]
    assert str(lines[0][head.index("command")]).startswith("rlhf method=dpo method.trainer.learning_rate=1e-5")


def test_an_error_is_never_a_formula(book: dict[str, list[list[object]]]) -> None:
    head, *lines = book["jobs"]
    assert lines[-1][head.index("failure")] == '\'=HYPERLINK("http://x")'
    assert safe("-1 is text") == "'-1 is text"
    assert safe(-1.0) == -1.0
    assert safe("a\x00b\nc") == "ab\nc"


def test_notes_explain_each_column(book: dict[str, list[list[object]]]) -> None:
    titles = [line[0] for line in book["notes"][1:]]
    assert titles[:2] == ["loss", "reward"]
    assert book["notes"][0][:5] == ["column", "meaning", "unit", "estimator", "better"]


@pytest.mark.parametrize(("text", "value"), [("8", 8), ("1e-5", 1e-5), ("nan", "nan"), ("dpo", "dpo"), (None, None)])
def test_a_setting_is_a_number_where_it_is_one(text: str | None, value: object) -> None:
    assert number(text) == value
