"""Telling the cost meter what a stage's training went through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from datasets import Dataset

from rlhf.evaluation import metrics as names
from rlhf.evaluation.cost.flops import MODEL_TYPES, Head, forward_flops, train_flops
from rlhf.models.adapter import adapter_parameters
from rlhf.models.load import trainable_parameters
from rlhf.stages.context import StageContext
from rlhf.stages.tokens import IGNORED
from rlhf.stages.training import History

BATCH_ROWS = 1000  # of the training set that are looked at together: it may fill a disk
Shape = tuple[int, int]  # tokens of the prompt (or of the whole scored text) and of the response


def account(
    context: StageContext, model: Any, train: Dataset, history: History, *, reference_passes: float = 0.0
) -> dict[str, float]:
    """Add tokens, FLOPs and interrupted attempts' seconds to the stage's meter; returns sizes and epochs.

    DPO also runs its reference forward over the training rows, `reference_passes` times. Padding and gradient
    checkpointing's second forward are not counted: FLOPs are those that the mathematics needs.
    """
    config = model.config
    scored = "input_ids" not in train.column_names and "prompt_ids" not in train.column_names
    head: Head = "score" if scored else "lm"
    frozen = context.run.adapter.name != "none"
    adapters = adapter_parameters(model) if frozen else 0
    seq2seq = context.run.model.family == "seq2seq"
    if config.model_type not in MODEL_TYPES:
        context.console.print(
            f"[yellow]note[/] no FLOP formula for {config.model_type}: cost/flops and cost/mfu are absent"
        )
    context.meter.add_samples(round(len(train) * history.epochs))
    context.meter.add_steps(history.steps)
    for (prompt, response), count in passes(train).items():
        context.meter.add_tokens(round(count * (prompt + response) * history.epochs))
        if config.model_type not in MODEL_TYPES:
            continue
        source, target = (prompt, response) if seq2seq and not scored else (prompt + response, prompt + response)
        flops = train_flops(
            config,
            batch=1,
            length=source,
            target_length=target,
            head=head,
            frozen_base=frozen,
            adapter_parameters=adapters,
        )
        forward = forward_flops(config, batch=1, length=source, target_length=target, head=head)
        context.meter.add_flops(round(count * (flops * history.epochs + forward * reference_passes)))
    context.meter.add_seconds(history.seconds_before)
    return {**sizes_of(model), names.COST_EPOCHS.name: history.epochs}


def sizes_of(model: Any) -> dict[str, float]:
    """What describes a model that was trained: parameters, those that were trained, and the bytes of its weights."""
    trainable, total = trainable_parameters(model)
    size = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    return {
        names.COST_TRAINABLE_PARAMETERS.name: float(trainable),
        names.COST_PARAMETERS.name: float(total),
        names.COST_TRAINABLE_SHARE.name: trainable / total,
        names.COST_MODEL_BYTES.name: float(size),
    }


def adapter_bytes(folder: Path) -> dict[str, float]:
    """`cost/adapter_bytes` of the model saved in `folder`; empty where that is no adapter."""
    files = list(folder.glob("adapter_model*.safetensors"))
    return {names.COST_ADAPTER_BYTES.name: float(sum(file.stat().st_size for file in files))} if files else {}


def passes(train: Dataset) -> Counter[Shape]:
    """Count the (prompt, response) token lengths that one epoch sends through the model; a pair counts twice."""
    columns = set(train.column_names)
    shapes: Counter[Shape] = Counter()
    for batch in train.with_format("arrow").iter(batch_size=BATCH_ROWS):
        if "labels" in columns:
            whole, responses = _lengths(batch["labels"])
            shapes.update(zip((whole - responses).tolist(), responses.tolist(), strict=True))
            continue
        prompts = _lengths(batch["prompt_ids"])[0].tolist() if "prompt_ids" in columns else [0] * len(batch)
        for name in ("chosen_ids", "rejected_ids"):
            shapes.update(zip(prompts, _lengths(batch[name])[0].tolist(), strict=True))
    return shapes


def _lengths(column: Any) -> tuple[Any, Any]:
    """Return how many ids each row of a column of lists has, and how many of them carry loss, each (rows,)."""
    ids = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    lengths = ids.value_lengths().to_numpy()
    kept = numpy.concatenate([[0], numpy.cumsum(ids.flatten().to_numpy() != IGNORED)])
    ends = numpy.cumsum(lengths)
    return lengths, kept[ends] - kept[ends - lengths]


def ppo_step_flops(
    config: Any, shapes: Sequence[Shape], *, epochs: int, separate_critic: bool, adapter_parameters: int
) -> int:
    """FLOPs of one PPO step over responses of (prompt, response) tokens, without the judge's own.

    Sampling, old and reference log-probs are a forward pass each, the update is `epochs` forward and backward passes; a
    critic of its own doubles the trunk's part of all but sampling and reference. The output head sees responses only.
    """
    total = 0
    seq2seq = config.is_encoder_decoder
    for (prompt, response), count in Counter(shapes).items():
        size = {
            "batch": 1,
            "length": prompt if seq2seq else prompt + response,
            "target_length": response if seq2seq else prompt + response,
        }
        head = 2 * response * config.hidden_size * config.vocab_size
        trunk = forward_flops(config, **size, head="none")
        learned = train_flops(
            config,
            **size,
            head="none",
            frozen_base=adapter_parameters > 0,
            adapter_parameters=adapter_parameters,
        )
        critic = trunk + epochs * learned if separate_critic else 0
        head_passes = 2 if adapter_parameters else 3
        total += count * (3 * (trunk + head) + epochs * (learned + head_passes * head) + critic)
    return total
