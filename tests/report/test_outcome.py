"""From what jobs left to lines of the table: a control stands there once, and once more where it was measured anew."""

from __future__ import annotations

from typing import Any

from rlhf.report.outcome import notes_of, report_rows
from rlhf.report.table import comparison_cells


def finished(gold: float, fingerprint: str = "aa") -> dict[str, Any]:
    base = {"name": "base", "role": "base", "fingerprint": fingerprint, "metrics": {"final/reward_gold": gold}}
    own = {"name": "dpo-x", "role": "policy", "fingerprint": "own", "metrics": {}}
    return {"name": "dpo-tiny_gpt2", "words": [], "status": "finished", "metrics": {}, "rows": [base, own]}


def controls(*outcomes: dict[str, Any]) -> list[float]:
    return [row.metrics["final/reward_gold"] for row in report_rows(outcomes) if row.role == "base"]


def test_a_control_that_jobs_share_is_shown_once() -> None:
    assert controls(finished(0.5), finished(0.5)) == [0.5]


def test_one_model_measured_with_other_settings_is_another_control() -> None:
    """Jobs that differ in evaluation.temperature sample other answers of the same base model."""
    assert controls(finished(0.5), finished(0.7)) == [0.5, 0.7]


def test_two_models_with_equal_numbers_are_two_controls() -> None:
    assert controls(finished(0.5), finished(0.5, "bb")) == [0.5, 0.5]


def test_what_jobs_share_is_told_once_with_their_numbers() -> None:
    judged, own = "judge: not clearly better", "the gain is within its noise"
    outcomes = [finished(0.5) | {"warnings": told} for told in ([judged], [own, judged], [], [judged])]
    assert notes_of(outcomes) == [f"jobs 1, 2, 4: {judged}", f"job 2, dpo-tiny_gpt2: {own}"]


def test_a_job_that_did_not_finish_is_shown_as_what_it_is() -> None:
    left = {"name": "sft-x", "words": [], "metrics": {}, "rows": []}
    states = ["failed", "interrupted", "not started"]
    rows = report_rows([left | {"status": state, "error": state} for state in states])
    assert [row.role for row in rows] == states
    assert [line[0].text for line in comparison_cells(rows).lines] == [f"sft-x ({state})" for state in states]
