"""PPO killed in the middle, run again by the same command, ends bit for bit as if it had never stopped."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlhf.config import Run
from rlhf.pipeline import STAGES
from rlhf.tracking import NullRun
from tests.bench import context_of, same, stage_run, timeless, train, weights_of
from tests.stages.test_resume import Fork, kill_at, results

# from where the chances and prompts of a step are drawn, what the guard and the controller saw: all must come back
STATEFUL = ("method.kl.target=0.02", "method.kl.horizon=16", "method.guard.window=2", "method.minibatches=2")
STATEFUL += ("method.normalize_rewards=8", "method.samples.every=3")


def words(*more: str) -> list[str]:
    """SFT and PPO that save every 2 steps, judged by a function and the gold reward: no reward stage is needed."""
    rewards = ["~method.rewards.judge", "+method.rewards.gold={kind: gold, weight: 1.0}"]
    rewards += ["+method.rewards.short={kind: function, weight: 0.1, name: 'rlhf.ppo.builtin:length_penalty'}"]
    small = {"max_steps": 8, "eval_steps": 4, "save_steps": 2, "learning_rate": 2e-3}
    settings = ["method=ppo", "dataset.rows=200", "evaluation.prompts=4", "evaluation.max_new_tokens=4"]
    settings += ["evaluation.bootstrap=10", "evaluation.suites=[]", "hardware=cpu", "tracking=none", *rewards]
    settings += ["method.prompts_per_step=8", "method.epochs=2", "method.max_response_tokens=12"]
    settings += ["++upstream.sft.trainer.max_steps=4", "method.samples.prompts=2"]
    return [*settings, *(f"++method.trainer.{key}={value}" for key, value in small.items()), *STATEFUL, *more]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "more"),
    [
        (4, ["model=tiny_gpt2"]),
        (2, ["model=tiny_mt5", "method.critic.kind=separate"]),
        (6, ["model=tiny_gpt2", "adapter=lora", "upstream.sft.starts_from=base", "method.kl.estimator=k2"]),
    ],
    ids=["gpt2", "mt5", "lora"],
)
def test_killed_once(step: int, more: list[str], tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir(), whole.mkdir()
    assert Fork(words(*more), whole).wait() == 0
    kill_at(Fork(words(*more), killed), killed, "ppo", step)
    assert Fork(words(*more), killed).wait() == 0
    (found, weights), (hoped, untouched) = results(killed, "ppo"), results(whole, "ppo")
    assert timeless(found["curves"]) == timeless(hoped["curves"])
    coefficients = [value for _, value in found["curves"]["train/kl/coefficient"]]
    assert len(coefficients) == 8 and len(set(coefficients)) == 8  # the controller was at work
    assert same(weights, untouched)
    costs = ("cost/tokens", "cost/flops", "final/loss")
    assert {k: found["metrics"][k] for k in costs} == {k: hoped["metrics"][k] for k in costs}


def state_at(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints" / f"checkpoint-{step}" / "model.safetensors")


class Sent(NullRun):
    """Keeps the steps that it is told of; the one after `last` interrupts the stage, as ctrl-C would there."""

    def __init__(self, last: int | None = None) -> None:
        self.last = last
        self.steps: dict[str, list[int]] = {}

    def metrics(self, values: Mapping[str, float], step: int | None) -> None:
        if self.last is not None and int(step or 0) > self.last:
            raise KeyboardInterrupt
        for name in values:
            self.steps.setdefault(name, []).append(int(step or 0))


def interrupted(run: Run, folder: Path, last: int) -> None:
    """Run the stage; the checkpoint of step `last`, written before the next one is told, is its newest."""
    with pytest.raises(KeyboardInterrupt):
        STAGES["ppo"](replace(context_of(run, folder), tracked=Sent(last)))


@pytest.mark.parametrize(
    ("model", "more", "step"),
    [
        ("tiny_gpt2", (), 1),
        ("tiny_gpt2", ("method.critic.kind=separate",), 3),
        ("tiny_mt5", ("adapter=lora", "method.critic.kind=separate"), 4),
    ],
)
def test_a_stage_stopped_at_any_step_goes_on_exactly(
    model: str, more: tuple[str, ...], step: int, tmp_path: Path
) -> None:
    """Also what is no curve: the controller's coefficient, the guard's memory, normalisation and counts."""
    saving = ("++method.trainer.save_steps=1", "++method.trainer.eval_steps=2", *STATEFUL, *more)
    run = stage_run("ppo", model, *saving, steps=6)
    states = {}
    for name in ("whole", "cut"):
        if name == "cut":
            interrupted(run, tmp_path / name, step)
            mark = json.loads((tmp_path / name / f"checkpoints/checkpoint-{step}/whole.json").read_text())
            assert [at for at, _ in mark["curves"]["train/loss"]] == list(range(1, step + 1))
        interrupted(run, tmp_path / name, 5)
        states[name] = state_at(tmp_path / name, 5)
        states[f"{name} result"] = train(run, tmp_path / name).curves
    kept = {name for name in states["whole"] if name.startswith(("control.", "guard.", "progress."))}
    assert {"control.coefficient", "guard.recent", "guard.first", "guard.healthy", "progress.reward_std"} <= kept
    assert same(states["cut"], states["whole"])
    assert states["whole"]["control.coefficient"] != run.method.kl.coefficient
    assert states["whole"]["guard.seen"] == 5 and states["whole"]["progress.reward_std"] != 1
    assert timeless(states["cut result"]) == timeless(states["whole result"])
    assert same(weights_of(tmp_path / "cut/model"), weights_of(tmp_path / "whole/model"))


def test_only_what_trains_is_in_a_checkpoint(tmp_path: Path) -> None:
    """Of LoRA no frozen base, of full training no reference: a checkpoint is as large as what must come back."""
    for adapter in ("lora", "none"):
        run = stage_run("ppo", "tiny_gpt2", f"adapter={adapter}", "++method.trainer.save_steps=1", steps=2)
        interrupted(run, tmp_path / adapter, 1)
        names = set(state_at(tmp_path / adapter, 1))
        assert {"value_head.weight", "value_head.bias"} <= names
        assert not [name for name in names if "reference" in name]
        policy = [name for name in names if name.startswith("roles.policy.")]
        assert policy and all("lora_" in name for name in policy) == (adapter == "lora")


def test_a_stage_that_goes_on_tells_its_tracker_the_curves_from_the_first_step(tmp_path: Path) -> None:
    run = stage_run("ppo", "tiny_gpt2", "++method.trainer.save_steps=1", steps=3)
    interrupted(run, tmp_path, 2)
    sent = Sent()
    STAGES["ppo"](replace(context_of(run, tmp_path), tracked=sent))
    assert sent.steps["train/reward/score"] == sent.steps["train/kl/coefficient"] == [1, 2, 3]


COUNTING = """
calls = []
def counting(prompts, answers):
    calls.append(len(answers))
    return [0.0] * len(answers)
"""


def test_the_scale_of_rewards_is_sampled_at_the_start_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is scored: two batches for the scale, three steps and a table, both held-out sets; then what was left."""
    (tmp_path / "counting_rewards.py").write_text(COUNTING)
    monkeypatch.syspath_prepend(tmp_path)
    counted = "+method.rewards.counted={kind: function, weight: 0.0, name: 'counting_rewards:counting'}"
    more = ("++method.trainer.save_steps=1", "method.normalize_rewards=8", counted)
    run = stage_run("ppo", "tiny_gpt2", *more, steps=3)
    train(run, tmp_path / "whole")
    calls = importlib.import_module("counting_rewards").calls
    assert calls == [4, 4, 4, 2, 4, 4, 4, 4]  # batches of 4 prompts; 2 in the table
    interrupted(run, tmp_path / "cut", 2)
    calls.clear()
    train(run, tmp_path / "cut")
    assert calls == [4, 4, 4]
    assert same(weights_of(tmp_path / "cut/model"), weights_of(tmp_path / "whole/model"))
