"""Rows of text become rows of token ids, once, by the same codec for every stage.

Each set has a column `length` (the longest sequence of the row), by which `train_sampling_strategy: group_by_length`
makes batches with little padding. Rows in memory become ids in memory; those of a mapped file go through worker
processes into another one, which is kept for the next stage that needs the same ids.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datasets import Dataset

from rlhf.data.arrow import ArrowRows
from rlhf.data.kept import kept
from rlhf.data.rows import Row
from rlhf.data.workers import ordered
from rlhf.fingerprint import digest, versions
from rlhf.models.codec import Codec
from rlhf.sources import closure
from rlhf.stages.rows_as_ids import IGNORED, Kind, columns, work
from rlhf.store import VALUES

__all__ = ["IGNORED", "demonstration_tokens", "pair_tokens", "scored_pair_tokens"]

FOLDER = "tokens"  # of the store
FILE = "tokens.arrow"
TASK_ROWS = 1000  # rows that a worker is handed at a time
FEW_ROWS = 5000  # that are not worth the start of workers
SHOWN_DIGITS = 12


def demonstration_tokens(codec: Codec, rows: Sequence[Row], store: Path | None = None) -> Dataset:
    """Return columns `input_ids` and `labels`; prompt tokens carry no loss."""
    return _tokens("demonstration", codec, rows, store)


def pair_tokens(codec: Codec, rows: Sequence[Row], store: Path | None = None) -> Dataset:
    """Return columns `prompt_ids`, `chosen_ids` and `rejected_ids`, as TRL's DPO collator reads them."""
    return _tokens("pair", codec, rows, store)


def scored_pair_tokens(codec: Codec, rows: Sequence[Row], store: Path | None = None) -> Dataset:
    """Return columns `chosen_ids` and `rejected_ids`, each prompt, response and EOS in one, as a reward model reads."""
    return _tokens("scored_pair", codec, rows, store)


def _tokens(kind: Kind, codec: Codec, rows: Sequence[Row], store: Path | None) -> Dataset:
    if not isinstance(rows, ArrowRows) or not len(rows):
        return Dataset.from_dict(columns(kind, codec, rows))
    name = token_fingerprint(kind, codec, rows)

    def make(folder: Path) -> Mapping[str, Any]:
        cut = _write(kind, codec, rows, folder / FILE)
        return {"method": kind, "model": codec.spec.name, **cut}

    keeper: Any = None
    if store is None:
        keeper = TemporaryDirectory(prefix="rlhf-tokens-")
        folder = Path(keeper.name) / FOLDER
    else:
        folder = store / FOLDER / name[:SHOWN_DIGITS]
    result, hold = kept(folder, name, make)
    codec.truncated_prompts += result["truncated_prompts"]
    codec.cut_responses += result["cut_responses"]
    dataset = Dataset.from_file(str(folder / VALUES / FILE))
    dataset.kept_alive = KeptAlive(keeper, hold)  # as long as the ids are read from the file
    return dataset


class KeptAlive:
    """Things that live as long as a data set does; its copies, which the library makes deep, share them."""

    def __init__(self, *things: Any) -> None:
        self.things = things

    def __deepcopy__(self, memo: Any) -> KeptAlive:
        return self

    def __reduce__(self) -> tuple[type[KeptAlive], tuple[()]]:
        return KeptAlive, ()  # they belong to this process


def _write(kind: Kind, codec: Codec, rows: ArrowRows, file: Path) -> dict[str, int]:
    """Write the ids of all rows, in their order, as one Arrow stream; returns how many texts did not fit."""
    import pyarrow

    cut = {"truncated_prompts": 0, "cut_responses": 0}
    tasks = (rows.at[first : first + TASK_ROWS] for first in range(0, len(rows), TASK_ROWS))
    writer: Any = None
    with closing(_results((kind, codec, rows.file), tasks, rows)) as results, pyarrow.OSFile(str(file), "wb") as sink:
        for stream, truncated, cut_short in results:
            batches = pyarrow.ipc.open_stream(stream)
            writer = writer or pyarrow.ipc.new_stream(sink, batches.schema)
            for batch in batches:
                writer.write_batch(batch)
            cut["truncated_prompts"] += truncated
            cut["cut_responses"] += cut_short
        writer.close()
    return cut


def _results(setup: tuple[Kind, Codec, Path], tasks: Iterable[Any], rows: ArrowRows) -> Generator[Any, None, None]:
    """Work through tasks here where they are few, else in worker processes, whose start costs a second or two."""
    if len(rows) <= FEW_ROWS:
        yield from (work(setup, task) for task in tasks)
    else:
        yield from ordered("rlhf.stages.rows_as_ids:work", setup, tasks, rows.workers)


def token_fingerprint(kind: Kind, codec: Codec, rows: ArrowRows) -> str:
    """Hash all that ids depend on: the rows, the tokenizer's bytes, the template, the lengths, code and versions."""
    tokenizer, spec = codec.tokenizer, codec.spec
    fast = getattr(tokenizer, "backend_tokenizer", None)
    vocabulary = fast.to_str() if fast is not None else sorted(tokenizer.get_vocab().items())
    special = sorted((number, str(token)) for number, token in tokenizer.added_tokens_decoder.items())
    names = [type(tokenizer).__name__, tokenizer.chat_template, tokenizer.special_tokens_map, special]
    code = [file.read_text(encoding="utf-8") for file in closure(("rlhf.stages.rows_as_ids",))]
    return digest(
        {
            "kind": kind,
            "rows": rows.fingerprint,
            "tokenizer": [vocabulary, names],
            "template": spec.template.model_dump(exclude={"name"}),
            "family": spec.family,
            "lengths": [codec.max_prompt_tokens, codec.max_response_tokens],
            "packages": versions(("transformers", "tokenizers", "sentencepiece")),
            "code": code,
        }
    )
