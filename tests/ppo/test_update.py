"""What must hold of an update: run-time checks fire; gradients are of the samples alone, are clipped, and arrive."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rlhf.errors import RunFailure
from rlhf.ppo.checks import check_first_pass
from rlhf.ppo.experience import Experience
from rlhf.ppo.trainer import PPOTrainer
from tests.bench import POLICIES
from tests.ppo.tiny import collected, disturb, learner_of, method, trainer_of


def test_training_refuses_a_reference_that_is_another_model(tmp_path: Path) -> None:
    asked = method()
    learner = learner_of("tiny_gpt2", asked)
    learner.roles.reference.transformer.ln_f.weight.data *= 1.05
    with pytest.raises(RunFailure, match="KL between the policy and its reference"):
        trainer_of(learner, asked, tmp_path).train()


def test_training_refuses_positions_that_count_padding(tmp_path: Path) -> None:
    """Positions that count padding in the update alone: sampling and its log-probs agree, the first pass does not."""
    asked = method()
    learner = learner_of("tiny_gpt2", asked)

    def broken(_: Any, args: Any, given: dict[str, Any]) -> Any:
        positions = given["position_ids"]
        wrong = {"position_ids": torch.arange(positions.shape[1])[None]}
        return args, given | (wrong if torch.is_grad_enabled() else {})

    for model in (learner.roles.policy, learner.roles.reference):
        model.transformer.register_forward_pre_hook(broken, with_kwargs=True)
    with pytest.raises(RunFailure, match="different tokens, masks or positions"):
        trainer_of(learner, asked, tmp_path).train()


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("critic", ["shared", "separate"])
@pytest.mark.parametrize("name", POLICIES)
def test_the_ratio_is_1_on_the_first_pass_of_every_step(name: str, critic: str, lora: bool, tmp_path: Path) -> None:
    """Even where the update's micro-batches have other rows and widths than those that the old log-probs are from."""
    asked = method(f"critic.kind={critic}", "epochs=1", "microbatch_tokens=60", "temperature=0.8")
    trainer = trainer_of(learner_of(name, asked, lora=lora), asked, tmp_path)
    seen: list[dict[str, float]] = []
    trainer.watch = lambda _, metrics, __: seen.append(dict(metrics))
    trainer.train()
    assert len(seen) == 2
    for metrics in seen:
        assert metrics["policy/ratio"] == pytest.approx(1.0, abs=1e-5)
        assert metrics["kl/k3_old_to_new"] < 1e-9
    assert abs(seen[0]["kl/k1_policy_to_reference"]) < 1e-4


def gradients_of(trainer: PPOTrainer, experience: Experience, rows: list[int]) -> tuple[dict[str, float], list[Tensor]]:
    """Metrics and gradients of one minibatch; the policy has moved since, so that nothing is at a special place."""
    trainer.learner.zero_grad()
    metrics = trainer._accumulate(trainer.learner, experience, trainer.credit(experience), rows)
    return metrics, [weight.grad.clone() for _, weight in trainer.learner.trained() if weight.grad is not None]


@pytest.mark.parametrize("estimator", ["k1", "k2"])
@pytest.mark.parametrize("name", POLICIES)
def test_gradients_depend_neither_on_micro_batches_nor_on_order_or_padding(
    name: str, estimator: str, tmp_path: Path
) -> None:
    asked = method(f"kl.estimator={estimator}")
    learner = learner_of(name, asked)
    experience = collected(learner, asked)
    assert len(set(experience.lengths.tolist())) > 1
    disturb(learner, "", size=0.01)
    everything = list(range(len(experience.rows)))
    trainer = trainer_of(learner, asked, tmp_path)
    metrics, gradients = gradients_of(trainer, experience, everything)
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    assert largest > 1e-3 and metrics["policy/ratio"] != 1.0

    def extended(values: Tensor) -> Tensor:
        return torch.cat([values, torch.zeros_like(values[:, :3])], dim=1)

    names = ("mask", "logp_generated", "logp_old", "logp_reference", "entropy", "values")
    wider = replace(experience, **{name: extended(getattr(experience, name)) for name in names})
    for budget, given, rows in (
        (1, experience, everything),  # one row at a time: no padding at all
        (60, experience, everything),
        (16384, experience, everything[::-1]),
        (16384, wider, everything),
    ):
        trainer.method = asked.model_copy(update={"microbatch_tokens": budget})
        other, moved = gradients_of(trainer, given, rows)
        assert other == pytest.approx(metrics, abs=1e-6, rel=1e-5)
        for ours, theirs in zip(gradients, moved, strict=True):
            torch.testing.assert_close(theirs, ours, atol=1e-6 * max(1.0, largest), rtol=0)


