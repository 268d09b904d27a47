"""Model x method x quantization: each triple is really loaded as its stage loads it, or refused with its reason."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig
from transformers import AutoModelForSequenceClassification as AutoScorer

from rlhf.errors import UserError
from rlhf.models.bridge import as_causal
from rlhf.models.load import LANGUAGE_MODELS, add_adapter, load_policy, load_scorer, trainable_parameters
from tests.bench import context_of, run_of

from .conftest import CONF, LORA, model_spec

bnb = pytest.importorskip("bitsandbytes")
TINY = ("tiny_gpt2", "tiny_mt5", "tiny_llama", "tiny_bert")
BIG = sorted(path.stem for path in (CONF / "model").glob("*.yaml") if not path.stem.startswith("tiny_"))
METHODS, ADAPTERS = ("sft", "reward", "dpo"), ("none", "lora")
LAYERS = {"none": None, "int8": bnb.nn.Linear8bitLt, "nf4": bnb.nn.Linear4bit}


def reasons(model: str, method: str, adapter: str, quantization: str) -> list[str]:
    """Why a triple is refused, written by hand."""
    found = []
    if model == "tiny_bert" and method != "reward":
        found.append(f"model: tiny_bert is an encoder and cannot be a policy ({method}). Use a causal or seq2seq model")
    if quantization != "none" and adapter == "none":
        found.append(f"quantization: {quantization} weights cannot be trained without an adapter. Add adapter=lora")
    return found


@pytest.mark.parametrize("quantization", LAYERS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", TINY)
def test_a_triple_is_loaded_and_computes_or_is_refused(
    model: str, method: str, quantization: str, tmp_path: Path
) -> None:
    for adapter in ADAPTERS:
        words = (f"model={model}", f"method={method}", f"quantization={quantization}", f"adapter={adapter}")
        if problems := reasons(model, method, adapter, quantization):
            with pytest.raises(UserError) as refusal:
                run_of(*words, "method.starts_from=base")
            assert str(refusal.value).startswith(problems[0])
            assert all(problem in str(refusal.value) for problem in problems)
            continue
        run = run_of(*words, "method.starts_from=base")
        context = context_of(run, tmp_path)
        scorer = method == "reward"
        loaded = context.load(load_scorer if scorer else load_policy)
        if adapter == "lora":
            loaded = add_adapter(loaded, run.model, run.adapter, scorer=scorer, seed=run.seed)
        trained, total = trainable_parameters(loaded)
        assert trained == total if adapter == "none" else 0 < trained < total / 2
        layer = LAYERS[quantization]
        assert layer is None or sum(isinstance(module, layer) for module in loaded.modules()) >= 8
        ids = torch.tensor([context.codec.scorer_ids([{"role": "user", "content": "Hi"}], "Hello.")])
        labels = {"labels": ids.masked_fill(torch.arange(ids.shape[1]) < 3, -100)} if not scorer else {}
        with torch.no_grad():
            out = loaded(input_ids=ids, attention_mask=torch.ones_like(ids), **labels)
        assert out.logits.isfinite().all()
        assert out.logits.shape == (1, 1) if scorer else math.isfinite(out.loss)


@pytest.mark.parametrize("name", BIG)
def test_a_big_architecture_has_the_head_of_every_method_and_takes_an_adapter(name: str) -> None:
    """On the meta device: shapes without weights."""
    spec = model_spec(name)
    for method, adapter in product(METHODS, ADAPTERS):
        scorer = method == "reward"
        if spec.family == "encoder" and not scorer:
            with pytest.raises(UserError, match=f"{name} is an encoder and cannot be a policy"):
                run_of(f"model={name}", f"method={method}", f"adapter={adapter}")
            continue
        config = AutoConfig.for_model(**spec.architecture, num_labels=1, pad_token_id=0)
        with torch.device("meta"):
            model = (AutoScorer if scorer else LANGUAGE_MODELS[spec.family]).from_config(config)
            if spec.family == "seq2seq" and not scorer:
                as_causal(model)
            whole = sum(weight.numel() for weight in model.parameters())
            if adapter == "lora":
                model = add_adapter(model, spec, LORA, scorer=scorer, seed=0)
        shapes = {key: tuple(weight.shape) for key, weight in model.named_parameters()}
        if scorer:
            assert any(spec.classifier_head in key.split(".") and shape[0] == 1 for key, shape in shapes.items())
        else:
            assert model.get_output_embeddings().weight.shape[0] == config.vocab_size
        trained = trainable_parameters(model)[0]
        assert trained == whole if adapter == "none" else 0 < trained < whole / 20
