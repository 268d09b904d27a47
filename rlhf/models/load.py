"""Loading and saving: what weights a stage starts from, as a policy or as a scorer, with adapter and quantization."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rlhf import ranks
from rlhf.config import ModelSpec, NoQuantization
from rlhf.errors import UserError
from rlhf.models.activations import fuse_activations
from rlhf.models.adapter import (
    add_adapter,
    full_precision,
    is_scorer_adapter,
    trainable_parameters,
    with_saved_adapter,
)
from rlhf.models.bridge import as_causal
from rlhf.models.folder import refuse_no_model
from rlhf.models.quantize import Quantization, mend_quantized, quantization_config
from rlhf.models.quiet import quiet
from rlhf.models.tiny import build_architecture, build_tiny, random_model, readable, save_whole
from rlhf.models.tokenizers import ensure_padding

__all__ = [
    "BASE",
    "Source",
    "add_adapter",
    "full_precision",
    "load_policy",
    "load_scorer",
    "load_tokenizer",
    "open_folder",
    "resolve_base",
    "save_model",
    "trainable_parameters",
]

BASE = "base"  # folder of a stage whose adapter lies on a base of its own
LANGUAGE_MODELS = {"causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}


@dataclass(frozen=True)
class Source:
    """What weights a stage starts from.

    `base` is a hub id, a folder with weights, or (kind `architecture`) a folder with config and tokenizer whose weights
    are drawn from the seed given at loading. `adapter` is the folder of a LoRA adapter on that base.
    """

    base: str | Path
    adapter: Path | None
    kind: Literal["hub", "folder", "architecture"]


def resolve_base(spec: ModelSpec, cache: Path) -> Source:
    """Return where the spec's own weights come from, building tiny and random models' folders under `cache`."""
    if spec.path is not None:
        return open_folder(Path(spec.path), "model.path")
    if spec.init == "tiny":
        return Source(build_tiny(spec, cache), None, "folder")
    if spec.init == "random":
        return Source(build_architecture(spec, cache), None, "architecture")
    if spec.hub_id is None:
        raise UserError(
            "model.hub_id",
            f"model {spec.name} has neither hub_id nor path",
            "give model.path=<folder> or model.hub_id=",
        )
    return Source(spec.hub_id, None, "hub")


def open_folder(folder: Path, place: str) -> Source:
    """Return the source that `save_model` wrote to `folder`: a whole model, or an adapter and the base it names."""
    if (folder / "adapter_config.json").is_file():
        base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
        if not Path(base).is_dir():
            return Source(base, folder, "hub")
        return Source(Path(base), folder, "folder" if any(Path(base).glob("*.safetensors")) else "architecture")
    refuse_no_model(folder, place)
    return Source(folder, None, "folder")


def load_tokenizer(spec: ModelSpec, source: Source) -> PreTrainedTokenizerBase:
    """Load the model's tokenizer (or the one that `model.tokenizer` names), with a pad id of its own."""
    name = source.base if spec.tokenizer is None else spec.tokenizer
    place = "model.hub_id" if spec.tokenizer is None else "model.tokenizer"
    options: dict[str, Any] = {"trust_remote_code": spec.trust_remote_code}
    if spec.tokenizer is None and source.kind == "hub":
        options["revision"] = spec.revision
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        raise _not_loaded(place, str(name), error) from error
    size = _config(spec, source).vocab_size
    if len(tokenizer) > size:
        raise UserError(
            "model.tokenizer",
            f"{name} has {len(tokenizer)} tokens, {spec.name} has {size} embeddings",
            "name the model's own tokenizer, or raise model.architecture.vocab_size with model.init=random",
        )
    return ensure_padding(tokenizer, spec.family)


def load_policy(
    spec: ModelSpec, source: Source, quantization: Quantization, *, dtype: torch.dtype, device: str, seed: int
) -> PreTrainedModel | PeftModel:
    """Load a language model in eval mode; an encoder-decoder is presented as a causal one (`rlhf.models.bridge`).

    With `source.adapter` the result is a PeftModel whose adapter is trainable. `seed` draws the weights of an
    `architecture` source. Raises UserError for encoders, and for fp16 on T5 and mT5, whose activations overflow in it
    (https://github.com/huggingface/transformers/pull/10956).
    """
    if spec.family == "encoder":
        raise UserError(
            "model", f"{spec.name} is an encoder and cannot write answers", "choose a causal or seq2seq model"
        )
    _refuse_half_t5(spec, dtype)
    model = _load(LANGUAGE_MODELS[spec.family], spec, source, quantization, dtype, device, seed)
    fuse_activations(model)
    if spec.family == "seq2seq":
        as_causal(model)
    if source.adapter is None:
        return model
    return with_saved_adapter(model, source.adapter)


def load_scorer(
    spec: ModelSpec, source: Source, quantization: Quantization, *, dtype: torch.dtype, device: str, seed: int
) -> PreTrainedModel | PeftModel:
    """Load a sequence classifier with one output, in eval mode.

    A base without a head gets a new one drawn from `seed`; a saved scorer keeps its own. An adapter of a scorer is
    loaded trainable on its base; an adapter of a policy is merged into the base first (in `dtype`, not quantized).
    """
    _refuse_half_t5(spec, dtype)
    if source.adapter is not None and not is_scorer_adapter(source.adapter):
        raise ValueError(f"{source.adapter} is a policy's adapter: `merge_adapter` first, then load the scorer")
    model = _load(AutoModelForSequenceClassification, spec, source, quantization, dtype, device, seed)
    fuse_activations(model)
    if source.adapter is None:
        return model
    return with_saved_adapter(model, source.adapter)


