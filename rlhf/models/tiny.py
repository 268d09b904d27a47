"""Tiny models: an architecture from its config class, seeded weights and a toy tokenizer, in one cached folder.

Building one takes a second or two, needs no network, and gives the same bytes for the same spec and library versions.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel
from transformers import PreTrainedConfig as Config

from rlhf.config import ModelSpec
from rlhf.disk import locked
from rlhf.errors import UserError
from rlhf.models.quiet import quiet
from rlhf.models.tokenizers import toy_corpus, train_toy_tokenizer

WEIGHT_SEED = 0  # tiny weights are a fixture, the same in every job of a sweep; the run's seed moves training only
TOY_VOCABULARY = 1024  # tokens at most; the embeddings are as many as the architecture says
BACKBONES = {"causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM, "encoder": AutoModel}


def build_tiny(spec: ModelSpec, folder: Path) -> Path:
    """Return a folder under `folder` with the model's config, weights (fp32, seeded) and tokenizer; build it if absent.

    The folder's name carries a hash of everything that its bytes depend on.
    """

    def write(target: Path) -> None:
        write_architecture(spec, target)
        model = random_model(BACKBONES[spec.family], AutoConfig.from_pretrained(target), torch.float32, WEIGHT_SEED)
        save_whole(model, target)

    return _cached(spec, folder, "tiny", write)


def build_architecture(spec: ModelSpec, folder: Path) -> Path:
    """Return a folder under `folder` with the config and a toy tokenizer only: what `model.init=random` starts from."""
    return _cached(spec, folder, "architecture", lambda target: write_architecture(spec, target))


def write_architecture(spec: ModelSpec, folder: Path) -> None:
    """Write the config of `spec.architecture`, with the special ids of a toy tokenizer, and that tokenizer."""
    settings = dict(spec.architecture)
    if "model_type" not in settings:
        raise UserError("model.architecture", "model_type is missing", "name it, for example model_type: gpt2")
    size = int(settings.get("vocab_size", TOY_VOCABULARY))  # config classes have larger defaults
    tokenizer = train_toy_tokenizer(spec.family, min(size, TOY_VOCABULARY))
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    if spec.family == "seq2seq":
        ids["decoder_start_token_id"] = tokenizer.pad_token_id
    else:
        ids["bos_token_id"] = tokenizer.bos_token_id
    try:
        config = AutoConfig.for_model(**settings, **ids)
    except (ValueError, TypeError) as error:
        raise UserError("model.architecture", str(error), "use the keywords of the model's config class") from error
    config.save_pretrained(folder)
    tokenizer.model_max_length = spec.context_length
    tokenizer.save_pretrained(folder)


def random_model(auto_class: Any, config: Config, dtype: torch.dtype, seed: int) -> PreTrainedModel:
    """Build a model of `config` with random weights drawn from `seed`; the global random state is left as it was.

    T5 v1.1 and mT5 have an output matrix of their own, but transformers 5 ties it to the embeddings whenever weights
    are new, which (embeddings being of unit variance and decoder states not rescaled) starts training at a loss of
    about 27 nats instead of log(vocabulary); so it is drawn here as published checkpoints have it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto_class.from_config(config, dtype=dtype)
        if config.model_type in ("t5", "mt5") and hasattr(model, "lm_head") and not scales_outputs(config):
            weight = torch.empty_like(model.shared.weight).normal_(std=config.d_model**-0.5)
            model.lm_head.weight = nn.Parameter(weight)
            model.all_tied_weights_keys.pop("lm_head.weight")
    return model.eval()


def scales_outputs(config: Config) -> bool:
    """Whether decoder states are multiplied by d_model**-0.5 before the output matrix (T5, but not T5 v1.1 or mT5)."""
    return bool(getattr(config, "scale_decoder_outputs", False))


def _cached(spec: ModelSpec, folder: Path, kind: str, write: Callable[[Path], None]) -> Path:
    """Return `folder`/<name>-<kind>-<hash>, written by `write` at most once however many processes ask for it."""
    recipe = {
        "kind": kind,
        "family": spec.family,
        "architecture": spec.architecture,
        "context_length": spec.context_length,
        "texts": hashlib.sha256("\0".join(toy_corpus()).encode()).hexdigest(),
        "weights": WEIGHT_SEED,
        "versions": [torch.__version__, transformers.__version__, tokenizers.__version__],
    }
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    target = folder / f"{spec.name}-{kind}-{digest}"
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with locked(Path(f"{target}.lock")):
        if not target.is_dir():
            scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=folder))
            try:
                write(scratch)
                readable(scratch)
                os.replace(scratch, target)
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)
                raise
    return target


def save_whole(model: PreTrainedModel, folder: Path) -> None:
    """Write weights in whichever process this is; where several share a job, transformers writes in the first alone."""
    saved: Any = model  # of any type: a method is put in the place of its own
    saved.should_save_on_this_rank = lambda is_main_process: True
    try:
        with quiet():
            saved.save_pretrained(folder)
    finally:
        del saved.should_save_on_this_rank


def readable(folder: Path) -> None:
    """Give `folder` mode 0755 and its files 0644: safetensors writes 0600, which locks others out of a shared store."""
    folder.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o755 if file.is_dir() else 0o644)
