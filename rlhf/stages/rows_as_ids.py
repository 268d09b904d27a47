"""One row becomes token ids, by the same codec for every stage; `work` does it for many rows in a worker process.

Nothing of the training libraries is imported here, so that a worker starts fast and stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from rlhf.data.arrow import ArrowRows
from rlhf.data.rows import Row
from rlhf.models.codec import Codec

IGNORED = -100  # label of a token that carries no loss
LENGTH = "length"  # column: the longest sequence of the row
Kind = Literal["demonstration", "pair", "scored_pair"]
Ids = dict[str, Any]  # column -> ids, and the length


def demonstration(codec: Codec, row: Row) -> Ids:
    """Return `input_ids` and `labels`; prompt tokens carry no loss."""
    prompt, response = codec.prompt_ids(row.prompt), codec.response_ids(row.completion or "")
    labels = [IGNORED] * len(prompt) + response
    return {"input_ids": prompt + response, "labels": labels, LENGTH: len(labels)}


def pair(codec: Codec, row: Row) -> Ids:
    """Return `prompt_ids`, `chosen_ids` and `rejected_ids`, as TRL's DPO collator reads them."""
    prompt = codec.prompt_ids(row.prompt)
    chosen, rejected = (codec.response_ids(text or "") for text in (row.chosen, row.rejected))
    length = len(prompt) + max(len(chosen), len(rejected))
    return {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected, LENGTH: length}


def scored_pair(codec: Codec, row: Row) -> Ids:
    """Return `chosen_ids` and `rejected_ids`, each prompt, response and EOS in one, as a reward model reads them."""
    chosen, rejected = (codec.scorer_ids(row.prompt, text or "") for text in (row.chosen, row.rejected))
    return {"chosen_ids": chosen, "rejected_ids": rejected, LENGTH: max(len(chosen), len(rejected))}


KINDS: dict[Kind, tuple[Callable[[Codec, Row], Ids], tuple[str, ...]]] = {  # with the columns that each gives
    "demonstration": (demonstration, ("input_ids", "labels", LENGTH)),
    "pair": (pair, ("prompt_ids", "chosen_ids", "rejected_ids", LENGTH)),
    "scored_pair": (scored_pair, ("chosen_ids", "rejected_ids", LENGTH)),
}


def columns(kind: Kind, codec: Codec, rows: Iterable[Row]) -> dict[str, list[Any]]:
    """Return the columns of some rows."""
    make, names = KINDS[kind]
    made = [make(codec, row) for row in rows]
    return {name: [ids[name] for ids in made] for name in names}


def work(setup: tuple[Kind, Codec, Path], places: Any) -> tuple[bytes, int, int]:
    """Return rows of a mapped file as a stream of one Arrow batch, and how many prompts and answers were cut.

    The codec's own counts stay as they were.
    """
    import pyarrow

    kind, codec, file = setup
    before = codec.truncated_prompts, codec.cut_responses
    made = columns(kind, codec, _rows(file).taken(places))
    cut = codec.truncated_prompts - before[0], codec.cut_responses - before[1]
    codec.truncated_prompts, codec.cut_responses = before
    arrays = [pyarrow.array(values, ids_type(name)) for name, values in made.items()]
    batch = pyarrow.record_batch(arrays, names=list(made))
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes(), *cut


@lru_cache(1)
def _rows(file: Path) -> ArrowRows:
    return ArrowRows(file, (), "")


def ids_type(column: str) -> Any:
    """Return the Arrow type of a column: no vocabulary needs more than 32 bits."""
    import pyarrow

    return pyarrow.int32() if column == LENGTH else pyarrow.list_(pyarrow.int32())
