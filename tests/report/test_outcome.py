"""From what jobs left to lines of the table: a control stands there once, and once more where it was measured anew."""

from __future__ import annotations

from typing import Any

from rlhf.report.cells import comparison_cells
from rlhf.report.outcome import facts_of, judge_taught, notes_of, report_rows, without_effect


def finished(gold: float, fingerprint: str = "aa") -> dict[str, Any]:
    base = {"name": "base", "role": "base", "fingerprint": fingerprint, "metrics": {"final/reward_gold": gold}}
    own = {"name": "dpo-x", "role": "policy", "fingerprint": "own", "metrics": {}}
    said = {"judge": "", "trained_on": "", "curves": {}, "stage": "stages/own"}
    return said | {"name": "dpo-tiny_gpt2", "words": [], "status": "finished", "metrics": {}, "rows": [base, own]}


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
    left = {"name": "sft-x", "words": [], "metrics": {}, "rows": [], "judge": "", "trained_on": ""}
    states = ["failed", "interrupted", "not started"]
    rows = report_rows([left | {"status": state, "error": state} for state in states])
    assert [row.role for row in rows] == states
    assert [line[0].text for line in comparison_cells(rows).lines] == [f"sft x ({state})" for state in states]


JUDGE, GOLD = "judge (reward stage) x 1.0", "the gold reward (evaluation.judge=gold)"


def test_what_taught_the_jobs_and_who_judged_them_is_said_once_where_it_is_the_same() -> None:
    ppo = finished(0.5) | {"trained_on": JUDGE, "judge": GOLD}
    both = [f"trained on: {JUDGE}", f"answers scored by the judge: {GOLD}"]
    assert facts_of([ppo]) == facts_of([ppo, ppo]) == both
    assert facts_of([ppo | {"judge": ""}]) == both[:1]
    assert facts_of([finished(0.5)]) == []
    asked = [finished(0.5) | {"questions": number} for number in (64, 64, 8)]
    told = "held-out prompts, each answered once:"
    assert facts_of(asked) == [f"jobs 1, 2, {told} 64", f"job 3, {told} 8"]


def test_what_taught_some_jobs_names_them() -> None:
    dpo, ppo = finished(0.5) | {"judge": GOLD}, finished(0.5) | {"judge": GOLD, "trained_on": JUDGE}
    other = ppo | {"trained_on": "gold (gold reward) x 1.0"}
    assert facts_of([dpo, ppo, other, ppo]) == [
        f"jobs 2, 4, trained on: {JUDGE}",
        "job 3, trained on: gold (gold reward) x 1.0",
        f"answers scored by the judge: {GOLD}",
    ]


def test_rows_hold_what_taught_them_and_controls_only_who_judged_them() -> None:
    rows = report_rows([finished(0.5) | {"trained_on": JUDGE, "judge": GOLD}])
    assert [(row.role, row.judge, row.trained_on) for row in rows] == [("base", GOLD, ""), ("policy", GOLD, JUDGE)]


def trained(loss: float, stage: str, *words: str, seconds: float = 1.0) -> dict[str, Any]:
    curves = {"train/loss": [[1, loss]], "train/seconds/update": [[1, seconds]]}
    return finished(0.5) | {"curves": curves, "stage": f"outputs/stages/{stage}", "words": ["method=ppo", *words]}


def test_a_swept_setting_without_effect_is_told_of_one_stage_and_of_stages_trained_alike() -> None:
    first, third = trained(0.5, "ppo-x-aa", "seed=1"), trained(0.7, "ppo-x-cc", "seed=3")
    one = trained(0.5, "ppo-x-aa", "seed=2")
    assert without_effect([first, third, one]) == [
        "jobs 1, 3 end in one stage, ppo-x-aa: what was swept changed nothing (seed=1; seed=2)"
    ]
    alike = trained(0.5, "ppo-x-bb", "seed=2", seconds=3.0)
    assert without_effect([first, alike]) == [
        "jobs 1, 2 were trained alike, step for step: what was swept changed nothing (seed=1; seed=2)"
    ]


def test_a_swept_setting_of_the_evaluation_is_not_to_change_the_stage() -> None:
    jobs = [trained(0.5, "ppo-x-aa", f"evaluation.temperature={value}") for value in (0.5, 1.0)]
    assert without_effect(jobs) == []
    assert without_effect([finished(0.5), finished(0.5)]) == []  # nothing was logged
    assert without_effect([jobs[0] | {"status": "failed"}, trained(0.5, "ppo-x-aa", "seed=2")]) == []


def test_the_way_of_the_training_reward_is_told_from_the_ends_of_its_held_out_curve() -> None:
    curves = {"eval/reward/score": [[5, -0.25], [10, 0.9], [15, 0.5]], "train/reward/score": [[1, 9.0], [2, 8.0]]}
    ppo = finished(0.5) | {"trained_on": JUDGE, "curves": curves}
    told = "training reward: job 2 rose from -0.250 (step 5) to 0.500 (step 15), held out"
    assert facts_of([finished(0.5), ppo]) == [f"job 2, trained on: {JUDGE}", told]
    fell = ppo | {"curves": {"train/reward/score": [[1, 9.0], [2, 8.0]]}}
    assert facts_of([fell])[1] == "training reward: fell from 9.000 (step 1) to 8.000 (step 2), in training"


def test_the_judge_is_the_training_reward_only_where_it_is_all_of_it() -> None:
    stage = "the reward stage (evaluation.judge=reward)"
    pairs = {
        (JUDGE, stage): True, (JUDGE, GOLD): False, ("", stage): False, ("gold (gold reward) x 1.0", GOLD): True,
        ("brevity (function) x 1.0", GOLD): False, (f"{JUDGE} + short (function) x 0.1", stage): False,
    }  # fmt: skip
    assert {key: judge_taught({"trained_on": key[0], "judge": key[1]}) for key in pairs} == pairs
