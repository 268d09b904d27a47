"""The collapse guard on made-up runs: each sickness gives its symptom and no other, health gives none."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load, save

from rlhf.config import PPO
from rlhf.evaluation.ppo import metrics as names
from rlhf.ppo.guard import WATCHED, CollapseGuard, Symptom
from rlhf.ppo.measure import diversity
from rlhf.ppo_spec import GuardSpec, KLSpec

SPEC = GuardSpec(
    on_collapse="warn",
    window=5,
    max_kl_per_token=2.0,
    min_negative_kl=-0.5,
    min_entropy=0.1,
    min_distinct_2=0.6,
    max_length_drift=3.0,
    min_eos_share=0.5,
    min_explained_variance=-1.0,
    max_clip_fraction=0.5,
    max_ratio=2.0,
    rollback_factor=2.0,
)
HEALTH = {
    names.KL_K1.name: 4.0,
    names.KL_K1_PER_TOKEN.name: 0.15,
    names.POLICY_ENTROPY.name: 1.5,
    names.RESPONSE_DISTINCT_2.name: 0.8,
    names.RESPONSE_REPETITION.name: 0.05,
    names.RESPONSE_TOKENS.name: 30.0,
    names.RESPONSE_EOS_SHARE.name: 0.9,
    names.VALUE_EXPLAINED_VARIANCE.name: 0.4,
    names.POLICY_CLIP_FRACTION.name: 0.1,
    names.POLICY_RATIO.name: 1.0,
    names.POLICY_LOG_RATIO_SIZE.name: 0.02,
    names.REWARD_SCORE.name: 0.7,
}
Run = list[dict[str, float]]


def healthy(steps: int, seed: int = 0) -> Run:
    """Noise of 10%, KL growing from 0 and entropy sinking to half, as in a good run."""
    draw, run = random.Random(seed), []
    for step in range(steps):
        share = step / max(1, steps - 1)
        row = {name: value * draw.uniform(0.9, 1.1) for name, value in HEALTH.items()}
        for name in (names.KL_K1.name, names.KL_K1_PER_TOKEN.name):
            row[name] *= share
        row[names.POLICY_ENTROPY.name] *= 1 - share / 2
        row[names.VALUE_EXPLAINED_VARIANCE.name] -= 3 * (step < SPEC.window)  # a critic that knows nothing yet
        run.append(row)
    return run


def sick(name: str, course: Callable[[int], float], *, onset: int = 12, steps: int = 30) -> Run:
    """A healthy run in which one metric goes its own way from `onset` on, `course(steps since)`."""
    run = healthy(steps)
    for step in range(onset, steps):
        run[step][name] = course(step - onset)
    return run


def judged(run: Run, guard: CollapseGuard | None = None) -> list[list[Symptom]]:
    guard = guard or CollapseGuard(SPEC)
    return [guard.check(step) for step in run]


def first_told(verdicts: list[list[Symptom]]) -> dict[str, int]:
    """Symptom -> index of the first step that showed it."""
    told: dict[str, int] = {}
    for index, symptoms in enumerate(verdicts):
        for symptom in symptoms:
            told.setdefault(symptom.name, index)
    return told


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_run_is_left_alone(seed: int) -> None:
    guard = CollapseGuard(SPEC)
    assert first_told(judged(healthy(100, seed), guard)) == {}
    assert bool(guard.healthy)


SICKNESSES: dict[str, tuple[str, Callable[[int], float], str]] = {
    "kl_per_token": (names.KL_K1_PER_TOKEN.name, lambda k: 0.5 * k, "method.kl.coefficient"),
    "negative_kl": (names.KL_K1.name, lambda k: -0.2 * k, "method.temperature"),
    "entropy": (names.POLICY_ENTROPY.name, lambda k: 1.0 * 0.7**k, "method.kl.coefficient"),
    "distinct_2": (names.RESPONSE_DISTINCT_2.name, lambda k: 0.8 - 0.04 * k, "method.trainer.learning_rate"),
    "repetition": (names.RESPONSE_REPETITION.name, lambda k: 0.05 * k, "method.kl.coefficient"),
    "length": (names.RESPONSE_TOKENS.name, lambda k: 30 + 10 * k, "method.rewards"),
    "eos_share": (names.RESPONSE_EOS_SHARE.name, lambda k: 0.9 - 0.06 * k, "method.missing_eos_penalty"),
    "explained_variance": (names.VALUE_EXPLAINED_VARIANCE.name, lambda k: -0.4 * k, "method.critic.learning_rate"),
    "clip_fraction": (names.POLICY_CLIP_FRACTION.name, lambda k: 0.1 + 0.05 * k, "method.epochs"),
    "ratio": (names.POLICY_LOG_RATIO_SIZE.name, lambda k: 0.1 * k, "method.kl.max_update"),
}


@pytest.mark.parametrize("symptom", SICKNESSES)
def test_each_sickness_has_its_symptom_and_no_other(symptom: str) -> None:
    metric, course, knob = SICKNESSES[symptom]
    guard = CollapseGuard(SPEC)
    verdicts = judged(sick(metric, course), guard)
    told = first_told(verdicts)
    assert set(told) == {symptom}
    assert told[symptom] >= 12
    assert not bool(guard.healthy)
    message = verdicts[told[symptom]][0].message
    assert metric in message and knob in message
    assert len(re.findall(r"\d", message)) >= 2 and "\n" not in message and not message.endswith(".")


def test_shorter_is_a_drift_too() -> None:
    assert set(first_told(judged(sick(names.RESPONSE_TOKENS.name, lambda k: 30 / (1 + k))))) == {"length"}


def test_levels_are_means_over_the_window_by_hand() -> None:
    """Clip fraction 0.1 and from step 13 (index 12) on 0.9: means of five 0.26, 0.42, 0.58 > 0.5 at index 14."""
    run = [dict(HEALTH) for _ in range(30)]
    for row in run[12:]:
        row[names.POLICY_CLIP_FRACTION.name] = 0.9
    assert first_told(judged(run)) == {"clip_fraction": 14}
    run[14][names.POLICY_CLIP_FRACTION.name] = 0.1  # 0.42, 0.42 and then 0.58
    assert first_told(judged(run)) == {"clip_fraction": 15}


def test_a_single_wild_step_of_an_update_is_forgiven() -> None:
    run = [dict(HEALTH) for _ in range(30)]
    run[12] |= {names.POLICY_CLIP_FRACTION.name: 0.9, names.VALUE_EXPLAINED_VARIANCE.name: -4.0}
    assert first_told(judged(run)) == {}


def test_a_critic_has_two_windows_to_get_warm() -> None:
    run = [HEALTH | {names.VALUE_EXPLAINED_VARIANCE.name: -9.0} for _ in range(12)]
    assert first_told(judged(run)) == {"explained_variance": 9}


@pytest.mark.parametrize("fall", [0.02, 0.05, 0.07])
@pytest.mark.parametrize("onset", [1, 2, 5, 12])
def test_falling_diversity_is_told_before_it_halves(fall: float, onset: int) -> None:
    """Also inside the first steps, which are what is normal: the best of them counts against a sudden fall."""
    run = sick(names.RESPONSE_DISTINCT_2.name, lambda k: max(0.0, 0.8 - fall * (k + 1)), onset=onset, steps=40)
    for row in run[:onset]:
        row[names.RESPONSE_DISTINCT_2.name] = 0.8
    told = first_told(judged(run))["distinct_2"]
    assert run[told][names.RESPONSE_DISTINCT_2.name] > 0.4
    assert told > onset


@pytest.mark.parametrize(
    ("metric", "low", "symptom"),
    [(names.RESPONSE_DISTINCT_2.name, 0.45, "distinct_2"), (names.POLICY_ENTROPY.name, 0.1, "entropy")],
)
@pytest.mark.parametrize("step", [1, 20])
def test_a_sudden_fall_needs_two_steps_and_an_odd_step_is_forgiven(
    metric: str, low: float, symptom: str, step: int
) -> None:
    """The window has five steps: two that are low leave its mean above the bound, so that it is not what tells."""
    run = [dict(HEALTH) for _ in range(30)]
    run[step][metric] = low
    assert first_told(judged(run)) == {}
    run[step + 1][metric] = low
    verdicts = judged(run)
    assert [index for index, symptoms in enumerate(verdicts) if symptoms] == [step + 1]
    assert first_told(verdicts) == {symptom: step + 1}


def pooled_distinct_2(draw: random.Random, prompts: int, vocabulary: int) -> float:
    """Distinct-2 of answers of 1 to 16 tokens whose tokens' chances fall as 1 / rank."""
    chances = [1 / (rank + 1) for rank in range(vocabulary)]
    rows = [draw.choices(range(vocabulary), chances, k=draw.randint(1, 16)) for _ in range(prompts)]
    return diversity([tuple(row) for row in rows])["response/distinct_2"]


