"""What an evaluation leaves in a folder, and what a run's warnings take from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evaluation_by_hand import evaluation, score, yes

from rlhf.recording.evaluation import suite_warnings, write_files, write_values
from rlhf.report.evaluation_cells import suite_tables


def test_an_evaluation_leaves_four_files_of_the_same_numbers(tmp_path: Path) -> None:
    files = write_files(tmp_path, evaluation(), "Evaluation of dpo")
    assert [file.name for file in files] == ["evaluation.json", "evaluation.md", "evaluation.csv", "evaluation.html"]
    held, table, sheet, page = (file.read_text(encoding="utf-8") for file in files)
    assert json.loads(held) == evaluation()
    assert "| dpo beta=0.1 | **0.750 [0.650–0.850]** |" in table
    assert "answers,final/accuracy,share,higher,dpo,dpo beta=0.1,policy,1,0.75," in sheet
    assert "<title>Evaluation of dpo</title>" in page


def test_warnings_name_failed_suites_and_what_nonsense_does_well_on() -> None:
    assert suite_warnings(evaluation()) == [
        "out of memory",
        "nonsense does well on response/repetition, final/distinct_2: see evaluation.html",
    ]


def test_no_warning_of_what_nonsense_lacks_and_one_line_of_all_others() -> None:
    """Nonsense asks for nothing, in every run: that stays in the table. Of four other metrics two are named."""
    data = evaluation() | {"failures": {}}
    voices = data["metrics"]["final/accuracy"]
    data["metrics"] = {"safety/rude": {name: score(yes(2 if name == "dpo" else 0)) for name in voices}}
    data["suites"] = {"safety": {"metrics": ["safety/rude"], "tables": {}, "notes": []}}
    (safety,) = suite_tables(data)
    assert [flag.metric for flag in safety.flags] == ["safety/rude"]
    assert suite_warnings(data) == []
    names = [f"text/rouge_{size}" for size in ("1", "2", "l")] + ["text/f1"]
    data["metrics"] |= {name: {who: score(yes(9)) for who in voices} for name in names}
    data["suites"]["text"] = {"metrics": names, "tables": {}, "notes": []}
    told = "nonsense does well on text/rouge_1, text/rouge_2 and 2 more: see evaluation.html"
    assert suite_warnings(data) == [told]


def test_a_number_without_a_word_in_json_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_values(tmp_path / "evaluation.json", {"value": float("inf")})
    assert not (tmp_path / "evaluation.json").exists()
