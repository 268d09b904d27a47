"""Rows of text become rows of token ids, once, by the same codec for every stage.

Each set has a column `length` (the longest sequence of the row), by which `train_sampling_strategy: group_by_length`
makes batches with little padding.
"""

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
            "length": [len(prompt) + len(response) for prompt, response in pairs],
        }
    )


def pair_tokens(codec: Codec, rows: Sequence[Row]) -> Dataset:
    """Return columns `prompt_ids`, `chosen_ids` and `rejected_ids`, as TRL's DPO collator reads them."""
    prompts = [codec.prompt_ids(row.prompt) for row in rows]
    chosen = [codec.response_ids(row.chosen or "") for row in rows]
    rejected = [codec.response_ids(row.rejected or "") for row in rows]
    lengths = [len(p) + max(len(c), len(r)) for p, c, r in zip(prompts, chosen, rejected, strict=True)]
    return Dataset.from_dict({"prompt_ids": prompts, "chosen_ids": chosen, "rejected_ids": rejected, "length": lengths})


def scored_pair_tokens(codec: Codec, rows: Sequence[Row]) -> Dataset:
    """Return columns `chosen_ids` and `rejected_ids`, each prompt, response and EOS in one, as a reward model reads."""
    chosen = [codec.scorer_ids(row.prompt, row.chosen or "") for row in rows]
    rejected = [codec.scorer_ids(row.prompt, row.rejected or "") for row in rows]
    lengths = [max(len(c), len(r)) for c, r in zip(chosen, rejected, strict=True)]
    return Dataset.from_dict({"chosen_ids": chosen, "rejected_ids": rejected, "length": lengths})