def merge_adapter(spec: ModelSpec, source: Source, folder: Path, *, dtype: torch.dtype, seed: int) -> Source:
    """Merge a policy's adapter into its base (in `dtype`, never quantized) and keep the whole model in `folder`."""
    policy: Any = load_policy(spec, source, NoQuantization(name="none"), dtype=dtype, device="cpu", seed=seed)
    body = policy.get_base_model()  # transformers calls every MT5 tied, and PEFT warns of merging into tied weights
    body.config.tie_word_embeddings = body.get_input_embeddings().weight is body.get_output_embeddings().weight
    save_model(policy.merge_and_unload(), load_tokenizer(spec, source), folder)
    return Source(folder, None, "folder")


def save_model(model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a whole model (or just its adapter), tokenizer and chat template to `folder`, readable by others.

    Of several processes the first one writes, and all go on once the files are there.
    """
    if ranks.first():
        _write_model(model, tokenizer, folder)
    ranks.together()


def _write_model(model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {}
    if isinstance(model, PeftModel):  # of its adapters only ours: TRL adds "ref", DPO's reference
        options = {"save_embedding_layers": False, "selected_adapters": ["default"]}
    with quiet():
        model.save_pretrained(str(folder), **options)
    tokenizer.save_pretrained(folder)
    readable(folder)


def _load(
    auto_class: Any,
    spec: ModelSpec,
    source: Source,
    quantization: Quantization,
    dtype: torch.dtype,
    device: str,
    seed: int,
) -> PreTrainedModel:
    """Load or draw weights, quantize them if asked, put them on `device`; pad and eos ids follow the tokenizer."""
    tokenizer = load_tokenizer(spec, source)
    ids = {"pad_token_id": tokenizer.pad_token_id}
    if auto_class is AutoModelForSequenceClassification:
        ids["num_labels"] = 1
    config = _config(spec, source)
    for key, value in ids.items():
        setattr(config, key, value)
    if source.kind == "architecture":
        model: Any = random_model(auto_class, config, dtype, seed)
        model.config._name_or_path = str(source.base)
        if isinstance(quantization, NoQuantization):
            return model.to(device)
        with tempfile.TemporaryDirectory() as scratch:  # bitsandbytes quantizes while it loads
            save_whole(model, Path(scratch))
            return _pretrained(auto_class, spec, scratch, config, quantization, dtype, device, seed)
    return _pretrained(auto_class, spec, source.base, config, quantization, dtype, device, seed)


def _pretrained(
    auto_class: Any,
    spec: ModelSpec,
    base: str | Path,
    config: Any,
    quantization: Quantization,
    dtype: torch.dtype,
    device: str,
    seed: int,
) -> PreTrainedModel:
    """Call from_pretrained with safetensors only; `seed` draws what the checkpoint lacks (a new scoring head)."""
    options: dict[str, Any] = {"config": config, "dtype": dtype, "use_safetensors": True}
    options["trust_remote_code"] = spec.trust_remote_code
    if not Path(base).is_dir():
        options["revision"] = spec.revision
    bits = quantization_config(quantization, spec, device)
    if bits is not None:
        options |= {"quantization_config": bits, "device_map": {"": device}}
    try:
        with quiet(), torch.random.fork_rng():
            torch.manual_seed(seed)
            model = auto_class.from_pretrained(base, **options)
    except (OSError, ValueError) as error:
        raise _not_loaded("model.hub_id", str(base), error) from error
    if bits is None:
        model = model.to(device)
    else:
        mend_quantized(model)
    return model.eval()


def _config(spec: ModelSpec, source: Source) -> Any:
    options: dict[str, Any] = {"trust_remote_code": spec.trust_remote_code}
    if source.kind == "hub":
        options["revision"] = spec.revision
    try:
        return AutoConfig.from_pretrained(source.base, **options)
    except (OSError, ValueError) as error:
        raise _not_loaded("model.hub_id", str(source.base), error) from error


def _refuse_half_t5(spec: ModelSpec, dtype: torch.dtype) -> None:
    if spec.family == "seq2seq" and dtype == torch.float16:
        raise UserError("precision", f"{spec.name} overflows in fp16", "use precision=bf16 or precision=fp32")


def _not_loaded(place: str, name: str, error: Exception) -> UserError:
    """Turn a failed load into one line: the hub's messages run over several."""
    if "safetensors" in str(error):
        return UserError(
            place,
            f"{name} has no safetensors weights",
            "name a revision that has them (model.revision=refs/pr/<number>), or convert a copy and give model.path=",
        )
    reason = " ".join(str(error).split())[:200]
    return UserError(
        place,
        f"{name} could not be loaded ({reason})",
        "check the id, the network and your access to it, or give model.path=<folder> or model=tiny_gpt2",
    )
