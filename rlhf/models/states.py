"""Hidden states at response positions, and log-probs from them, for both policy families.

The one place that knows where a response's predictions lie: in a causal model at the position before each token, in an
encoder-decoder at the decoder position of the same index. Only these states go through the output head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rlhf.models.codec import Codec
from rlhf.models.score import left_padded, right_padded
from rlhf.models.tiny import scales_outputs

LOGITS_AT_ONCE = 1 << 25  # entries of (tokens, vocabulary) held at a time: 128 MiB in float32


@dataclass(frozen=True)
class ResponseStates:
    """Rows keep their order; responses begin at column 0."""

    states: Tensor  # (rows, width, d_model): entry t predicts response token t
    tokens: Tensor  # (rows, width) response ids, padded on the right
    mask: Tensor  # (rows, width) bool, true on response tokens


def plain_model(model: Any) -> Any:
    """The transformers model inside a PeftModel (its adapters stay active), or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def response_states(
    model: Any, codec: Codec, prompt_ids: Sequence[Sequence[int]], response_ids: Sequence[Sequence[int]]
) -> ResponseStates:
    """Run the trunk once, in the caller's grad and train mode; every prompt has at least one token.

    Causal: prompts are padded on the left and responses on the right, positions count real tokens, and the last
    response token, which predicts nothing, is not fed.
    """
    base = plain_model(model)
    device = next(base.parameters()).device
    tokens, mask = (tensor.to(device) for tensor in right_padded(response_ids, codec.pad_id))
    if codec.spec.family == "seq2seq":
        ids, prompt_mask = (tensor.to(device) for tensor in right_padded(prompt_ids, codec.pad_id))
        start = torch.full_like(tokens[:, :1], base.config.decoder_start_token_id)
        states = base.decoder(  # without a mask: its padding is on the right, where causal attention never looks
            input_ids=torch.cat([start, tokens[:, :-1]], dim=1),
            encoder_hidden_states=base.encoder(input_ids=ids, attention_mask=prompt_mask).last_hidden_state,
            encoder_attention_mask=prompt_mask,
            use_cache=False,
        ).last_hidden_state
        if scales_outputs(base.config):
            states = states * base.config.d_model**-0.5
        return ResponseStates(states, tokens, mask.bool())
    ids, prompt_mask = (tensor.to(device) for tensor in left_padded(prompt_ids, codec.pad_id))
    fed = torch.cat([ids, tokens[:, :-1]], dim=1)
    fed_mask = torch.cat([prompt_mask, mask[:, :-1]], dim=1)
    states = base.base_model(
        input_ids=fed,
        attention_mask=fed_mask,
        position_ids=(fed_mask.cumsum(dim=1) - 1).clamp_min(0),
        use_cache=False,
    ).last_hidden_state[:, ids.shape[1] - 1 :]
    return ResponseStates(states, tokens, mask.bool())


def token_logprobs(
    states: Tensor, head: Callable[[Tensor], Tensor], tokens: Tensor, temperature: float, *, with_entropy: bool
) -> tuple[Tensor, Tensor | None]:
    """Return log-probs (n,) of `tokens` (n,) and, if asked, entropies (n,) of softmax(head(states) / temperature).

    Float32, nats. Logits are made in pieces of at most `LOGITS_AT_ONCE` entries; where a gradient is wanted, pieces
    beyond the first are made again in the backward pass instead of being kept (a vocabulary of 250,000 at 3,000 tokens
    would be 3 GB).
    """

    def piece(part: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        logits = head(part).float()
        if temperature != 1.0:
            logits = logits / temperature
        if not with_entropy:
            return -F.cross_entropy(logits, wanted, reduction="none"), logits.new_empty(0)
        logprobs = torch.log_softmax(logits, dim=-1)
        return logprobs.gather(1, wanted[:, None]).squeeze(1), -(logprobs.exp() * logprobs).sum(dim=-1)

    width = _vocabulary(head, states)
    rows = max(1, LOGITS_AT_ONCE // width)
    if len(states) <= rows:
        logp, entropy = piece(states, tokens)
        return logp, entropy if with_entropy else None
    keep = not torch.is_grad_enabled()
    parts = [
        piece(part, wanted) if keep else checkpoint(piece, part, wanted, use_reentrant=False)
        for part, wanted in zip(states.split(rows), tokens.split(rows), strict=True)
    ]
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]) if with_entropy else None


def _vocabulary(head: Any, states: Tensor) -> int:
    """Rows of the output head's weight, also under a LoRA layer."""
    weight = getattr(head, "weight", None)
    return int(weight.shape[0]) if isinstance(head, nn.Linear) and weight is not None else states.shape[-1] * 64


def token_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Cut rows into batches of at most `budget` padded tokens, rows of like length together; a long row goes alone.

    Returns indices of `lengths`, longest batch first, so that too large a budget shows at once.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    for index in order:
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
