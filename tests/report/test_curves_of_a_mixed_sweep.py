"""Learning curves of a sweep over methods: what each is watched by is shown, and compared with its own lines alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from left_by_jobs import finished, leave, summarised

from rlhf.report.learned import curves_of, samples_of
from rlhf.report.learning import kl_marks
from rlhf.report.outcome import colour_places
from rlhf.report.record import read_record
from rlhf.report.rows import build_lines

LN2 = {"ln 2, nothing learned": 0.693}
POINTS = [[1, 0.5], [2, 0.4]]
LOSSES = {"train/loss": POINTS, "eval/loss": POINTS}
OF_DPO = LOSSES | {"eval/rewards/margins": POINTS, "train/rewards/chosen": POINTS, "eval/rewards/accuracies": POINTS}
OF_PPO = LOSSES | {
    "train/reward/score": POINTS, "eval/reward/score": POINTS, "eval/reward/gold": POINTS, "train/value/loss": POINTS,
    "eval/kl/k1_policy_to_reference": POINTS, "train/policy/entropy": POINTS, "train/kl/target": [[1, 0.4], [2, 0.8]],
}  # fmt: skip


def dpo(*words: str, **more: Any) -> dict[str, Any]:
    return finished([*words], {}, **({"curves": OF_DPO, "loss_unit": "nats per pair", "floor": LN2} | more))


def ppo(**more: Any) -> dict[str, Any]:
    own = {"curves": OF_PPO, "loss_unit": "loss", "floor": {}, "kl_target": {"KL target": 2.0}}
    return finished([], {}, **own, name="ppo-tiny", **more) | {"words": ["method=ppo"]}


def panels(folder: Path, *outcomes: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels of the jobs' own curves, those shown first in front."""
    jobs = read_record([leave(folder, outcomes)]).jobs
    found: list[dict[str, Any]] = curves_of(jobs, build_lines(jobs))["panels"][0]["metrics"]
    return found


def test_each_method_of_a_sweep_has_its_panels_shown_first(tmp_path: Path) -> None:
    first = {panel["key"]: panel["baselines"] for panel in panels(tmp_path, dpo(), ppo()) if panel["first"]}
    assert list(first) == [
        "train/loss", "eval/loss", "eval/rewards/margins", "eval/rewards/accuracies",  # of DPO
        "eval/reward/score", "eval/reward/gold", "eval/kl/k1_policy_to_reference", "train/policy/entropy",  # of PPO
    ]  # fmt: skip
    # only DPO's losses are drawn, so ln 2 stands in both panels; the KL was steered to 0.8 at PPO's last step, not to 2
    ln2 = [{"label": "ln 2, nothing learned", "value": 0.693}]
    assert first["train/loss"] == first["eval/loss"] == ln2
    assert first["eval/kl/k1_policy_to_reference"] == [{"label": "KL target 0.8 at the end (of 2)", "value": 0.8}]


def test_losses_of_two_kinds_have_panels_of_their_own_and_ln_2_only_where_it_holds(tmp_path: Path) -> None:
    ipo = dpo("method.loss_type=ipo", loss_unit="loss", floor={})
    found = panels(tmp_path, dpo("method.loss_type=sigmoid"), ipo)
    losses = {panel["title"]: len(panel["baselines"]) for panel in found if "loss" in panel["key"]}
    assert losses == {
        "loss (sigmoid), training": 1, "loss (sigmoid), held out": 1, "loss (ipo), training": 0,
        "loss (ipo), held out": 0,
    }  # fmt: skip


def test_two_targets_of_a_sweep_are_two_lines() -> None:
    assert kl_marks([({"KL target": 1.0}, {}), ({"KL target": 3.0}, {}), ({}, {})]) == {
        "KL target 1": 1.0, "KL target 3": 3.0,
    }  # fmt: skip


def test_colours_go_by_the_order_of_jobs_and_seeds_share_one() -> None:
    words = [["a=1", "seed=1"], ["a=2", "seed=1"], ["a=1", "seed=2"]]
    assert colour_places([{"words": own} for own in words]) == [0, 1, 0]
    assert colour_places([{"words": ["seed=1"]}, {"words": ["seed=2"]}]) == [0, 1]


def test_controls_among_the_answers_carry_their_model(tmp_path: Path) -> None:
    def of(model: str, fingerprint: str) -> dict[str, Any]:
        base = {"role": "base", "fingerprint": fingerprint, "texts": ["Hi."], "rewards": [1.0], "gold": None}
        return finished(
            [f"model={model}"], {}, name=f"dpo-{model}", samples={"prompts": ["Hello?"], "policies": [base]}
        )

    jobs = read_record([leave(tmp_path, [of("one", "aabbccdd"), of("two", "11223344")])]).jobs
    (prompt,) = samples_of(jobs, build_lines(jobs))
    assert [answer["name"] for answer in prompt["answers"]] == ["base one (aabbcc)", "base two (112233)"]


def test_the_command_of_a_sweep_is_as_it_was_typed(tmp_path: Path) -> None:
    words = ["-m", "seed=1,2", "hydra/launcher=local", "hydra.sweeper.params=null"]
    summary = summarised(read_record([leave(tmp_path, [finished([], {})], id="ab", words=words)]))
    assert summary["sweeps"][0]["command"] == "rlhf -m seed=1,2 hydra/launcher=local"
