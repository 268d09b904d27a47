"""From what jobs left to lines of the table: a control stands there once, and once more where it was measured anew."""

from __future__ import annotations

from typing import Any

from rlhf.report.outcome import report_rows


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
