"""Our formulas against torch's own counter, which watches the operations of a real forward and backward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as t
from torch.utils.flop_counter import FlopCounterMode

from rlhf.evaluation.cost.flops import forward_flops, train_flops
from rlhf.models.adapter import adapter_parameters

BATCH, LENGTH, TARGET = 3, 24, 10
CAUSAL: dict[str, Any] = {
    "gpt2": lambda: t.GPT2Config(vocab_size=300, n_positions=64, n_embd=48, n_layer=3, n_head=4),
    "gpt2_inner": lambda: t.GPT2Config(vocab_size=90, n_positions=64, n_embd=32, n_layer=2, n_head=2, n_inner=72),
    "llama": lambda: t.LlamaConfig(
        vocab_size=300, hidden_size=48, intermediate_size=112, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=4,
    ),
    "llama_gqa": lambda: t.LlamaConfig(
        vocab_size=200, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=8,
        num_key_value_heads=2, head_dim=16,
    ),
}  # fmt: skip
ENCODER_DECODER: dict[str, Any] = {
    "t5": lambda: t.T5Config(
        vocab_size=300,
        d_model=48,
        d_kv=8,
        d_ff=96,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=4,
        feed_forward_proj="relu",
    ),
    "mt5": lambda: t.MT5Config(
        vocab_size=300, d_model=48, d_kv=16, d_ff=80, num_layers=3, num_decoder_layers=3, num_heads=4
    ),
}
SCORERS: dict[str, Any] = {
    "gpt2": lambda: t.GPT2Config(
        vocab_size=300, n_positions=64, n_embd=48, n_layer=3, n_head=4, num_labels=1, pad_token_id=0
    ),
    "llama": lambda: t.LlamaConfig(
        vocab_size=300, hidden_size=48, intermediate_size=112, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, num_labels=1, pad_token_id=0,
    ),
    "bert": lambda: t.BertConfig(
        vocab_size=300, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96, num_labels=1
    ),
    "roberta": lambda: t.RobertaConfig(
        vocab_size=300, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96, num_labels=1
    ),
    "mt5": lambda: t.MT5Config(
        vocab_size=300, d_model=48, d_kv=16, d_ff=80, num_layers=2, num_decoder_layers=2, num_heads=4, num_labels=1
    ),
}  # fmt: skip


def build(auto: Any, config: Any) -> Any:
    torch.manual_seed(0)
    return auto.from_config(config, attn_implementation="eager").train()


def tokens(config: Any, length: int) -> torch.Tensor:
    ids = torch.randint(2, config.vocab_size - 1, (BATCH, length))
    ids[:, -1] = 1  # T5's end of sequence, which its score head looks for
    return ids


def counted(model: Any, inputs: dict[str, torch.Tensor], *, backward: bool) -> int:
    with FlopCounterMode(display=False) as counter:
        output = (
            model(**inputs, use_cache=False) if model.config.model_type not in ("bert", "roberta") else model(**inputs)
        )
        if backward:
            output.logits.float().sum().backward()
    return int(counter.get_total_flops())


def both_ways(
    model: Any, inputs: dict[str, torch.Tensor], head: Any, target: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Our counts and torch's: of a forward pass, and of one with its backward."""
    shape = {"batch": BATCH, "length": LENGTH, "target_length": target, "head": head}
    trained = train_flops(model.config, **shape, frozen_base=False, adapter_parameters=0)
    torchs = counted(model, inputs, backward=False), counted(model, inputs, backward=True)
    return (forward_flops(model.config, **shape), trained), torchs


@pytest.mark.parametrize("name", CAUSAL)
def test_causal_policies(name: str) -> None:
    model = build(t.AutoModelForCausalLM, CAUSAL[name]())
    ours, torchs = both_ways(model, {"input_ids": tokens(model.config, LENGTH)}, "lm", 0)
    assert ours == pytest.approx(torchs, rel=0.05)


@pytest.mark.parametrize("name", ENCODER_DECODER)
def test_encoder_decoder_policies(name: str) -> None:
    model = build(t.AutoModelForSeq2SeqLM, ENCODER_DECODER[name]())
    ids, target = tokens(model.config, LENGTH), tokens(model.config, TARGET)
    ours, torchs = both_ways(model, {"input_ids": ids, "decoder_input_ids": target}, "lm", TARGET)
    assert ours == pytest.approx(torchs, rel=0.05)


