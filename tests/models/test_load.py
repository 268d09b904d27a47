"""Loading and saving: every start a stage may have, the same weights after a round trip, and refusals that help."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import T5ForConditionalGeneration

from rlhf.errors import UserError
from rlhf.models.load import (
    Source,
    add_adapter,
    load_policy,
    load_scorer,
    load_tokenizer,
    merge_adapter,
    open_folder,
    resolve_base,
    save_model,
    trainable_parameters,
)
from rlhf.models.score import score

from .conftest import ANSWERS, CHATS, FP32_CPU, INT8, LORA, NF4, NONE, Tiny, model_spec

FAMILIES = ["tiny_gpt2", "tiny_mt5", "tiny_llama", "tiny_bert"]
POLICIES = FAMILIES[:3]
PAIRS = list(zip(CHATS, ANSWERS, strict=True))


def moved(model: torch.nn.Module) -> torch.nn.Module:
    """Move every trainable weight, so that what is saved is not what is drawn anew."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def logits(model: torch.nn.Module, bench: Tiny) -> torch.Tensor:
    ids = torch.tensor([bench.codec.prompt_ids(CHATS[0])])
    extra = {"decoder_input_ids": ids} if bench.spec.family == "seq2seq" else {}
    with torch.no_grad():
        return model(input_ids=ids, **extra).logits


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("name", POLICIES)
def test_a_saved_policy_answers_the_same_after_reloading(name: str, adapter: bool, tiny, tmp_path) -> None:
    bench = tiny(name)
    model = bench.policy()
    if adapter:
        model = add_adapter(model, bench.spec, LORA, scorer=False, seed=0)
    save_model(moved(model), bench.tokenizer, tmp_path)
    source = open_folder(tmp_path, "method.starts_from")
    assert (source.adapter is not None) is adapter
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir() if file.is_file()} == {0o644}
    with warnings.catch_warnings(record=True) as told:
        again = load_policy(bench.spec, source, NONE, **FP32_CPU)
    assert [str(one.message) for one in told] == []
    assert isinstance(again, PeftModel) is adapter
    torch.testing.assert_close(logits(again, bench), logits(model, bench), atol=1e-6, rtol=1e-6)
    assert (logits(again, bench) - logits(bench.policy(), bench)).abs().max() > 1e-2
    assert trainable_parameters(again)[0] == trainable_parameters(model)[0]
    assert load_tokenizer(bench.spec, source).get_vocab() == bench.tokenizer.get_vocab()


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_scorer_scores_the_same_after_reloading(name: str, adapter: bool, tiny, tmp_path) -> None:
    bench = tiny(name)
    model = bench.scorer()
    if adapter:
        model = add_adapter(model, bench.spec, LORA, scorer=True, seed=0)
    save_model(moved(model), bench.tokenizer, tmp_path)
    again = load_scorer(bench.spec, open_folder(tmp_path, "x"), NONE, **(FP32_CPU | {"seed": 99}))
    found, truth = score(again, bench.codec, PAIRS, 2), score(model, bench.codec, PAIRS, 2)
    assert found == pytest.approx(truth, abs=1e-6)
    assert found != pytest.approx(score(bench.scorer(), bench.codec, PAIRS, 2), abs=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_new_head_comes_from_the_seed_and_the_body_from_the_base(name: str, tiny) -> None:
    bench = tiny(name)
    head = {}
    for seed in (1, 1, 2):
        state = load_scorer(bench.spec, bench.source, NONE, **(FP32_CPU | {"seed": seed})).state_dict()
        weights = torch.cat([v.flatten() for k, v in state.items() if bench.spec.classifier_head in k.split(".")])
        head.setdefault(seed, []).append(weights)
    assert torch.equal(*head[1]) and not torch.equal(head[1][0], head[2][0])
    state = dict(torch.nn.Module.state_dict(bench.scorer()))
    if name == "tiny_mt5":
        truth = bench.policy().state_dict()
        assert all(torch.equal(state[f"transformer.{k}"], v) for k, v in truth.items() if not k.startswith("lm_head"))


def test_a_scorer_trained_in_full_or_with_lora_trains_its_head(tiny) -> None:
    for name in FAMILIES:
        bench = tiny(name)
        model = add_adapter(bench.scorer(), bench.spec, LORA, scorer=True, seed=0)
        assert any(bench.spec.classifier_head in n for n, p in model.named_parameters() if p.requires_grad)


@pytest.mark.parametrize("name", POLICIES)
def test_a_scorer_can_start_from_a_policys_adapter(name: str, tiny, tmp_path) -> None:
    bench = tiny(name)
    policy = moved(add_adapter(bench.policy(), bench.spec, LORA, scorer=False, seed=0))
    save_model(policy, bench.tokenizer, tmp_path)
    own = open_folder(tmp_path, "x")
    with pytest.raises(ValueError, match="merge_adapter"):
        load_scorer(bench.spec, own, NONE, **FP32_CPU)
    merged = merge_adapter(bench.spec, own, tmp_path / "base", dtype=torch.float32, seed=1)
    scorer = load_scorer(bench.spec, merged, NONE, **FP32_CPU)
    target = next(n for n, _ in policy.named_modules() if n.endswith(bench.spec.lora_targets[0]))
    layer = policy.get_submodule(target)
    product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight * LORA.alpha / LORA.r
    truth = layer.base_layer.weight + (product.T if name == "tiny_gpt2" else product)
    inner = target.removeprefix("base_model.model.")
    found = scorer.get_submodule(f"transformer.{inner}" if name == "tiny_mt5" else inner).weight
    torch.testing.assert_close(found, truth)


def test_t5_v1_1_keeps_its_unscaled_outputs_through_a_round_trip(tiny, tmp_path) -> None:
    sizes = ["num_layers=2", "num_decoder_layers=2", "d_model=64", "d_ff=64", "num_heads=2", "vocab_size=1024"]
    bench = tiny("flan_t5_small", "model.init=random", *(f"model.architecture.{size}" for size in sizes))
    model = bench.policy()
    assert isinstance(model, T5ForConditionalGeneration) and not model.config.scale_decoder_outputs
    save_model(model, bench.tokenizer, tmp_path)
    again = load_policy(bench.spec, open_folder(tmp_path, "x"), NONE, **FP32_CPU)
    assert not again.config.scale_decoder_outputs
    assert torch.equal(logits(again, bench), logits(model, bench))


def test_random_weights_follow_the_seed(tiny) -> None:
    bench = tiny("gpt2", "model.init=random", "model.architecture.n_layer=1", "model.architecture.n_embd=48")
    assert bench.source.kind == "architecture"
    one, same, other = (
        load_policy(bench.spec, bench.source, NONE, **(FP32_CPU | {"seed": seed})).transformer.wte.weight
        for seed in (5, 5, 6)
    )
    assert one.shape == (50257, 48)
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_an_adapter_on_random_weights_finds_them_again_by_seed(tiny, tmp_path) -> None:
    bench = tiny("gpt2", "model.init=random", "model.architecture.n_layer=1", "model.architecture.n_embd=48")
    model = moved(add_adapter(bench.policy(), bench.spec, LORA, scorer=False, seed=0))
    save_model(model, bench.tokenizer, tmp_path)
    source = open_folder(tmp_path, "x")
    assert source == Source(bench.source.base, tmp_path, "architecture")
    again = load_policy(bench.spec, source, NONE, **FP32_CPU)
    torch.testing.assert_close(logits(again, bench), logits(model, bench), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("quantization", [INT8, NF4])
def test_random_weights_can_be_quantized(quantization, tiny) -> None:
    bench = tiny("llama3_2_1b", "model.init=random", "model.architecture.num_hidden_layers=1",
                 "model.architecture.hidden_size=128", "model.architecture.intermediate_size=128",
                 "model.architecture.num_attention_heads=2", "model.architecture.num_key_value_heads=2",
                 "model.architecture.vocab_size=1024")  # fmt: skip
    whole, small = bench.policy(), bench.policy(quantization)
    assert trainable_parameters(small)[1] == trainable_parameters(whole)[1]
    assert (logits(small, bench) - logits(whole, bench)).abs().max() < 0.2
    assert not torch.equal(logits(small, bench), logits(whole, bench))


def test_trainable_parameters_counted_by_hand(tiny) -> None:
    bench = tiny("tiny_gpt2")
    whole = 1024 * 96 + 256 * 96 + 2 * (12 * 96 * 96 + 13 * 96) + 2 * 96
    assert trainable_parameters(bench.policy()) == (whole, whole)
    # rank 8 on c_attn (96 -> 288) and both c_proj (96 -> 96, 384 -> 96) of two layers
    lora = 2 * 8 * ((96 + 288) + (96 + 96) + (384 + 96))
    for quantization in (NONE, INT8, NF4):
        model = add_adapter(bench.policy(quantization), bench.spec, LORA, scorer=False, seed=0)
        assert trainable_parameters(model) == (lora, whole + lora)


def test_adapter_draws_follow_the_seed_and_leave_the_global_state_alone(tiny) -> None:
    bench = tiny("tiny_gpt2")
    torch.manual_seed(3)
    untouched = torch.rand(1)
    torch.manual_seed(3)
    a, b, c = (add_adapter(bench.policy(), bench.spec, LORA, scorer=False, seed=s).state_dict() for s in (0, 0, 1))
    assert torch.equal(torch.rand(1), untouched)
    key = next(k for k in a if "lora_A" in k)
    assert torch.equal(a[key], b[key]) and not torch.equal(a[key], c[key])


def test_a_carried_adapter_is_kept_and_must_match(tiny) -> None:
    bench = tiny("tiny_gpt2")
    model = add_adapter(bench.policy(), bench.spec, LORA, scorer=False, seed=0)
    assert add_adapter(model, bench.spec, LORA, scorer=False, seed=1) is model
    with pytest.raises(UserError, match=r"adapter\.r.*r=8"):
        add_adapter(model, bench.spec, LORA.model_copy(update={"r": 4}), scorer=False, seed=0)
    with pytest.raises(UserError, match=r"adapter\.targets.*'q_proj'.*has c_attn, c_proj, c_fc, lm_head\.?$"):
        wrong = LORA.model_copy(update={"targets": ["q_proj"]})
        add_adapter(bench.policy(), bench.spec, wrong, scorer=False, seed=0)


def test_refusals_name_place_and_remedy(tiny, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"model\.path.*no config\.json"):
        resolve_base(model_spec("gpt2", f"model.path={empty}"), tmp_path)
    (empty / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    (empty / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(UserError, match=r"no safetensors weights.*save_pretrained"):
        resolve_base(model_spec("gpt2", f"model.path={empty}"), tmp_path)
    with pytest.raises(UserError, match=r"model\.hub_id.*neither"):
        resolve_base(model_spec("gpt2", "model.hub_id=null"), tmp_path)
    with pytest.raises(UserError, match="cannot write answers"):
        tiny("tiny_bert").policy()
    mt5 = tiny("tiny_mt5")
    with pytest.raises(UserError, match=r"precision.*overflows in fp16"):
        load_policy(mt5.spec, mt5.source, NONE, dtype=torch.float16, device="cpu", seed=0)


def test_an_unreachable_hub_id_says_how_to_go_on(monkeypatch, tmp_path) -> None:
    spec = model_spec("gpt2", "model.hub_id=nobody/no-such-model-here")
    source = resolve_base(spec, tmp_path)
    assert source == Source("nobody/no-such-model-here", None, "hub")
    for load in (
        lambda: load_tokenizer(spec, source),
        lambda: load_policy(spec, source, NONE, **FP32_CPU),
        lambda: load_scorer(spec, source, NONE, **FP32_CPU),
    ):
        with pytest.raises(UserError, match=r"model\.hub_id.*model\.path=<folder> or model=tiny_gpt2"):
            load()


def test_a_tokenizer_larger_than_the_embeddings_is_refused(tiny) -> None:
    bench = tiny("tiny_gpt2")
    spec = model_spec("tiny_gpt2", "model.architecture.vocab_size=600")
    named = spec.model_copy(update={"tokenizer": str(bench.source.base)})
    with pytest.raises(UserError, match=r"model\.tokenizer.*1024 tokens.*600 embeddings"):
        load_tokenizer(named, resolve_base(spec, bench.source.base.parent))


def test_bfloat16_is_loaded_when_asked(tiny) -> None:
    bench = tiny("tiny_llama")
    model = load_policy(bench.spec, bench.source, NONE, dtype=torch.bfloat16, device="cpu", seed=0)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_a_scorer_on_a_bfloat16_body_has_a_float32_head(tiny) -> None:
    for name in FAMILIES:
        bench = tiny(name)
        body = load_scorer(bench.spec, bench.source, NONE, dtype=torch.bfloat16, device="cpu", seed=1)
        model = add_adapter(body, bench.spec, LORA, scorer=True, seed=0)
        assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
        found, truth = score(model, bench.codec, PAIRS, 2), score(bench.scorer(), bench.codec, PAIRS, 2)
        assert found == pytest.approx(truth, abs=0.1)
