"""Models without weights: the architecture of a run under fake tensors, and the bytes that its weights would take."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification
from transformers.pytorch_utils import Conv1D

from rlhf.config import LoraAdapter, ModelSpec, Nf4Quantization, NoQuantization, Run
from rlhf.errors import UserError
from rlhf.models.activations import fuse_activations
from rlhf.models.adapter import add_adapter
from rlhf.models.quantize import Quantization
from rlhf.models.quiet import quiet
from rlhf.models.tiny import scales_outputs

BLOCK, SECOND_BLOCK = 64, 256  # weights per scale in nf4, scales per scale of scales
NF4_TABLES = 4 * (16 + 256) + 4  # per matrix: code of the 16 values, code of the quantized scales, their offset
LANGUAGE_MODELS = {"causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}


@dataclass(frozen=True)
class Sizes:
    """What one loaded model takes."""

    weights: int  # bytes of all that is not an adapter, quantized where it would be
    adapters: int  # bytes of adapters and of what is trained beside them
    parameters: int  # all, as if not quantized
    trained: int  # parameters that the optimizer moves
    largest_trained: int  # parameters of the largest of them
    largest_matrix: int  # parameters of the largest quantized matrix, which is unpacked to be multiplied


@contextmanager
def without_data() -> Iterator[None]:
    """Within the span tensors have shapes, types and lifetimes, and no data."""
    with FakeTensorMode(allow_non_fake_inputs=True), warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        yield


def model_config(spec: ModelSpec) -> Any:
    """Return the transformers config of a model without building or downloading it.

    A folder (`model.path`) has its own; a model of the hub is known by `model.architecture`, else asked for.
    """
    if spec.path is not None:
        return AutoConfig.from_pretrained(str(Path(spec.path).expanduser()))
    if "model_type" in spec.architecture:
        ids: dict[str, Any] = {"pad_token_id": 0, "eos_token_id": 1}
        if spec.family == "seq2seq":
            ids["decoder_start_token_id"] = 0
        try:
            return AutoConfig.for_model(**spec.architecture, **ids)
        except (ValueError, TypeError) as error:
            raise UserError("model.architecture", str(error), "use the keywords of the model's config class") from error
    try:
        return AutoConfig.from_pretrained(
            str(spec.hub_id), revision=spec.revision, trust_remote_code=spec.trust_remote_code
        )
    except (OSError, ValueError) as error:
        problem = f"the shape of {spec.name} is not known here ({' '.join(str(error).split())[:120]})"
        raise UserError("model.architecture", problem, "Give the arguments of its config class") from None


def refuse_targets(runs: Sequence[Run]) -> None:
    """Raise `UserError` where `adapter.targets` names modules that a run's model has not; no weights are read.

    A model of the hub whose shape is not in its YAML is looked at where it is loaded.
    """
    known = [run for run in runs if run.model.path is not None or "model_type" in run.model.architecture]
    named = [run for run in known if isinstance(run.adapter, LoraAdapter) and run.adapter.targets]
    for run in {f"{run.model!r} {run.adapter!r} {run.method.trains_policy}": run for run in named}.values():
        with without_data():
            build(run, scorer=not run.method.trains_policy, dtype=torch.float32, adapter=True)


def build(run: Run, *, scorer: bool, dtype: torch.dtype, adapter: bool) -> Any:
    """Build the run's policy or scorer; call it `without_data`. With `adapter` its LoRA adapter is put on it."""
    with torch.device("meta"):
        model = _on_meta(run, scorer, dtype, adapter)
    known: dict[int, Any] = {}  # tied weights stay tied
    for module in model.modules():
        for table in (module._parameters, module._buffers):
            for name, tensor in table.items():
                if tensor is None:
                    continue
                if id(tensor) not in known:
                    fresh: Any = torch.empty(tensor.shape, dtype=tensor.dtype)
                    if isinstance(tensor, nn.Parameter):
                        fresh = nn.Parameter(fresh, requires_grad=tensor.requires_grad)
                    known[id(tensor)] = (fresh, tensor)  # the old one is kept, so that no id is used twice
                table[name] = known[id(tensor)][0]
    return model


def _on_meta(run: Run, scorer: bool, dtype: torch.dtype, adapter: bool) -> Any:
    spec = run.model
    config = model_config(spec)
    if scorer:
        config.num_labels = 1
    kind = AutoModelForSequenceClassification if scorer else LANGUAGE_MODELS[spec.family]
    model = kind.from_config(config, dtype=dtype)
    if config.model_type in ("t5", "mt5") and hasattr(model, "lm_head") and not scales_outputs(config):
        model.lm_head.weight = nn.Parameter(torch.empty_like(model.shared.weight))  # as its checkpoints have it
    fuse_activations(model)
    model.eval()
    if adapter and isinstance(run.adapter, LoraAdapter):
        return add_adapter(model, spec, run.adapter, scorer=scorer, seed=run.seed)
    return model


def sizes(model: Any, spec: ModelSpec, quantization: Quantization) -> Sizes:
    """Measure a model that was built `without_data`.

    int8 (bitsandbytes `Linear8bitLt`): a byte per weight and a float32 scale per output row. nf4: half a byte per
    weight and a float32 scale per 64 weights; doubly quantised, a byte per 64 and a float32 per 64 x 256, with tables
    of 1,092 bytes per matrix. Heads, embeddings and what transformers keeps in float32 stay whole.
    """
    packed = _packed(model, spec, quantization)
    weights = adapters = parameters = trained = largest = 0
    largest_matrix = max((weight.numel() for weight, _ in packed.values()), default=0)
    carried = isinstance(model, PeftModel)
    for weight in model.parameters():
        count = weight.numel()
        parameters += count
        if weight.requires_grad:
            trained += count
            largest = max(largest, count)
        if id(weight) in packed:
            weights += packed_bytes(count, packed[id(weight)][1], quantization)
        elif carried and weight.requires_grad:
            adapters += count * weight.element_size()
        else:
            weights += count * weight.element_size()
    weights += sum(buffer.numel() * buffer.element_size() for buffer in model.buffers())
    return Sizes(weights, adapters, parameters, trained, largest, largest_matrix)


def packed_bytes(count: int, outputs: int, quantization: Quantization) -> int:
    """Bytes of a quantized matrix of `count` weights and `outputs` rows."""
    if not isinstance(quantization, Nf4Quantization):
        return count + 4 * outputs
    blocks = -(-count // BLOCK)
    if not quantization.double_quant:
        return -(-count // 2) + 4 * blocks + 4 * 16
    return -(-count // 2) + blocks + 4 * -(-blocks // SECOND_BLOCK) + NF4_TABLES


def _packed(model: Any, spec: ModelSpec, quantization: Quantization) -> dict[int, tuple[Any, Any]]:
    """The matrices that bitsandbytes replaces: id -> (weight, output rows)."""
    if isinstance(quantization, NoQuantization):
        return {}
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    whole = {"lm_head", spec.classifier_head, *(getattr(base, "_keep_in_fp32_modules", None) or [])}
    found = {}
    for name, module in model.named_modules():
        parts = set(name.split("."))
        if not isinstance(module, nn.Linear | Conv1D) or parts & whole or any("lora_" in part for part in parts):
            continue
        outputs = module.nf if isinstance(module, Conv1D) else module.out_features
        found[id(module.weight)] = (module.weight, outputs)
    return found
