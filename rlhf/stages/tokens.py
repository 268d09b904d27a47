"""Rows of text become rows of token ids, once, by the same codec for every stage."""

from __future__ import annotations

from collections.abc import Sequence

from datasets import Dataset

from rlhf.data.rows import Row
from rlhf.models.codec import Codec

IGNORED = -100  # label of a token that carries no loss


def demonstration_tokens(codec: Codec, rows: Sequence[Row]) -> Dataset:
    """Return columns `input_ids` and `labels`; prompt tokens carry no loss."""
    prompts = [codec.prompt_ids(row.prompt) for row in rows]
    responses = [codec.response_ids(row.completion or "") for row in rows]
    pairs = list(zip(prompts, responses, strict=True))
    return Dataset.from_dict(
        {
            "input_ids": [prompt + response for prompt, response in pairs],
            "labels": [[IGNORED] * len(prompt) + response for prompt, response in pairs],
        }
    )


def pair_tokens(codec: Codec, rows: Sequence[Row]) -> Dataset:
    """Return columns `prompt_ids`, `chosen_ids` and `rejected_ids`, as TRL's DPO collator reads them."""
    return Dataset.from_dict(
        {
            "prompt_ids": [codec.prompt_ids(row.prompt) for row in rows],
            "chosen_ids": [codec.response_ids(row.chosen or "") for row in rows],
            "rejected_ids": [codec.response_ids(row.rejected or "") for row in rows],
        }
    )


def scored_pair_tokens(codec: Codec, rows: Sequence[Row]) -> Dataset:
    """Return columns `chosen_ids` and `rejected_ids`, each prompt, response and EOS in one, as a reward model reads."""
    return Dataset.from_dict(
        {
            "chosen_ids": [codec.scorer_ids(row.prompt, row.chosen or "") for row in rows],
            "rejected_ids": [codec.scorer_ids(row.prompt, row.rejected or "") for row in rows],
        }
    )
