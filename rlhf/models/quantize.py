"""Quantized loading through bitsandbytes: its config, the mend of its CPU 4-bit layers, and refusals."""

from __future__ import annotations

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from rlhf.config import Int8Quantization, ModelSpec, Nf4Quantization, NoQuantization
from rlhf.errors import UserError

Quantization = NoQuantization | Int8Quantization | Nf4Quantization


def quantization_config(quantization: Quantization, spec: ModelSpec, device: str) -> BitsAndBytesConfig | None:
    """Return the bitsandbytes config, None for no quantization; refuse what bitsandbytes cannot do on `device`.

    The language-model head stays whole, and so does the classification head: a new head is not in the checkpoint, and
    bitsandbytes then leaves an 8-bit layer without its scales (mT5: 'Parameter' object has no attribute 'CB').
    """
    if isinstance(quantization, NoQuantization):
        return None
    _refuse_unsupported(quantization, device)
    skip = ["lm_head", spec.classifier_head]
    if isinstance(quantization, Int8Quantization):
        return BitsAndBytesConfig(
            load_in_8bit=True, llm_int8_threshold=quantization.threshold, llm_int8_skip_modules=skip
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=quantization.double_quant,
        bnb_4bit_compute_dtype=getattr(torch, quantization.compute_dtype),
        llm_int8_skip_modules=skip,
    )


def mend_quantized(model: nn.Module) -> None:
    """Keep 4-bit layers trainable after an evaluation. Call once after loading.

    On CPUs with AVX512-BF16, `Linear4bit` packs its weights for an inference kernel at the first eval-mode forward and
    never unpacks them (bitsandbytes 0.50.2, nn/modules.py): from then on gradients are exactly zero for Llama and mT5,
    and GPT-2 raises. Turning the kernel off per layer keeps the ordinary path.
    """
    import bitsandbytes

    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _refuse_unsupported(quantization: Quantization, device: str) -> None:
    """Raise a UserError where bitsandbytes is missing or has no kernel for `device`: tried on one small matrix."""
    try:
        import bitsandbytes.functional as kernels

        weight = torch.zeros(64, 64, device=device, dtype=torch.float16)
        if isinstance(quantization, Int8Quantization):
            kernels.int8_vectorwise_quant(weight)
        else:
            kernels.quantize_4bit(weight, quant_type="nf4")
    # not installed; no kernel for this kind of device; its library does not load; PyTorch was built without CUDA
    except (ImportError, NotImplementedError, RuntimeError, AssertionError) as error:
        raise UserError(
            "quantization",
            f"{quantization.name} does not work on {device}: {type(error).__name__}: {error}",
            "use quantization=none, or install bitsandbytes for this device",
        ) from error
