"""A fault in what makes tables and pages of an evaluation costs a finished run nothing but those."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rlhf.job import execute
from rlhf.report import evaluation_cells, evaluation_page, evaluation_table
from tests.bench import QUIET, run_of

LEFT = {
    "render_evaluation": ["evaluation.csv", "evaluation.json", "evaluation.md"],
    "suite_tables": ["evaluation.json"],
}


@pytest.mark.parametrize(("fault", "left"), LEFT.items())
def test_a_run_whose_page_or_tables_cannot_be_made_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, left: list[str]
) -> None:
    def broken(*_: Any) -> NoReturn:
        raise KeyError("no such\nline")

    for module in (evaluation_cells, evaluation_page, evaluation_table):
        monkeypatch.setattr(module, fault, broken, raising=False)
    words = ("method=sft", "++method.trainer.max_steps=1", "evaluation.suites=[task]", "evaluation.judge=none")
    run = run_of(*words, "evaluation.prompts=4", "evaluation.bootstrap=20", store=tmp_path / "stages")
    outcome = execute(run, tmp_path / "job", list(words), None, QUIET)
    assert outcome["status"] == "finished"
    kept = json.loads((tmp_path / "job/result.json").read_text(encoding="utf-8"))
    assert kept["status"] == "finished" and "task" in kept["evaluation"]["suites"]
    assert any(name.startswith("task/") for name in kept["metrics"])
    told = [line for line in kept["warnings"] if "KeyError" in line]
    assert told and not any("\n" in line for line in told)
    assert "not all of its files" in told[-1]
    assert sorted(file.name for file in (tmp_path / "job").glob("evaluation.*")) == left
