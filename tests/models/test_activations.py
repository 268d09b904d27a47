"""The fused activation is the same function, and it is what loaded models run."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.activations import NewGELUActivation

from rlhf.models.activations import fuse_activations
from rlhf.models.load import load_policy, load_scorer
from tests.bench import run_of, source_of

FP32 = {"dtype": torch.float32, "device": "cpu", "seed": 1}


def test_it_is_the_same_function_with_the_same_gradient() -> None:
    plain, fused = nn.Sequential(NewGELUActivation()), nn.Sequential(NewGELUActivation())
    fuse_activations(fused)
    assert isinstance(fused[0], nn.GELU)
    points = torch.linspace(-12, 12, 100_001, requires_grad=True)
    other = points.detach().clone().requires_grad_(True)
    left, right = plain(points), fused(other)
    left.sum().backward()
    right.sum().backward()
    assert float((left - right).abs().max()) < 1e-6
    assert float((points.grad - other.grad).abs().max()) < 1e-5  # type: ignore[operator]


@pytest.mark.parametrize("model", ["tiny_gpt2", "tiny_mt5"])
@pytest.mark.parametrize("loader", [load_policy, load_scorer])
def test_loaded_models_run_it(model: str, loader: object) -> None:
    run = run_of(f"model={model}")
    loaded = loader(run.model, source_of(run), run.quantization, **FP32)  # type: ignore[operator]
    kinds = [type(module) for module in loaded.modules()]
    assert NewGELUActivation not in kinds
    assert nn.GELU in kinds
