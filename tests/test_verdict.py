"""Each warning on made-up numbers, and silence where nothing is wrong."""

from __future__ import annotations

import pytest

from rlhf.ppo_spec import StageReward
from rlhf.verdict import judged_by, notes_before, trained_on, warnings_of
from tests.bench import run_of

GOOD = {
    "final/margin": 0.5,
    "final/margin_se": 0.1,
    "final/accuracy": 0.8,
    "final/accuracy_low": 0.75,
    "final/accuracy_high": 0.85,
    "final/accuracy_length_rule": 0.6,
    "final/accuracy_bag_of_words": 0.7,
    "final/reward_difference": 1.1,
    "final/reward_difference_low": 0.4,
    "final/reward_difference_high": 1.6,
    "final/reward_gold_difference": 1.0,
    "final/reward_gold_difference_low": 0.4,
    "final/reward_gold_difference_high": 1.6,
    "final/eos_share": 0.9,
}


@pytest.fixture(scope="module")
def dpo():
    return run_of("method=dpo").method


def test_nothing_is_said_of_good_numbers_or_of_none(dpo) -> None:
    assert warnings_of(dpo, GOOD, {}) == []
    assert warnings_of(dpo, {}, {}) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"final/margin": 0.1}, "no preference was learned"),  # exactly one standard error
        ({"final/margin": -2.0}, "no preference was learned"),
        ({"final/accuracy_length_rule": 0.75}, "choosing by length scores 0.750"),
        ({"final/accuracy_bag_of_words": 0.9}, "single words without the prompt scores 0.900"),
        ({"final/reward_difference_low": -0.1}, "gain in judge reward is within its noise"),
        ({"final/reward_gold_difference_low": 0.0}, "gain in gold reward is within its noise"),
        ({"final/reward_difference_low": -0.9, "final/reward_difference_high": -0.1}, "judge reward fell"),
        ({"final/reward_gold_difference_low": -0.9, "final/reward_gold_difference_high": -0.1}, "gold reward fell"),
        ({"final/eos_share": 0.4}, "only 40% of the answers end by themselves"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_bad_number_gives_its_warning_alone(change: dict[str, float], words: str, dpo) -> None:
    [warning] = warnings_of(dpo, GOOD | change, {})
    assert words in warning


def test_a_gold_judge_is_not_told_twice(dpo) -> None:
    ends = {f"final/{kind}_difference_low": -0.1 for kind in ("reward", "reward_gold")}
    [warning] = warnings_of(dpo, GOOD | ends | {"final/reward_difference": 1.0}, {})
    assert "gold reward" in warning


def test_a_missing_difference_equals_nothing(dpo) -> None:
    """A gold gain of exactly 0 does not silence the judge, whose own mean is not there."""
    judged = {"final/reward_difference_low": -0.1, "final/reward_difference_high": 0.1}
    [warning] = warnings_of(dpo, judged | {"final/reward_gold_difference": 0.0}, {})
    assert "gain in judge reward is within its noise" in warning


def test_a_reward_model_writes_no_answers() -> None:
    method = run_of("method=reward").method
    assert warnings_of(method, GOOD | {"final/eos_share": 0.0}, {}) == []


def test_all_findings_are_told() -> None:
    bad = GOOD | {"final/margin": 0.0, "final/eos_share": 0.1, "final/accuracy_low": 0.5}
    assert len(warnings_of(run_of("method=dpo").method, bad, {})) == 4


@pytest.mark.parametrize(
    ("kl", "words"),
    [
        (2.59, None),
        (1.41, None),
        (2.7, "KL ended at 2.70 nats per response, 35% above its target of 2: raise method.kl.coefficient or"),
        (0.5, "KL ended at 0.50 nats per response, 75% below its target of 2: lower method.kl.coefficient or"),
    ],
)
def test_a_kl_that_ends_far_from_its_target_names_the_knob(kl: float, words: str | None) -> None:
    """Of a target of 2 nats, 30% are 0.6."""
    method = run_of("method=ppo", "method.kl.target=2").method
    found = warnings_of(method, GOOD | {"final/kl": kl}, {})
    assert [words in warning for warning in found] == ([] if words is None else [True])
    half = run_of("method=ppo", "method.kl.target=4", "method.kl.ramp=7680").method  # 3840 responses: half of the ramp
    assert len(warnings_of(half, GOOD | {"final/kl": kl}, {})) == len(found)
    for other in (run_of("method=ppo", "method.kl.target=null").method, run_of("method=dpo").method):
        assert warnings_of(other, GOOD | {"final/kl": kl}, {}) == []


def test_a_horizon_longer_than_the_run_is_told_before_it() -> None:
    """8 prompts in 20 steps are 160 responses."""
    run = ("method=ppo", "method.prompts_per_step=8", "method.trainer.max_steps=20", "method.kl.ramp=0")
    [note] = notes_before(run_of(*run, "method.kl.horizon=161").method)
    assert "method.kl.horizon=161 is longer than the run, which samples 160 responses" in note
    for words in ("method.kl.horizon=160", "method.kl.target=null"):
        assert notes_before(run_of(*run, words).method) == []
    assert notes_before(run_of("method=ppo").method) == notes_before(run_of("method=dpo").method) == []


def test_a_ramp_longer_than_the_run_is_told_before_it() -> None:
    """160 responses of a ramp of 320: the target ends at half its value."""
    run = ("method=ppo", "method.prompts_per_step=8", "method.trainer.max_steps=20", "method.kl.target=3")
    [note] = notes_before(run_of(*run, "method.kl.ramp=320", "method.kl.horizon=900").method)
    assert "method.kl.ramp=320 is longer than the run, which samples 160 responses" in note
    assert "steered to 1.5 at its end, not to method.kl.target=3. Lower the ramp or raise the steps" in note
    assert notes_before(run_of(*run, "method.kl.ramp=160", "method.kl.horizon=160").method) == []


def test_a_kl_that_ends_within_the_ramp_is_not_blamed_on_the_coefficient() -> None:
    """160 responses of a ramp of 320 to a target of 3: 1.5 at the last step."""
    run = ("method=ppo", "method.prompts_per_step=8", "method.trainer.max_steps=20", "method.kl.target=3")
    method = run_of(*run, "method.kl.ramp=320").method
    assert warnings_of(method, GOOD | {"final/kl": 1.6}, {}) == []
    [warning] = warnings_of(method, GOOD | {"final/kl": 2.8}, {})
    assert "while its target still rose: 1.5 at the last step, of 3 (method.kl.ramp=320)" in warning
    assert "coefficient" not in warning


def test_a_kl_is_held_against_the_target_that_rollbacks_left() -> None:
    """Of a target of 2 two rollbacks by 2 leave 0.5: a KL of 0.55 is there, one of 1.9 is 280% above it."""
    method = run_of("method=ppo", "method.kl.target=2").method
    curves = {"train/kl/target": [[1, 2.0], [2, 1.0], [3, 0.5]]}
    assert warnings_of(method, GOOD | {"final/kl": 0.55}, curves) == []
    [warning] = warnings_of(method, GOOD | {"final/kl": 1.9}, curves)
    assert "KL ended at 1.90 nats per response, 280% above its target of 0.5" in warning
    fixed = run_of("method=ppo", "method.kl.target=null").method
    assert warnings_of(fixed, GOOD | {"final/kl": 1.9}, {}) == []


def flat(*spreads: float) -> dict[str, list[list[float]]]:
    """Curves of steps whose scores have the mean 3 and these standard deviations."""
    return {
        "train/reward/score": [[step, 3.0] for step, _ in enumerate(spreads, start=1)],
        "train/reward/score_std": [[step, spread] for step, spread in enumerate(spreads, start=1)],
    }


@pytest.mark.parametrize(
    ("spreads", "when"),
    [
        ((0.0, 0.0), "every logged step"),
        ((2e-6, 1e-9), "every logged step"),  # rounding of equal scores of size 3
        ((0.0, 0.5), "1 of 2 logged steps"),
        ((0.0, 0.5, 0.4), None),
        ((0.1, 4e-6), None),
        ((), None),
    ],
)
def test_a_reward_that_tells_no_answers_apart_is_named(spreads: tuple[float, ...], when: str | None) -> None:
    method = run_of("method=ppo", "method.kl.target=null").method
    found = warnings_of(method, GOOD, flat(*spreads))
    told = f"at {when} the reward gave all answers the same score (mean 3, standard deviation 0)"
    assert [warning.startswith(told) and "method.rewards" in warning for warning in found] == ([True] if when else [])


def test_what_a_run_is_trained_on_names_each_source_with_kind_and_weight() -> None:
    short = '+method.rewards.short={kind: function, weight: 0.02, name: "rlhf.ppo.builtin:length_penalty"}'
    assert trained_on(run_of("method=ppo", short).method) == "judge (reward stage) x 1.0 + short (function) x 0.02"
    gold = run_of("method=ppo", "method.rewards={gold: {kind: gold, weight: 1}}").method
    other = StageReward(kind="stage", weight=-0.5, folder="outputs/stages/r")
    two = gold.model_copy(update={"rewards": gold.reward_sources | {"other": other}})
    assert trained_on(two) == "gold (gold reward) x 1.0 + other (reward stage outputs/stages/r) x -0.5"
    assert trained_on(run_of("method=dpo").method) == ""


def test_the_judge_of_a_policy_is_named() -> None:
    said = [judged_by(run_of("method=ppo", f"evaluation.judge={judge}")) for judge in ("gold", "reward", "none")]
    assert said == ["the gold reward (evaluation.judge=gold)", "the reward stage (evaluation.judge=reward)", ""]
    assert judged_by(run_of("method=reward")) == ""
