"""LoRA adapters: new ones, saved ones, and how many parameters train."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from rlhf.config import LoraAdapter, ModelSpec
from rlhf.errors import UserError
from rlhf.models.quiet import quiet

TASKS = {"causal": TaskType.CAUSAL_LM, "seq2seq": TaskType.SEQ_2_SEQ_LM}


def add_adapter(
    model: PreTrainedModel | PeftModel, spec: ModelSpec, adapter: LoraAdapter, *, scorer: bool, seed: int
) -> PeftModel:
    """Freeze `model` and put a LoRA adapter on it, drawn from `seed`; a model that carries an adapter keeps that one.

    A scorer's head is trained in full and saved with the adapter: PEFT adds only heads named `score` or `classifier` by
    itself, and mT5's `classification_head` would be neither trained nor saved.
    """
    if isinstance(model, PeftModel):
        _refuse_other_settings(model, adapter)
        return model
    _refuse_absent(model, adapter.targets or ())
    config = LoraConfig(
        r=adapter.r,
        lora_alpha=adapter.alpha,  # type: ignore[arg-type]  # only ever divided by r
        lora_dropout=adapter.dropout,
        use_rslora=adapter.use_rslora,
        target_modules=adapter.targets or spec.lora_targets,
        task_type=TaskType.SEQ_CLS if scorer else TASKS[spec.family],
        modules_to_save=[spec.classifier_head] if scorer else None,
        fan_in_fan_out=model.config.model_type == "gpt2",  # its Conv1D stores the transpose of a Linear's weight
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            with quiet():
                adapted = get_peft_model(model, config)
        except ValueError as error:
            known = ", ".join(_adaptable(model))
            raise UserError(
                "adapter.targets", str(error).partition(". ")[0], f"This architecture has {known}"
            ) from error
    _cast_into_heads(adapted)
    return full_precision(adapted)


def _refuse_absent(model: nn.Module, targets: Sequence[str]) -> None:
    """Raise `UserError` where one of several targets is no module: PEFT passes over it, and fewer would be adapted."""
    names = [f".{name}" for name, _ in model.named_modules()]
    absent = [target for target in targets if not any(name.endswith(f".{target}") for name in names)]
    if absent:
        known = ", ".join(_adaptable(model))
        raise UserError(
            "adapter.targets",
            f"the base model has no module {', '.join(map(repr, absent))}",
            f"This architecture has {known}",
        )


def _adaptable(model: nn.Module) -> list[str]:
    """The names of the modules that multiply by a matrix, without their places, in the model's order."""
    inner = {name.rpartition(".")[2]: module for name, module in model.named_modules() if name}
    return [name for name, module in inner.items() if isinstance(module, nn.Linear | Conv1D)]


def with_saved_adapter(model: PreTrainedModel, adapter: Path) -> PeftModel:
    """Put the adapter saved in folder `adapter` on `model`, trainable, in eval mode."""
    if not (adapter / "adapter_config.json").is_file():
        raise UserError(str(adapter), "there is no adapter_config.json", "give the folder of a saved adapter")
    with quiet():
        adapted = PeftModel.from_pretrained(model, str(adapter), is_trainable=True).eval()
    _cast_into_heads(adapted)
    return full_precision(adapted)


def full_precision(model: PeftModel) -> PeftModel:
    """Put the trainable weights (adapter and head, not the base) into float32, and return the model.

    Call it again after building a TRL trainer on a quantized model: TRL 1.16 casts every trainable weight of such a
    model to bfloat16 (SFT, DPO and reward trainer, following the QLoRA paper), where Adam's steps below 1/256 of a
    weight round to nothing and scores keep three digits. The optimizer is made later, in `train()`.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def _cast_into_heads(model: PeftModel) -> None:
    for module in model.modules():
        if isinstance(module, ModulesToSaveWrapper):
            for head in module.modules_to_save.values():
                cast_inputs(head)


def cast_inputs(head: nn.Module) -> None:
    """Hand a head its input in its own dtype: the body may compute in another (bf16, or TRL's cast, see above)."""

    def cast(head: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        dtype = next(head.parameters()).dtype
        return tuple(arg.to(dtype) if torch.is_tensor(arg) and arg.is_floating_point() else arg for arg in args)

    head.register_forward_pre_hook(cast)


def is_scorer_adapter(adapter: Path) -> bool:
    """Whether the adapter in folder `adapter` belongs to a sequence classifier."""
    file = adapter / "adapter_config.json"
    return file.is_file() and json.loads(file.read_text())["task_type"] == TaskType.SEQ_CLS.value


def trainable_parameters(model: nn.Module) -> tuple[int, int]:
    """Return (trainable, all) parameters; a 4-bit weight counts its true number, not its packed bytes."""
    sizes = [(_count(parameter), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trains in sizes if trains), sum(size for size, _ in sizes)


def adapter_parameters(model: nn.Module) -> int:
    """Return the parameters of the low-rank matrices alone: a scorer's head is trained as well and no part of them."""
    return sum(weight.numel() for name, weight in model.named_parameters() if weight.requires_grad and "lora_" in name)


def _count(parameter: nn.Parameter) -> int:
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else torch.Size(state.shape).numel()


def _refuse_other_settings(model: PeftModel, adapter: LoraAdapter) -> None:
    carried = model.peft_config["default"]
    assert isinstance(carried, LoraConfig)
    if (carried.r, carried.lora_alpha) != (adapter.r, adapter.alpha):
        raise UserError(
            "adapter.r",
            f"the stage this one starts from has an adapter of r={carried.r}, alpha={carried.lora_alpha}",
            "give the same adapter settings to both stages",
        )