def test_gradients_are_clipped(tmp_path: Path) -> None:
    """Policy and critic each by their own norm, as the optimizer gets them; the log has the norm before."""
    asked = method("critic.kind=separate", "kl.max_update=null")
    trainer = trainer_of(learner_of("tiny_gpt2", asked), asked, tmp_path, max_grad_norm=0.01)
    norms: list[list[float]] = []
    logged: list[dict[str, float]] = []
    trainer.watch = lambda _, metrics, __: logged.append(metrics)
    optimizer = trainer.create_optimizer()

    def measure(*_: Any) -> None:
        grads = [[w.grad.norm() for w in group["params"] if w.grad is not None] for group in optimizer.param_groups]
        if any(grads):  # the Trainer's own step has none
            norms.append([float(torch.stack(grad).norm()) for grad in grads])

    optimizer.register_step_pre_hook(measure)
    trainer.train()
    assert len(norms) == 2 * asked.epochs
    for policy, critic in norms:
        assert policy == pytest.approx(0.01, rel=1e-3) and critic < 0.01 * 1.001
    assert all(metrics["grad_norm"] > 0.02 for metrics in logged)


@pytest.mark.parametrize("from_adapter", [False, True], ids=["from base", "from an SFT adapter"])
@pytest.mark.parametrize("name", POLICIES)
def test_adapters_of_policy_and_critic_train_and_nothing_else_does(
    name: str, from_adapter: bool, tmp_path: Path
) -> None:
    """PEFT flips `requires_grad` when adapters are switched: each role must get its gradient all the same."""
    asked = method("critic.kind=separate")
    learner = learner_of(name, asked, lora=True, from_adapter=from_adapter)

    def training() -> set[str]:
        return {key.split(".")[-2] if "lora_" in key else key for key, _ in learner.trained()}

    expected = {"default", "critic", "value_head.weight", "value_head.bias"}
    assert training() == expected
    for role in ("policy", "reference", "critic", "policy"):
        with learner.roles.acting(role):
            assert training() == expected
        assert training() == expected and learner.roles.policy.active_adapter == "default"
    experience = collected(learner, asked)
    gradients_of(trainer_of(learner, asked, tmp_path), experience, list(range(len(experience.rows))))
    for key, weight in learner.named_parameters():
        if weight.requires_grad and "lora_A" not in key:  # A gets none while B is 0
            assert weight.grad is not None and bool(weight.grad.any()), key
        if not weight.requires_grad:
            assert weight.grad is None, key


def test_a_mean_ratio_of_1_does_not_hide_ratios_that_are_not(tmp_path: Path) -> None:
    """Half of the tokens half as likely, half of them half as likely again: mean 1, but k3 is not 0."""
    assert trainer_of(learner_of("tiny_gpt2", method()), method(), tmp_path).exact
    check_first_pass({"policy/ratio": 1.0, "kl/k3_old_to_new": 1e-9}, True, 3)
    k3 = (math.log(1 / 0.5) + math.log(1 / 1.5)) / 2  # mean of ratio - 1 - log(ratio), with ratios 0.5 and 1.5
    with pytest.raises(RunFailure, match="ppo step 3: .*1.0000 on average") as caught:
        check_first_pass({"policy/ratio": 1.0, "kl/k3_old_to_new": k3}, True, 3)
    assert caught.value.resumable
