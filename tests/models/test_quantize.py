"""Quantized models on the CPU: they train after an evaluation, stay close to fp32, and refuse where they cannot run."""

from __future__ import annotations

import logging

import bitsandbytes as bnb
import pytest
import torch
from datasets import Dataset
from trl import RewardConfig, RewardTrainer

from rlhf.errors import UserError
from rlhf.models.load import add_adapter, full_precision
from rlhf.models.quantize import quantization_config
from rlhf.models.score import score

from .conftest import ANSWERS, CHATS, INT8, LORA, NF4, NONE, model_spec

FAMILIES = ["tiny_gpt2", "tiny_mt5", "tiny_llama", "tiny_bert"]
PAIRS = list(zip(CHATS, ANSWERS, strict=True))


def gradient_norm(model, ids: torch.Tensor, **extra: torch.Tensor) -> float:
    model.train()
    model.zero_grad()
    model(input_ids=ids, **extra).logits.float().pow(2).mean().backward()
    gradients = [p.grad.norm() for n, p in model.named_parameters() if p.grad is not None and "lora_" in n]
    assert gradients
    return torch.stack(gradients).norm().item()


@pytest.mark.parametrize("quantization", [INT8, NF4], ids=["int8", "nf4"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_scorer_still_trains_after_an_evaluation(name: str, quantization, tiny) -> None:
    bench = tiny(name)
    model = add_adapter(bench.scorer(quantization), bench.spec, LORA, scorer=True, seed=0)
    ids = torch.tensor([bench.codec.scorer_ids(CHATS[0], ANSWERS[0])])
    before = gradient_norm(model, ids)
    score(model, bench.codec, PAIRS, 2)  # bitsandbytes packs 4-bit weights for inference here, unless mended
    after = gradient_norm(model, ids)
    assert before > 0
    assert after == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize("quantization", [INT8, NF4], ids=["int8", "nf4"])
@pytest.mark.parametrize("name", FAMILIES[:3])
def test_a_policy_still_trains_after_an_evaluation(name: str, quantization, tiny) -> None:
    bench = tiny(name)
    model = add_adapter(bench.policy(quantization), bench.spec, LORA, scorer=False, seed=0)
    ids = torch.tensor([bench.codec.prompt_ids(CHATS[0])])
    extra = {"decoder_input_ids": ids} if name == "tiny_mt5" else {}
    before = gradient_norm(model, ids, **extra)
    with torch.no_grad():
        model.eval()(input_ids=ids, **extra)
    assert before > 0
    assert gradient_norm(model, ids, **extra) == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize("quantization,layer", [(INT8, bnb.nn.Linear8bitLt), (NF4, bnb.nn.Linear4bit)])
@pytest.mark.parametrize("name", FAMILIES)
def test_layers_are_quantized_but_not_the_head(name: str, quantization, layer, tiny) -> None:
    bench = tiny(name)
    model = bench.scorer(quantization)
    quantized = [n for n, module in model.named_modules() if isinstance(module, layer)]
    assert len(quantized) >= 8
    assert not any(bench.spec.classifier_head in n.split(".") for n in quantized)
    assert not any(getattr(module, "support_avx512bf16_for_cpu", False) for module in model.modules())


@pytest.mark.parametrize("quantization,bound", [(INT8, 0.05), (NF4, 1.0)])
@pytest.mark.parametrize("name", FAMILIES)
def test_quantized_scores_stay_near_full_precision(name: str, quantization, bound: float, tiny) -> None:
    bench = tiny(name)
    whole, small = (
        score(bench.scorer(), bench.codec, PAIRS, 3),
        score(bench.scorer(quantization), bench.codec, PAIRS, 3),
    )
    assert max(abs(a - b) for a, b in zip(whole, small, strict=True)) < bound
    assert whole != small


@pytest.mark.parametrize("restore", [True, False])
@pytest.mark.parametrize("quantization", [INT8, NF4], ids=["int8", "nf4"])
@pytest.mark.parametrize("name,rate", [("tiny_gpt2", 1e-3), ("tiny_mt5", 1e-2), ("tiny_bert", 1e-2)])
def test_trls_reward_trainer_trains_a_quantized_scorer(
    name: str, rate: float, quantization, restore: bool, tiny, tmp_path
) -> None:
    bench = tiny(name)
    model = add_adapter(bench.scorer(quantization), bench.spec, LORA, scorer=True, seed=0)
    ids = bench.codec.scorer_ids
    rows = [{"chosen_ids": ids(messages, answer), "rejected_ids": ids(messages, "No.")} for messages, answer in PAIRS]
    args = RewardConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, max_steps=3, learning_rate=rate, report_to=[],
        logging_steps=1, per_device_train_batch_size=3, disable_tqdm=True, save_strategy="no",
        eval_strategy="steps", eval_steps=1,
    )  # fmt: skip
    data = Dataset.from_list(rows)
    trainer = RewardTrainer(
        model=model, args=args, train_dataset=data, eval_dataset=data, processing_class=bench.tokenizer
    )
    if restore:
        full_precision(model)
    trainer.train()
    logs = trainer.state.log_history
    assert all(entry["grad_norm"] > 0 for entry in logs if "grad_norm" in entry)
    losses = [entry["eval_loss"] for entry in logs if "eval_loss" in entry]
    assert losses[-1] < losses[0] or (not restore and losses[-1] == losses[0])  # bf16 weights may not feel 3 steps
    assert len(score(model, bench.codec, PAIRS, 2)) == 3  # outside the trainer's autocast
    kinds = {parameter.dtype for parameter in model.parameters() if parameter.requires_grad}
    assert kinds == {torch.float32 if restore else torch.bfloat16}


def test_int8_says_nothing_at_each_forward(tiny, caplog) -> None:
    bench = tiny("tiny_gpt2")
    with caplog.at_level(logging.WARNING):
        score(bench.scorer(INT8), bench.codec, PAIRS, 3)
    assert "MatMul8bitLt" not in caplog.text


def test_no_quantization_needs_no_bitsandbytes_config() -> None:
    assert quantization_config(NONE, model_spec("tiny_gpt2"), "cpu") is None


def test_a_fault_that_no_kernel_raises_is_not_blamed_on_the_device(monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(bnb.functional, "quantize_4bit", broken)
    with pytest.raises(KeyError, match="a fault of ours"):
        quantization_config(NF4, model_spec("tiny_gpt2"), "cpu")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="needs a device that this machine lacks")
@pytest.mark.parametrize("quantization", [INT8, NF4], ids=["int8", "nf4"])
def test_a_device_without_kernels_is_refused(quantization) -> None:
    with pytest.raises(UserError, match=rf"quantization: {quantization.name} does not work on mps"):
        quantization_config(quantization, model_spec("tiny_gpt2"), "mps")