@pytest.mark.parametrize("prompts", [1, 2, 4, 32])
def test_a_steady_policy_is_left_alone_however_few_prompts_a_step_has(prompts: int) -> None:
    """Distinct-2 as it is measured: of few short answers it jumps, of many it is lower, and the policy is the same."""
    draw = random.Random(1)
    for _ in range(20):
        run = [dict(HEALTH) for _ in range(60)]
        for row in run:
            row[names.RESPONSE_DISTINCT_2.name] = pooled_distinct_2(draw, prompts, 50)
        assert first_told(judged(run)) == {}


@pytest.mark.parametrize("prompts", [4, 32])
def test_a_policy_that_narrows_is_told_however_few_prompts_a_step_has(prompts: int) -> None:
    """From step 10 on it has fewer words at every step, in the end two."""
    draw = random.Random(2)
    run = [dict(HEALTH) for _ in range(60)]
    for step, row in enumerate(run):
        words = max(2, round(50 * 0.7 ** max(0, step - 9)))
        row[names.RESPONSE_DISTINCT_2.name] = pooled_distinct_2(draw, prompts, words)
    told = first_told(judged(run))
    assert set(told) == {"distinct_2"} and 10 <= told["distinct_2"] < 20


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("metric", [names.REWARD_SCORE.name, names.POLICY_RATIO.name, names.RESPONSE_TOKENS.name])
@pytest.mark.parametrize("step", [0, 7])
def test_what_is_no_number_is_told_at_once_and_spoils_no_later_mean(value: float, metric: str, step: int) -> None:
    run = [dict(HEALTH) for _ in range(20)]
    run[step][metric] = value
    verdicts = judged(run)
    assert [(index, [s.name for s in found]) for index, found in enumerate(verdicts) if found] == [
        (step, ["not_finite"])
    ]
    assert metric in verdicts[step][0].message


