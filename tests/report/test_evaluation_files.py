"""What an evaluation leaves in a folder, and what a run's warnings take from it."""

from __future__ import annotations

import json
from pathlib import Path

from evaluation_by_hand import evaluation

from rlhf.evaluated import suite_warnings, write_files


def test_an_evaluation_leaves_four_files_of_the_same_numbers(tmp_path: Path) -> None:
    files = write_files(tmp_path, evaluation(), "Evaluation of dpo")
    assert [file.name for file in files] == ["evaluation.json", "evaluation.md", "evaluation.csv", "evaluation.html"]
    held, table, sheet, page = (file.read_text(encoding="utf-8") for file in files)
    assert json.loads(held) == evaluation()
    assert "| dpo beta=0.1 | **0.750 [0.650–0.850]** |" in table
    assert "answers,final/accuracy,share,higher,dpo,dpo beta=0.1,policy,1,0.75," in sheet
    assert "<title>Evaluation of dpo</title>" in page


def test_warnings_name_failed_suites_and_what_nonsense_does_well_on(tmp_path: Path) -> None:
    assert suite_warnings(tmp_path) == []
    write_files(tmp_path, evaluation(), "Evaluation of dpo")
    failed, repetition, distinct = suite_warnings(tmp_path)
    assert failed == "out of memory"
    assert repetition.startswith("response/repetition: random tokens score 0.0198, references 0.0997: it can't tell")
    assert distinct.startswith("final/distinct_2: random tokens score 0.9, references 0.1: it can't tell")
