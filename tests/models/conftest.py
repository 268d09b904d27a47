"""Specs composed from conf/, and tiny models built once per test session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rlhf.config import Int8Quantization, LoraAdapter, ModelSpec, Nf4Quantization, NoQuantization
from rlhf.models.codec import Codec
from rlhf.models.load import Source, load_policy, load_scorer, load_tokenizer, resolve_base

CONF = Path(__file__).parents[2] / "conf"
NONE = NoQuantization(name="none")
INT8 = Int8Quantization(name="int8", threshold=6.0)
NF4 = Nf4Quantization(name="nf4", double_quant=True, compute_dtype="bfloat16")
LORA = LoraAdapter(name="lora", r=8, alpha=16, dropout=0.0, targets=None, use_rslora=False)
FP32_CPU: dict[str, Any] = {"dtype": torch.float32, "device": "cpu", "seed": 1}
CHATS = [
    [{"role": "user", "content": "Hello, where is my order?"}],
    [{"role": "user", "content": "Hi"}],
    [
        {"role": "user", "content": "I need a room in Rome."},
        {"role": "assistant", "content": "For how many nights?"},
        {"role": "user", "content": "Two, please, and breakfast."},
    ],
]
ANSWERS = ["I can help you with that.", "Sure!", "Thank you for waiting. Your room is booked, have a nice stay."]


def read_group(group: str, name: str, *overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose(overrides=[f"+{group}={name}", *overrides])
    plain: dict[str, Any] = OmegaConf.to_container(composed, resolve=True)
    return plain[group]


def model_spec(name: str, *overrides: str) -> ModelSpec:
    return ModelSpec.model_validate(read_group("model", name, *overrides))


class Tiny:
    """One tiny model: its spec, source, tokenizer and codec, and fresh copies of its weights on demand."""

    def __init__(self, spec: ModelSpec, cache: Path) -> None:
        self.spec = spec
        self.source: Source = resolve_base(spec, cache)
        self.tokenizer = load_tokenizer(spec, self.source)
        self.codec = Codec(self.tokenizer, spec, 96, 48)

    def policy(self, quantization: Any = NONE) -> Any:
        return load_policy(self.spec, self.source, quantization, **FP32_CPU)

    def scorer(self, quantization: Any = NONE) -> Any:
        return load_scorer(self.spec, self.source, quantization, **FP32_CPU)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def tiny(cache: Path) -> Callable[..., Tiny]:
    """`tiny("tiny_mt5")` -> Tiny; the folder is built once."""
    return lambda name, *overrides: Tiny(model_spec(name, *overrides), cache)
