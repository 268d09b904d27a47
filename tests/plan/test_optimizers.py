"""Optimizer bytes against the states of real optimizers over real weights."""

from __future__ import annotations

import pytest
import torch
from transformers.optimization import Adafactor

from rlhf.plan.optimizers import optimizer_bytes

SHAPES = [(96, 288), (288,), (1024, 96), (3, 5)]
REAL = {
    "adamw_torch": lambda weights: torch.optim.AdamW(weights, lr=0.1),
    "adamw_torch_fused": lambda weights: torch.optim.AdamW(weights, lr=0.1, fused=True),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.1),
    "adafactor": lambda weights: Adafactor(weights, scale_parameter=False, relative_step=False, lr=0.1),
}


@pytest.mark.parametrize("name", REAL)
def test_states_take_what_a_real_optimizer_keeps_after_a_step(name: str) -> None:
    weights = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    optimizer = REAL[name](weights)
    sum(weight.square().sum() for weight in weights).backward()
    optimizer.step()
    kept = sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in state.values()
        if torch.is_tensor(value)
    )
    assert kept == optimizer_bytes(name, SHAPES) or (name == "adafactor" and kept <= optimizer_bytes(name, SHAPES) + 64)


def test_eight_bit_adam_keeps_a_byte_per_state_and_a_scale_per_block() -> None:
    # 65,536 weights: 2 states of 65,536 bytes and 256 scales of 4 bytes; 100 weights are too few: 2 x 400 bytes
    assert optimizer_bytes("adamw_bnb_8bit", [(256, 256)]) == 2 * (65_536 + 256 * 4)
    assert optimizer_bytes("paged_adamw_8bit", [(100,)]) == 800


def test_an_unknown_optimizer_is_taken_for_adam() -> None:
    assert optimizer_bytes("something_new", SHAPES) == optimizer_bytes("adamw_torch", SHAPES)
