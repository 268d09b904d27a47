"""Sequence classifiers of transformers, from a folder or the hub, with their own tokenizers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from rlhf.errors import UserError, one_line
from rlhf.models.folder import NO_SAFETENSORS, NOT_A_CLASSIFIER, NOT_FOUND
from rlhf.models.quiet import quiet

UNLOADABLE = (OSError, ValueError, RuntimeError, ImportError, SafetensorError)


def load_classifier(
    path: str, revision: str | None, place: str, *, dtype: torch.dtype, device: str | torch.device
) -> tuple[Any, Any]:
    """Load model and tokenizer: safetensors only, no code from elsewhere, no head that was never trained.

    `path` is a folder or a hub id, `revision` the hub's. Raises `UserError` at `place` where that does not work.
    """
    folder = Path(path).expanduser()
    source = str(folder) if folder.is_dir() else path
    options: dict[str, Any] = {"trust_remote_code": False} | ({} if folder.is_dir() else {"revision": revision})
    try:
        with quiet():
            config = AutoConfig.from_pretrained(source, **options)
            model, found = AutoModelForSequenceClassification.from_pretrained(
                source, config=config, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
            )
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except UNLOADABLE as error:
        remedy = NO_SAFETENSORS if "safetensors" in str(error) else NOT_FOUND
        raise UserError(place, f"{path} could not be loaded ({one_line(error)})", remedy) from error
    if found["missing_keys"]:
        problem = f"{path} has no trained {', '.join(sorted(found['missing_keys'])[:3])}: it is not a classifier"
        raise UserError(place, problem, NOT_A_CLASSIFIER)
    return model.to(device).requires_grad_(False).eval(), tokenizer


def longest_input(model: Any, tokenizer: Any) -> int | None:
    """Return how many tokens fit, None where nothing sets a limit (T5's relative positions)."""
    limits = [tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None) or 10**9]
    for module_name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and "position_embed" in module_name and module.padding_idx is not None:
            limits.append(module.num_embeddings - module.padding_idx - 1)  # RoBERTa counts from the pad id on
    return int(min(limits)) if min(limits) < 10**9 else None


def reads_pairs(tokenizer: Any) -> bool:
    """Whether it puts a mark between two texts."""
    alone, together = (tokenizer.num_special_tokens_to_add(pair=pair) for pair in (False, True))
    return bool(together > alone)


def reads_segments(model: Any, tokenizer: Any) -> bool:
    """Whether the model is told which of two texts a token belongs to (BERT's token types)."""
    return "token_type_ids" in tokenizer.model_input_names and getattr(model.config, "type_vocab_size", 0) > 1


def pad_of(model: Any, tokenizer: Any) -> int | None:
    """Return the id that shorter rows are filled up with, and let the model know it; None: one row at a time."""
    known = getattr(model.config, "pad_token_id", None)
    pad = tokenizer.pad_token_id if known is None else known
    model.config.pad_token_id = pad  # decoders find the last token before the padding with it
    return None if pad is None else int(pad)


class Plain:
    """Takes the special tokens of one tokenizer out of a text: text is data."""

    def __init__(self, tokenizer: Any) -> None:
        markers = sorted((token for token in tokenizer.all_special_tokens if len(token) > 1), key=len, reverse=True)
        self.markers = re.compile("|".join(map(re.escape, markers)) or r"(?!)")

    def __call__(self, text: str) -> str:
        """Return the text without them."""
        found = 1
        while found:  # taking one out can join another together
            text, found = self.markers.subn("", text)
        return text
