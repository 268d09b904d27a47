"""Peak memory of a stage by component, at the moment when it needs most."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from rlhf.config import DPO, PPO, LoraAdapter, MethodSpec, NoQuantization, Run
from rlhf.models.states import plain_model
from rlhf.plan import steps
from rlhf.plan.lengths import Work
from rlhf.plan.live import Peak
from rlhf.plan.optimizers import DEFAULT, optimizer_bytes
from rlhf.plan.settings import trainer_argument
from rlhf.plan.skeleton import Sizes, build, sizes, without_data
from rlhf.plan.steps import PPOModels, Setting
from rlhf.ppo.rollout import SCORING_FACTOR
from rlhf.stages.context import Device
from rlhf.stages.references import computed_before

NOTHING = Peak(0, 0, 0)


@dataclass(frozen=True)
class Moment:
    """Bytes by component at one moment of a stage."""

    name: str
    roles: dict[str, int]  # weights of each model: policy, reference, critic, reward
    adapters: int
    optimizer: int
    gradients: int
    activations: int
    logits: int
    cache: int  # keys and values

    @property
    def weights(self) -> int:
        """Those of all roles."""
        return sum(self.roles.values())

    @property
    def total(self) -> int:
        """All components."""
        held = self.weights + self.adapters + self.optimizer
        return held + self.gradients + self.activations + self.logits + self.cache


@dataclass(frozen=True)
class Needs:
    """What a stage needs."""

    baseline: int  # of the process before any model
    moments: tuple[Moment, ...]
    trained: int  # parameters
    parameters: int

    @property
    def peak(self) -> Moment:
        """The moment with most bytes."""
        return max(self.moments, key=lambda moment: moment.total)

    @property
    def total(self) -> int:
        """Bytes at the peak, the process's own counted."""
        return self.baseline + self.peak.total


def needs(run: Run, method: MethodSpec, work: Work, device: Device, baseline: int) -> Needs:
    """Estimate what `method` of `run` needs while it goes through `work`."""
    with without_data():
        found = _ppo(run, method, work, device) if isinstance(method, PPO) else _trained(run, method, work, device)
    moments, held = found
    return Needs(baseline, tuple(moments), held.trained, held.parameters)


def _dtype(run: Run, device: Device) -> torch.dtype:
    return device.trained_dtype if run.adapter.name == "none" else device.dtype


def _setting(run: Run, method: MethodSpec, device: Device, passes: int) -> Setting:
    mixed = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(device.precision)
    recompute = bool(method.trainer.get("gradient_checkpointing", False))
    return Setting(mixed, recompute, passes, device.kind == "cpu")


def _unpacked(run: Run, held: Sizes, device: Device) -> int:
    """A quantized matrix is unpacked to be multiplied: once in its compute type, once in the type it came from."""
    return 0 if isinstance(run.quantization, NoQuantization) else 2 * held.largest_matrix * device.dtype.itemsize


def _optimizer(method: MethodSpec, model: Any) -> int:
    shapes = [tuple(weight.shape) for weight in model.parameters() if weight.requires_grad]
    return optimizer_bytes(str(method.trainer.get("optim", DEFAULT)), shapes)


def _trained(run: Run, method: MethodSpec, work: Work, device: Device) -> tuple[list[Moment], Sizes]:
    """SFT, reward and DPO: one model, for DPO in full a frozen copy of it, for a trained adapter a copy of that."""
    scorer, dtype = not method.trains_policy, _dtype(run, device)
    model = build(run, scorer=scorer, dtype=dtype, adapter=True)
    held = sizes(model, run.model, run.quantization)
    lora = isinstance(run.adapter, LoraAdapter)
    reference: Any = None
    roles = {"reward" if scorer else "policy": held.weights}
    copies = 1
    if isinstance(method, DPO) and not computed_before(run, method, device.precision, work.rows):
        reference = model if lora else build(run, scorer=False, dtype=dtype, adapter=False)
        if not lora:
            roles["reference"] = held.weights
    if isinstance(method, DPO) and lora:
        copies += method.starts_from != "base"  # TRL keeps the start's adapter as "ref"
    passes = 1 + (int(trainer_argument(method, "gradient_accumulation_steps")) > 1)
    setting = _setting(run, method, device, passes)
    rest = Moment("", roles, copies * held.adapters, _optimizer(method, model), 0, 0, 0, 0)
    more = _unpacked(run, held, device)
    if not scorer:
        steps.with_fused_head([model] if reference is None else [model, reference])
    moments = []
    for name, shape, learning in (("training step", work.batch, True), ("evaluation", work.evaluated, False)):
        if scorer:
            peak = steps.reward_step(model, shape, setting, learning=learning)
        else:
            peak = steps.language_step(model, reference, shape, setting, learning=learning)
        moments.append(_at(rest, name, peak, more))
    return [*moments, *_around(rest, held)], held


