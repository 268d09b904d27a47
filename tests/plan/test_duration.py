"""What a stage is said to take: arithmetic over an assumed share of the peak, or what its like took, and its price."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rlhf.plan.duration import ASSUMED_MFU, Cost, cost_of, cpu_rate, flops_of
from rlhf.plan.lengths import Work
from rlhf.plan.memory import Needs
from rlhf.plan.steps import Shape
from rlhf.stages.context import Device
from tests.plan.conftest import run_of

CPU = Device("cpu", "fp32", torch.float32, torch.float32)
GPU = Device("cuda", "bf16", torch.bfloat16, torch.float32)
NEEDED = Needs(0, (), 1000, 1000)
WORK = Work(10, 1.0, 64, 20.0, 12.0, Shape(8, 20, 12), Shape(8, 20, 12), True)  # 64 x 32 / 10 = 204.8 tokens a step


def estimated(store: Path, *words: str, device: Device = CPU, work: Work = WORK) -> tuple[Cost, float]:
    run = run_of("method=sft", "model=tiny_gpt2", f"store={store}", *words)
    flops = flops_of(run, run.method, work, NEEDED, device)
    assert flops is not None
    return cost_of(run, run.method, work, NEEDED, device), flops


def test_without_any_like_it_is_arithmetic_at_a_share_of_the_hardwares_peak_priced_by_its_file(tmp_path: Path) -> None:
    cost, flops = estimated(tmp_path, "hardware=h100", device=GPU)  # 9.89e14 FLOP/s in bf16, 3.00 USD an hour, 700 W
    assert cost.seconds == pytest.approx(flops / (9.89e14 * ASSUMED_MFU))
    assert cost.usd == pytest.approx(3.00 * cost.seconds / 3600)
    assert cost.kwh == pytest.approx(0.7 * cost.seconds / 3600)
    assert "30% of h100's peak (assumed)" in cost.basis
    assert estimated(tmp_path, "hardware=h100", device=GPU, work=replace(WORK, rows=128))[1] == 2 * flops


def test_on_a_cpu_the_peak_is_what_this_machine_does(tmp_path: Path) -> None:
    cost, flops = estimated(tmp_path, "hardware=cpu")
    assert cost.seconds == pytest.approx(flops / (cpu_rate() * ASSUMED_MFU))
    assert "(measured)" in cost.basis


def leave(store: Path, name: str, seconds: float, tokens_per_step: float, *words: str) -> None:
    """A finished stage of 20 steps, as the pipeline leaves it."""
    folder = store / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(run_of("method=sft", "model=tiny_gpt2", *words).model_dump_json())
    metrics = {"cost/seconds": seconds, "cost/gpu_seconds": 0.0, "cost/tokens": 20 * tokens_per_step}
    result = {"metrics": metrics, "curves": {"train/loss": [[10, 2.0], [20, 1.0]]}}
    (folder / "result.json").write_text(json.dumps(result))


def test_with_its_like_in_the_store_it_is_the_median_of_their_seconds_by_steps(tmp_path: Path) -> None:
    leave(tmp_path, "sft-a", 40.0, 200.0)  # 2 s a step
    leave(tmp_path, "sft-b", 60.0, 240.0)  # 3 s a step, 17% more tokens
    leave(tmp_path, "sft-c", 900.0, 400.0)  # twice the tokens: another shape
    leave(tmp_path, "sft-d", 900.0, 200.0, "adapter=lora")
    leave(tmp_path, "reward-e", 900.0, 200.0)
    cost, _ = estimated(tmp_path)
    assert cost.seconds == pytest.approx(2.5 * WORK.steps)
    assert cost.basis == "2 measured runs of this shape, by steps"
