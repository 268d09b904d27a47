"""How long a stage will take and what that costs: by what its like took, else by its arithmetic."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import torch

from rlhf import ranks
from rlhf.config import DPO, PPO, HardwareSpec, LoraAdapter, MethodSpec, Run
from rlhf.evaluation import metrics as names
from rlhf.evaluation.cost.flops import MODEL_TYPES, Head, forward_flops, train_flops
from rlhf.evaluation.cost.meter import priced
from rlhf.plan.lengths import Work
from rlhf.plan.memory import Needs
from rlhf.plan.skeleton import model_config
from rlhf.stages.context import Device
from rlhf.stages.costs import ppo_step_flops
from rlhf.stages.references import computed_before
from rlhf.store import RESULT, read_json

ASSUMED_MFU = 0.3  # of the hardware file's peak, in training
MATRIX, REPEATS = 512, 8  # of the product that shows what a CPU can do
LIKE = 0.25  # how far the tokens of a step may differ in a run that counts as the same shape


@dataclass(frozen=True)
class Cost:
    """Seconds, dollars and kWh; None where nothing tells."""

    seconds: float | None
    usd: float | None
    kwh: float | None
    basis: str


def cost_of(run: Run, method: MethodSpec, work: Work, needed: Needs, device: Device) -> Cost:
    """Estimate a stage. Its like: same model, method, adapter, quantization, device and about as many tokens a step."""
    measured = _like(run, method, work, device)
    if measured:
        seconds = median(per_step for per_step in measured) * work.steps
        runs = "run" if len(measured) == 1 else "runs"
        return _priced(seconds, run.hardware, device, f"{len(measured)} measured {runs} of this shape, by steps")
    flops = flops_of(run, method, work, needed, device)
    if flops is None:
        return Cost(None, None, None, "no FLOP formula for this architecture")
    peak = {str(key): rate for key, rate in run.hardware.peak_flops.items()}.get(device.precision)
    if peak is not None:
        basis = f"{flops:.2g} FLOPs at {ASSUMED_MFU:.0%} of {run.hardware.name}'s peak (assumed)"
        return _priced(flops / (peak * ASSUMED_MFU * ranks.world()), run.hardware, device, basis)
    if device.kind == "cpu":
        rate = cpu_rate()
        basis = f"{flops:.2g} FLOPs at {ASSUMED_MFU:.0%} (assumed) of this CPU's {rate / 1e9:.0f} GFLOP/s (measured)"
        return _priced(flops / (rate * ASSUMED_MFU), run.hardware, device, basis)
    return Cost(None, None, None, "no peak rate: choose hardware=t4, l4, a100, h100 or h200")


def _priced(seconds: float, hardware: HardwareSpec, device: Device, basis: str) -> Cost:
    machines = ranks.world() if device.kind == "cuda" else 1
    report = {names.COST_SECONDS.name: seconds}
    report[names.COST_GPU_SECONDS.name] = seconds * machines if device.kind == "cuda" else 0.0
    money = priced(report, hardware, device.precision)
    return Cost(seconds, money.get(names.COST_USD.name), money.get(names.COST_KWH.name), basis)


def flops_of(run: Run, method: MethodSpec, work: Work, needed: Needs, device: Device) -> float | None:
    """Floating-point operations of the stage's training at mean lengths; None for an architecture without formula."""
    config = model_config(run.model)
    if config.model_type not in MODEL_TYPES:
        return None
    lora = isinstance(run.adapter, LoraAdapter)
    prompt, response = round(work.mean_prompt), round(work.mean_response)
    adapters = needed.trained if lora else 0
    if isinstance(method, PPO):
        shapes = [(prompt, response)] * method.prompts_per_step
        separate = method.critic.kind == "separate"
        step = ppo_step_flops(
            config, shapes, epochs=method.epochs, separate_critic=separate, adapter_parameters=adapters
        )
        return float(step * work.steps)
    scored = not method.trains_policy
    split = run.model.family == "seq2seq" and not scored
    length, target = (prompt, response) if split else (prompt + response, prompt + response)
    head: Head = "lm" if method.trains_policy else "score"
    size = {"batch": 1, "length": length, "target_length": target}
    whole = work.epochs * train_flops(config, **size, head=head, frozen_base=lora, adapter_parameters=adapters)
    if isinstance(method, DPO):
        once = computed_before(run, method, device.precision, work.rows)
        whole += (1 if once else work.epochs) * forward_flops(config, **size, head=head)
    answers = 2 if method.data_shape == "preference" else 1
    return float(whole * answers * work.rows)


@cache
def cpu_rate() -> float:
    """Floating-point operations per second of this machine in float32 matrix products, tried for a moment."""
    left = torch.rand(MATRIX, MATRIX)
    left @ left
    began = time.perf_counter()
    for _ in range(REPEATS):
        left @ left
    return 2 * MATRIX**3 * REPEATS / (time.perf_counter() - began)


def _like(run: Run, method: MethodSpec, work: Work, device: Device) -> list[float]:
    """Seconds per step of stages in the store that did the same kind of work."""
    found = []
    per_step = _tokens_per_step(method, work)
    for known, tokens, steps, seconds in _measured(run.store):
        same = known == _kind(run.model_dump(), method.name, device)
        if same and abs(tokens / steps / per_step - 1) <= LIKE:
            found.append(seconds / steps)
    return found


def _kind(values: Mapping[str, Any], method: str, device: Device | str) -> tuple[Any, ...]:
    parts = [values["model"]["name"], values["model"]["architecture"], values["adapter"], values["quantization"]]
    return (method, device if isinstance(device, str) else device.kind, *(repr(part) for part in parts))


def _tokens_per_step(method: MethodSpec, work: Work) -> float:
    answers = 2 if method.data_shape == "preference" else 1
    if isinstance(method, PPO):
        return method.prompts_per_step * (work.mean_prompt + work.mean_response)
    return answers * work.rows * work.epochs * (work.mean_prompt + work.mean_response) / work.steps


@cache
def _measured(store: str) -> list[tuple[tuple[Any, ...], float, int, float]]:
    """What each finished stage of the store was, and its tokens, steps and seconds."""
    found = []
    for file in sorted(Path(store).glob(f"*/{RESULT}")):
        result, run = read_json(file), read_json(file.parent / "run.json")
        metrics = result.get("metrics", {})
        steps = max((int(points[-1][0]) for points in result.get("curves", {}).values() if points), default=0)
        if not run or not steps or names.COST_SECONDS.name not in metrics or not metrics.get(names.COST_TOKENS.name):
            continue
        device = "cuda" if metrics.get(names.COST_GPU_SECONDS.name) else "cpu"
        kind = _kind(run, file.parent.name.partition("-")[0], device)
        found.append((kind, metrics[names.COST_TOKENS.name], steps, metrics[names.COST_SECONDS.name]))
    return found
