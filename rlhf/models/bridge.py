"""Presents an encoder-decoder (T5, mT5) as a causal model over prompt + response, so that TRL's trainers can use it.

TRL 1.16 calls `model(input_ids, attention_mask, labels, fused_lm_head=True, **rest of the batch)` and reads hidden
states at causal positions, where position i predicts token i + 1. `as_causal` answers that call when the batch says
which tokens are the response; `BridgeCollator` makes the batch say so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from rlhf.models.tiny import scales_outputs


@dataclass(frozen=True)
class Halves:
    """A causal batch taken apart. Rows keep their order; tokens keep theirs and are moved to the left."""

    encoder_ids: Tensor  # (batch, prompt width), right-padded; a row without prompt holds one eos
    encoder_mask: Tensor  # (batch, prompt width), 1 on tokens
    decoder_ids: Tensor  # (batch, response width): start token, then the response without its last token
    slots: Tensor  # (batch, response width): causal position just before each response token; -1 where there is none


def split(
    input_ids: Tensor, attention_mask: Tensor, response_mask: Tensor, *, pad: int, eos: int, start: int
) -> Halves:
    """Take a batch of prompt + response rows (all (batch, width)), padded on either side, apart.

    A row may lack its prompt or its response, as truncation leaves it; the encoder then reads a lone eos, which is how
    T5's tokenizers write an empty text. A response token at position 0 has no position before it, so no slot.
    """
    tokens = attention_mask.bool()
    response = tokens & response_mask.bool()
    encoder_ids, encoder_mask, _ = _to_the_left(input_ids, tokens & ~response, pad)
    empty = ~encoder_mask.any(dim=1)
    encoder_ids[:, 0] = torch.where(empty, eos, encoder_ids[:, 0])
    encoder_mask[:, 0] |= empty

    answer_ids, answer_mask, columns = _to_the_left(input_ids, response, pad)
    decoder_ids = torch.cat([torch.full_like(answer_ids[:, :1], start), answer_ids[:, :-1]], dim=1)
    slots = torch.where(answer_mask, columns - 1, -1)
    return Halves(encoder_ids, encoder_mask.long(), decoder_ids, slots)


def _to_the_left(ids: Tensor, keep: Tensor, pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Move kept ids to the left; return (ids, mask, columns they came from), as wide as the longest row, at least 1."""
    width = max(1, int(keep.sum(dim=1).max()))
    columns = torch.argsort(~keep, dim=1, stable=True)[:, :width]
    mask = keep.gather(1, columns)
    return ids.gather(1, columns).masked_fill(~mask, pad), mask, columns


def as_causal(model: PreTrainedModel) -> PreTrainedModel:
    """Patch the instance's forward (as TRL's `add_fused_lm_head` does) and return the same model.

    Called with `response_mask` (batch, width; 1 on response tokens), the model sends the other tokens to its encoder
    and the response to its decoder, and returns `last_hidden_state` (batch, width, d_model): the state that predicts a
    response token at the position before that token, zero elsewhere. Called without, it is the plain model. Weights,
    their names and saving are untouched. Do it before PEFT wraps the model and before a trainer adds its fused head.
    """
    if model.config.model_type not in ("t5", "mt5"):
        raise ValueError(f"the bridge knows T5 and mT5, not {model.config.model_type}")
    plain = model.forward
    # a partial's arguments are copied with their model, so that a deep copy runs itself; a closure's would not be
    bridged = functools.partial(_bridged_forward, model, plain)
    model.forward = functools.update_wrapper(bridged, plain)  # `generate` checks its arguments against the signature
    return model


def _bridged_forward(
    model: Any, plain: Callable[..., Any], *args: Any, response_mask: Tensor | None = None, **kwargs: Any
) -> Any:
    if response_mask is None:
        return plain(*args, **kwargs)
    return _causal_states(model, *args, response_mask=response_mask, **kwargs)


def _causal_states(
    model: Any, input_ids: Tensor, attention_mask: Tensor, *, response_mask: Tensor, **_: Any
) -> BaseModelOutput:
    """Run encoder and decoder on the two halves, and lay the decoder's states out at causal positions."""
    config = model.config
    halves = split(
        input_ids,
        attention_mask,
        response_mask,
        pad=config.pad_token_id,
        eos=config.eos_token_id,
        start=config.decoder_start_token_id,
    )
    encoded = model.encoder(input_ids=halves.encoder_ids, attention_mask=halves.encoder_mask).last_hidden_state
    # no decoder mask: padding is on the right, where causal attention never looks
    states = model.decoder(
        input_ids=halves.decoder_ids,
        encoder_hidden_states=encoded,
        encoder_attention_mask=halves.encoder_mask,
        use_cache=False,
    ).last_hidden_state
    if scales_outputs(config):
        states = states * config.d_model**-0.5
    rows, steps = (halves.slots >= 0).nonzero(as_tuple=True)
    laid_out = states.new_zeros(*input_ids.shape, states.size(-1))
    laid_out = laid_out.index_put((rows, halves.slots[rows, steps]), states[rows, steps])
    return BaseModelOutput(last_hidden_state=laid_out)


class BridgeCollator:
    """Wraps one of TRL's collators and adds `response_mask` to its batch.

    DPO's collator marks the response in `completion_mask`; SFT's leaves labels other than -100 on it.
    """

    def __init__(self, inner: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> None:
        self.inner = inner

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Collate `examples` and mark the response tokens: (batch, width), 1 on them."""
        batch = self.inner(list(examples))
        marked = batch["completion_mask"] if "completion_mask" in batch else (batch["labels"] != -100).long()
        return {**batch, "response_mask": marked * batch["attention_mask"]}