@pytest.mark.parametrize("name", SCORERS)
def test_scorers(name: str) -> None:
    model = build(t.AutoModelForSequenceClassification, SCORERS[name]())
    target = LENGTH if name == "mt5" else 0  # its decoder reads the same tokens again
    ours, torchs = both_ways(model, {"input_ids": tokens(model.config, LENGTH)}, "score", target)
    assert ours == pytest.approx(torchs, rel=0.05)


# as conf/model has them: which modules carry an adapter, and what the head of a scorer is called
ADAPTED: dict[str, tuple[list[str], str]] = {
    "gpt2": (["c_attn", "c_proj"], "score"),
    "llama": (["q_proj", "v_proj"], "score"),
    "t5": (["q", "v"], "classification_head"),
    "mt5": (["q", "v"], "classification_head"),
    "bert": (["query", "value"], "classifier"),
    "roberta": (["query", "value"], "classifier"),
}
LORA = [
    *((name, "lm", t.AutoModelForCausalLM, make) for name, make in CAUSAL.items()),
    *((name, "lm", t.AutoModelForSeq2SeqLM, make) for name, make in ENCODER_DECODER.items()),
    *((name, "score", t.AutoModelForSequenceClassification, make) for name, make in SCORERS.items()),
]


@pytest.mark.parametrize(
    ("name", "head", "auto", "make"), LORA, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_frozen_base_with_adapters(name: str, head: Any, auto: Any, make: Any) -> None:
    from peft import LoraConfig, get_peft_model

    config = make()
    targets, classifier = ADAPTED[config.model_type]
    task = {t.AutoModelForCausalLM: "CAUSAL_LM", t.AutoModelForSeq2SeqLM: "SEQ_2_SEQ_LM"}.get(auto, "SEQ_CLS")
    lora = LoraConfig(
        r=4, target_modules=targets, task_type=task, fan_in_fan_out=config.model_type == "gpt2",
        modules_to_save=[classifier] if head == "score" else None,
    )  # fmt: skip
    adapted = get_peft_model(build(auto, config), lora)
    inputs, target = {"input_ids": tokens(config, LENGTH)}, 0
    if config.model_type in ENCODER_DECODER:
        target = TARGET if head == "lm" else LENGTH
        inputs |= {"decoder_input_ids": tokens(config, TARGET)} if head == "lm" else {}
    shape = {"batch": BATCH, "length": LENGTH, "target_length": target, "head": head}
    ours = train_flops(config, **shape, frozen_base=True, adapter_parameters=adapter_parameters(adapted))
    assert ours == pytest.approx(counted(adapted, inputs, backward=True), rel=0.05)


def test_a_trained_head_is_no_part_of_the_adapters_parameters() -> None:
    from peft import LoraConfig, get_peft_model

    model = build(t.AutoModelForSequenceClassification, SCORERS["roberta"]())
    lora = LoraConfig(r=4, target_modules=["query", "value"], task_type="SEQ_CLS", modules_to_save=["classifier"])
    adapted = get_peft_model(model, lora)
    assert adapter_parameters(adapted) == 3 * 2 * 4 * (48 + 48)  # layers x modules x r x (in + out)


def test_one_layer_by_hand() -> None:
    config = t.GPT2Config(vocab_size=10, n_embd=4, n_layer=1, n_head=2)
    # 2 rows x 3 tokens = 6 tokens. Weights: 2 x 6 x (4 x 16 + 2 x 4 x 16) = 2304; scores 2 x (2 x 2 x 3 x 3 x 4) = 288;
    # logits 2 x 6 x 4 x 10 = 480
    assert forward_flops(config, batch=2, length=3, target_length=0, head="lm") == 2304 + 288 + 480
    assert forward_flops(config, batch=2, length=3, target_length=0, head="none") == 2304 + 288


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(ValueError, match="bloom"):
        forward_flops(t.BloomConfig(), batch=1, length=1, target_length=0, head="lm")
    with pytest.raises(ValueError, match="no policy"):
        forward_flops(t.BertConfig(), batch=1, length=1, target_length=0, head="lm")
