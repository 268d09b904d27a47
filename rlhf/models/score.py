"""Scores of a reward model: texts in, numbers out, so that any family can judge any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from rlhf.models.codec import Codec


@torch.no_grad()
def score(
    model: nn.Module, codec: Codec, pairs: Sequence[tuple[Sequence[Mapping[str, str]], str]], batch_size: int
) -> list[float]:
    """Return one score per (messages, answer), in the order given.

    Rows are sorted by length to save padding and padded on the right, where decoders do not look back at it; the head
    reads the last token that is not padding, which is the eos that `scorer_ids` ends every row with.
    """
    rows = [codec.scorer_ids(messages, answer) for messages, answer in pairs]
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    scores = [0.0] * len(rows)
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        ids, mask = right_padded([rows[index] for index in chosen], codec.pad_id)
        logits = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
        for index, value in zip(chosen, logits.float().squeeze(-1).tolist(), strict=True):
            scores[index] = value
    model.train(was_training)
    return scores


def right_padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (ids, mask) of (rows, longest row, at least 1), padded on the right."""
    width = max([1, *map(len, rows)])
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def left_padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (ids, mask) of (rows, longest row, at least 1), padded on the left."""
    ids, mask = right_padded([row[::-1] for row in rows], pad)
    return ids.flip(1), mask.flip(1)
