"""PPO killed in the middle, run again by the same command, ends bit for bit as if it had never stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rlhf.pipeline import STAGES
from rlhf.stages import training
from tests.bench import context_of, same, stage_run, timeless, train, weights_of
from tests.stages.test_resume import Fork, Stopped, kill_at, results

# from where the chances and prompts of a step are drawn, what the guard and the controller saw: all must come back
STATEFUL = ("method.kl.target=0.02", "method.kl.horizon=16", "method.guard.window=2", "method.minibatches=2")
STATEFUL += ("method.normalize_rewards=8", "method.samples.every=3")


def words(*more: str) -> list[str]:
    """SFT and PPO that save every 2 steps, judged by a function and the gold reward: no reward stage is needed."""
    rewards = ["~method.rewards.judge", "+method.rewards.gold={kind: gold, weight: 1.0}"]
    rewards += ["+method.rewards.short={kind: function, weight: 0.1, name: 'rlhf.ppo.builtin:length_penalty'}"]
    small = {"max_steps": 8, "eval_steps": 4, "save_steps": 2, "learning_rate": 2e-3}
    settings = ["method=ppo", "dataset.rows=200", "evaluation.prompts=4", "evaluation.max_new_tokens=4"]
    settings += ["evaluation.bootstrap=10", "hardware=cpu", "tracking=none", *rewards]
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


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`stopping(step)`: stages are interrupted once the checkpoint of that step is whole; None: they are not."""
    plain = training.Checkpoints.on_save
    chosen: list[int | None] = [None]

    def stop(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        plain(self, args, state, control, **rest)
        if state.global_step == chosen[0]:
            raise Stopped

    monkeypatch.setattr(training.Checkpoints, "on_save", stop)

    def choose(step: int | None) -> None:
        chosen[0] = step

    return choose


@pytest.mark.parametrize(
    ("model", "more", "step"),
    [
        ("tiny_gpt2", (), 1),
        ("tiny_gpt2", ("method.critic.kind=separate",), 3),
        ("tiny_mt5", ("adapter=lora", "method.critic.kind=separate"), 4),
    ],
)
def test_a_stage_stopped_at_any_step_goes_on_exactly(
    model: str, more: tuple[str, ...], step: int, tmp_path: Path, stopping: Any
) -> None:
    """Also what is no curve: the controller's coefficient, the guard's memory, normalisation and counts."""
    saving = ("++method.trainer.save_steps=1", "++method.trainer.eval_steps=2", *STATEFUL, *more)
    run = stage_run("ppo", model, *saving, steps=5)
    states = {}
    for name in ("whole", "cut"):
        stopping(step if name == "cut" else None)
        if name == "cut":
            with pytest.raises(Stopped):
                train(run, tmp_path / name)
            mark = json.loads((tmp_path / name / f"checkpoints/checkpoint-{step}/whole.json").read_text())
            assert [at for at, _ in mark["curves"]["train/loss"]] == list(range(1, step + 1))
        stopping(5)  # the last checkpoint, before it is cleared away
        with pytest.raises(Stopped):
            train(run, tmp_path / name)
        states[name] = state_at(tmp_path / name, 5)
        stopping(None)
        states[f"{name} result"] = train(run, tmp_path / name).curves
    kept = {name for name in states["whole"] if name.startswith(("control.", "guard.", "progress."))}
    assert {"control.coefficient", "guard.recent", "guard.first", "guard.healthy", "progress.reward_std"} <= kept
    assert same(states["cut"], states["whole"])
    assert states["whole"]["control.coefficient"] != run.method.kl.coefficient
    assert states["whole"]["guard.seen"] == 5 and states["whole"]["progress.reward_std"] != 1
    assert timeless(states["cut result"]) == timeless(states["whole result"])
    assert same(weights_of(tmp_path / "cut/model"), weights_of(tmp_path / "whole/model"))


def test_only_what_trains_is_in_a_checkpoint(tmp_path: Path, stopping: Any) -> None:
    """Of LoRA no frozen base, of full training no reference: a checkpoint is as large as what must come back."""
    for adapter in ("lora", "none"):
        run = stage_run("ppo", "tiny_gpt2", f"adapter={adapter}", "++method.trainer.save_steps=1", steps=1)
        stopping(1)
        with pytest.raises(Stopped):
            train(run, tmp_path / adapter)
        names = set(state_at(tmp_path / adapter, 1))
        assert {"value_head.weight", "value_head.bias"} <= names
        assert not [name for name in names if "reference" in name]
        policy = [name for name in names if name.startswith("roles.policy.")]
        assert policy and all("lora_" in name for name in policy) == (adapter == "lora")


def test_a_stage_that_goes_on_tells_its_tracker_the_curves_from_the_first_step(tmp_path: Path, stopping: Any) -> None:
    sent: dict[str, list[int]] = {}
    run = stage_run("ppo", "tiny_gpt2", "++method.trainer.save_steps=1", steps=3)
    context = context_of(run, tmp_path)

    class Kept(type(context.tracked)):  # type: ignore[misc]
        def metrics(self, values: Any, step: int | None) -> None:
            for name in values:
                sent.setdefault(name, []).append(int(step or 0))

    stopping(2)
    with pytest.raises(Stopped):
        train(run, tmp_path)
    stopping(None)
    STAGES["ppo"](replace(context, tracked=Kept()))
    assert sent["train/reward/score"] == sent["train/kl/coefficient"] == [1, 2, 3]
