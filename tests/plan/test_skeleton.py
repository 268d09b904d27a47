"""Models without data against the same models loaded for real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf.models.load import add_adapter, load_policy, load_scorer, resolve_base, trainable_parameters
from rlhf.plan.skeleton import build, sizes, without_data
from rlhf.plan.steps import Shape, cache_bytes

from .conftest import run_of

MODELS = ("tiny_gpt2", "tiny_mt5", "tiny_llama")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def loaded(run: Any, cache: Path, *, scorer: bool) -> Any:
    load = load_scorer if scorer else load_policy
    source = resolve_base(run.model, cache)
    model = load(run.model, source, run.quantization, dtype=torch.float32, device="cpu", seed=1)
    if run.adapter.name == "lora":
        model = add_adapter(model, run.model, run.adapter, scorer=scorer, seed=1)
    return model


def real_bytes(model: Any) -> int:
    """Bytes of weights, buffers, and of what bitsandbytes keeps beside its packed weights."""
    total = sum(weight.numel() * weight.element_size() for weight in [*model.parameters(), *model.buffers()])
    for weight in model.parameters():
        state = getattr(weight, "quant_state", None)
        if state is not None:
            tensors = [state.absmax, state.code]
            if state.nested:
                tensors += [state.offset, state.state2.absmax, state.state2.code]
            total += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        scale = getattr(weight, "SCB", None)
        if scale is not None:
            total += scale.numel() * scale.element_size()
    return total


@pytest.mark.parametrize("scorer", [False, True])
@pytest.mark.parametrize("adapter", ["none", "lora"])
@pytest.mark.parametrize("name", MODELS)
def test_parameters_and_bytes_are_those_of_the_real_model(name: str, adapter: str, scorer: bool, cache: Path) -> None:
    run = run_of(f"model={name}", f"adapter={adapter}")
    with without_data():
        planned = sizes(build(run, scorer=scorer, dtype=torch.float32, adapter=True), run.model, run.quantization)
    real = loaded(run, cache, scorer=scorer)
    real.requires_grad_(True) if adapter == "none" else None
    assert (planned.trained, planned.parameters) == trainable_parameters(real)
    assert planned.weights + planned.adapters == real_bytes(real)


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
@pytest.mark.parametrize("name", MODELS)
def test_quantized_bytes_are_those_of_bitsandbytes_tensors(name: str, quantization: str, cache: Path) -> None:
    run = run_of(f"model={name}", "adapter=lora", f"quantization={quantization}")
    with without_data():
        planned = sizes(build(run, scorer=False, dtype=torch.float32, adapter=True), run.model, run.quantization)
    real = loaded(run, cache, scorer=False)
    assert planned.weights + planned.adapters == pytest.approx(real_bytes(real), rel=0.01)


@pytest.mark.parametrize("name", ["tiny_gpt2", "tiny_llama"])
def test_the_cache_takes_what_transformers_keeps(name: str, cache: Path) -> None:
    run = run_of(f"model={name}")
    model = loaded(run, cache, scorer=False)
    kept = model(torch.zeros(3, 20, dtype=torch.long), use_cache=True).past_key_values
    real = sum(layer.keys.nbytes + layer.values.nbytes for layer in kept.layers)
    layers = model.config.num_hidden_layers
    assert cache_bytes(model.config, Shape(3, 12, 8), 4) == real + real // layers // 2


def test_published_models_are_known_without_weights_or_network() -> None:
    run = run_of("model=llama3_2_1b")
    with without_data():
        planned = sizes(build(run, scorer=False, dtype=torch.float32, adapter=False), run.model, run.quantization)
    assert planned.parameters == 1_235_814_400
    assert planned.weights == pytest.approx(4 * planned.parameters, rel=1e-4)