def _at(rest: Moment, name: str, peak: Peak, more: int) -> Moment:
    return replace(rest, name=name, gradients=peak.gradients, activations=peak.activations + more, logits=peak.logits)


def _around(rest: Moment, held: Sizes) -> list[Moment]:
    """Moments that no step shows: the optimizer's (all gradients there) and the check that weights have moved."""
    return [
        replace(rest, name="optimizer step", gradients=4 * held.trained),
        replace(rest, name="check of weights", activations=16 * held.largest_trained),  # two float64 copies of each
    ]


def _ppo(run: Run, method: PPO, work: Work, device: Device) -> tuple[list[Moment], Sizes]:
    """Four roles. In full each is a model; with LoRA adapters on one base, but for a reward stage that began at SFT."""
    dtype, lora = _dtype(run, device), isinstance(run.adapter, LoraAdapter)
    policy = build(run, scorer=False, dtype=dtype, adapter=True)
    held = sizes(policy, run.model, run.quantization)
    separate = method.critic.kind == "separate"
    reference = policy if lora else build(run, scorer=False, dtype=dtype, adapter=False)
    critic = (policy if lora else build(run, scorer=False, dtype=dtype, adapter=True)) if separate else None
    models = PPOModels(policy, reference, critic)
    roles = {"policy": held.weights}
    copies, optimizer, trained = 1, _optimizer(method, policy), held.trained
    if lora:
        copies += (method.starts_from != "base") + separate
    else:
        roles["reference"] = held.weights
        if separate:
            roles["critic"] = held.weights
    if separate:
        optimizer, trained = 2 * optimizer, 2 * trained
    more = _unpacked(run, held, device)
    judge = _judge(run, method, device)
    adapters = copies * held.adapters
    if judge is not None and lora and run.upstream.reward.starts_from == "base":
        adapters += judge.adapters  # on the policy's own base
    elif judge is not None:
        roles["reward"] = judge.weights + judge.adapters
    rest = Moment("", roles, adapters, optimizer, 0, 0, 0, 0)
    setting = _setting(run, method, device, 2)
    width = work.batch.prompt + work.batch.response
    rows = -(-work.batch.rows // method.minibatches)
    update = _rows_of(rows, width, method.microbatch_tokens)
    seen = _rows_of(work.batch.rows, width, SCORING_FACTOR * method.microbatch_tokens)
    passes = replace(setting, passes=1 + (update < rows))
    shape = work.batch
    asked = replace(shape, rows=max(shape.rows, work.evaluated.rows))  # prompts answered at once, held-out ones too
    config = plain_model(policy).config
    cache = steps.cache_bytes(config, asked, (setting.autocast or dtype).itemsize)
    base = plain_model(policy)
    moments = [
        _at(rest, "update", steps.policy_step(models, replace(shape, rows=update), passes, method.temperature), more),
        _at(rest, "scoring", steps.scoring_step(models, replace(shape, rows=seen), setting, method.temperature), more),
        replace(_at(rest, "sampling", steps.sampling_step(base, asked, setting), more), cache=cache),
        replace(_at(rest, "prefill", steps.prefill_step(base, asked, setting), more), cache=cache),
        *_around(rest, replace(held, trained=trained)),
    ]
    return moments, replace(held, trained=trained)


def _rows_of(rows: int, width: int, budget: int) -> int:
    """Rows of `width` tokens in a piece of at most `budget` tokens."""
    return max(1, min(rows, budget // width))


def _judge(run: Run, method: PPO, device: Device) -> Sizes | None:
    """The reward stage as it is loaded to score: in the precision's type, under an adapter on a base of its own."""
    if not method.uses_reward_stage:
        return None
    scorer = build(run, scorer=True, dtype=device.dtype, adapter=True)
    return sizes(scorer, run.model, run.quantization)
