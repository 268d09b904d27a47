"""Quantized weights with adapters train through the real stages, also after an evaluation in the middle."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.bench import POLICIES, curve, stage_run, train, weights_of

pytest.importorskip("bitsandbytes")
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
@pytest.mark.parametrize("model", POLICIES)
@pytest.mark.parametrize("method", ["sft", "dpo", "reward"])
def test_training_goes_on_after_an_evaluation(method: str, model: str, quantization: str, tmp_path: Path) -> None:
    words = [f"quantization={quantization}", "adapter=lora", "++method.trainer.eval_steps=2"]
    words += ["++method.trainer.warmup_steps=0"]
    run = stage_run(method, model, *words, steps=4)
    result = train(run, tmp_path)
    assert [step for step, _ in result.curves["eval/loss"]] == [2, 4]
    for name in ("train/loss", "eval/loss"):
        assert all(math.isfinite(value) for value in curve(result, name))
    norms = curve(result, "train/grad_norm")
    assert len(norms) == 4
    assert all(norm > 0 for norm in norms)
    halves = [weight for name, weight in weights_of(tmp_path / "model").items() if "lora_B" in name]
    assert halves
    assert all(weight.abs().max() > 0 for weight in halves)


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
@pytest.mark.parametrize("model", POLICIES)
def test_ppo_goes_on_after_an_evaluation(model: str, quantization: str, tmp_path: Path) -> None:
    """Policy, reference and critic on one quantized base: KL is exactly 0 at first, and grows."""
    words = [f"quantization={quantization}", "adapter=lora", "++method.trainer.eval_steps=2"]
    result = train(stage_run("ppo", model, *words, "method.critic.kind=separate", steps=4), tmp_path)
    assert [step for step, _ in result.curves["eval/reward/score"]] == [2, 4]
    assert all(math.isfinite(value) for points in result.curves.values() for _, value in points)
    distances = curve(result, "train/kl/k3_policy_to_reference")
    assert distances[0] < 1e-4 < distances[-1]
    assert all(norm > 0 for norm in curve(result, "train/grad_norm"))


@pytest.mark.parametrize("optimizer", ["paged_adamw_8bit", "adamw_bnb_8bit"])
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_eight_bit_optimizers_train(optimizer: str, quantization: str, tmp_path: Path) -> None:
    adapter = "none" if quantization == "none" else "lora"
    words = [f"quantization={quantization}", f"adapter={adapter}", f"++method.trainer.optim={optimizer}"]
    run = stage_run("sft", "tiny_gpt2", *words, "++method.trainer.learning_rate=1e-3", steps=4)
    losses = curve(train(run, tmp_path), "train/loss")
    assert losses[-1] < losses[0]