def test_the_window_of_one_step_works() -> None:
    guard = CollapseGuard(SPEC.model_copy(update={"window": 1}))
    run = [dict(HEALTH), HEALTH | {names.POLICY_CLIP_FRACTION.name: 0.9}, dict(HEALTH)]
    assert [[symptom.name for symptom in found] for found in judged(run, guard)] == [[], ["clip_fraction"], []]
    assert bool(guard.healthy)


@pytest.mark.parametrize("cut", [1, 4, 5, 9, 14, 20])
@pytest.mark.parametrize("symptom", ["distinct_2", "explained_variance", "eos_share"])
def test_a_resumed_guard_gives_the_same_verdicts(cut: int, symptom: str) -> None:
    metric, course, _ = SICKNESSES[symptom]
    run = sick(metric, course)
    whole, before, after = CollapseGuard(SPEC), CollapseGuard(SPEC), CollapseGuard(SPEC)
    expected = judged(run, whole)
    found = judged(run[:cut], before)
    after.load_state_dict(load(save(before.state_dict())))
    assert bool(after.healthy) == bool(before.healthy)
    assert found + judged(run[cut:], after) == expected
    for name, value in whole.state_dict().items():
        assert torch.equal(after.state_dict()[name].nan_to_num(-1), value.nan_to_num(-1)), name


def test_nothing_is_called_healthy_before_every_sign_was_judged() -> None:
    guard = CollapseGuard(SPEC)
    known = [bool(guard.healthy)]
    for row in healthy(8):
        guard.check(row)
        known.append(bool(guard.healthy))
    assert known == [False] * SPEC.window + [True] * 4


def test_after_a_rollback_it_needs_a_window_again_and_knows_what_is_normal() -> None:
    guard = CollapseGuard(SPEC)
    run = sick(names.RESPONSE_TOKENS.name, lambda k: 200.0)
    told = first_told(judged(run, guard))["length"]
    again = CollapseGuard(SPEC)
    judged(run[: told + 1], again)
    assert not bool(again.healthy)
    again.forget()
    known: list[bool] = []
    for row in healthy(20):
        assert again.check(row) == []
        known.append(bool(again.healthy))
    assert known == [False] * (SPEC.window - 1) + [True] * (21 - SPEC.window)
    again.forget()
    longer = [HEALTH | {names.RESPONSE_TOKENS.name: 200.0} for _ in range(8)]
    assert first_told(judged(longer, again)) == {"length": SPEC.window - 1}


def test_a_rollback_before_the_first_window_is_over_starts_afresh() -> None:
    guard = CollapseGuard(SPEC)
    judged([HEALTH | {names.POLICY_ENTROPY.name: 30.0}] * 3, guard)
    guard.forget()
    assert first_told(judged(healthy(30), guard)) == {}


def test_every_message_names_knobs_that_exist() -> None:
    messages = [judged(sick(metric, course))[-1][0].message for metric, course, _ in SICKNESSES.values()]
    messages.append(judged([HEALTH | {names.POLICY_LOSS.name: math.nan}])[0][0].message)
    knobs = {knob for message in messages for knob in re.findall(r"method\.([a-z0-9_.]*[a-z0-9])", message)}
    assert len(knobs) > 15
    sub = {"guard": GuardSpec, "kl": KLSpec, "critic": PPO.model_fields["critic"].annotation}
    for knob in knobs:
        head, _, rest = knob.partition(".")
        assert head in PPO.model_fields, knob
        if head in sub:
            assert not rest or rest in sub[head].model_fields, knob  # type: ignore[union-attr]


def test_every_step_measurement_is_listed_once_and_explained() -> None:
    constants = [value for value in vars(names).values() if isinstance(value, names.Metric)]
    assert sorted(m.name for m in constants) == sorted(m.name for m in names.PPO_METRICS)
    assert len({metric.name for metric in constants}) == len(constants)
    for metric in constants:
        assert metric.meaning and metric.unit and metric.estimator, metric.name
        group = "reward|reward/source|kl|policy|value|advantage|response|update|seconds|speed"
        assert re.fullmatch(rf"({group})/([a-z0-9_]+|NAME)", metric.name)
    assert set(WATCHED) <= set(HEALTH) and len(set(WATCHED)) == len(WATCHED)
