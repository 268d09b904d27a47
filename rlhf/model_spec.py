"""What a model is made of: its weights, template and learning rates, its adapter and its quantization."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import PositiveFloat, PositiveInt

from rlhf.spec import Fraction, Spec

Family = Literal["causal", "seq2seq", "encoder"]


class TemplateSpec(Spec):
    """How a conversation becomes text. `chat` uses the tokenizer's own chat template and ignores the other fields.

    Otherwise the text of a prompt is the concatenation of `system`, `user` and `assistant` (each with `{content}`) over
    the messages, then `response_prefix`; the response is `response` with `{content}`.
    """

    name: str
    chat: bool
    system: str
    user: str
    assistant: str
    response_prefix: str
    response: str


class MethodRates(Spec):
    """A learning rate per method."""

    sft: PositiveFloat
    reward: PositiveFloat
    dpo: PositiveFloat
    ppo: PositiveFloat


class LearningRates(Spec):
    """Learning rates that suit a model, in full and under an adapter; `method.trainer.learning_rate` takes them."""

    none: MethodRates
    lora: MethodRates


class ModelSpec(Spec):
    """One architecture: where its weights come from and how its family is prompted, adapted and scored."""

    name: str
    family: Family
    init: Literal["pretrained", "random", "tiny"]
    hub_id: str | None
    revision: str | None
    path: str | None
    architecture: dict[str, Any]  # keyword arguments of the config class, with `model_type`
    tokenizer: str | None  # folder or hub id of a tokenizer other than the model's own
    template: TemplateSpec
    learning_rates: LearningRates
    context_length: PositiveInt
    lora_targets: list[str]
    classifier_head: str  # name of the sequence-classification head's module
    trust_remote_code: bool


class NoAdapter(Spec):
    """Full fine-tuning."""

    name: Literal["none"]


class LoraAdapter(Spec):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685). `targets: null` takes the model's own `lora_targets`."""

    name: Literal["lora"]
    r: PositiveInt
    alpha: PositiveFloat
    dropout: Fraction
    targets: list[str] | None
    use_rslora: bool


class NoQuantization(Spec):
    """Weights stay as loaded."""

    name: Literal["none"]


class Int8Quantization(Spec):
    """LLM.int8 (Dettmers et al. 2022, arXiv 2208.07339) through bitsandbytes."""

    name: Literal["int8"]
    threshold: float


class Nf4Quantization(Spec):
    """4-bit NormalFloat, doubly quantised (QLoRA, Dettmers et al. 2023, arXiv 2305.14314), through bitsandbytes."""

    name: Literal["nf4"]
    double_quant: bool
    compute_dtype: Literal["bfloat16", "float16", "float32"]
