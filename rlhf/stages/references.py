"""Log-probabilities of preference pairs under the frozen start: computed once, kept beside the stages, read by others.

They are the same at every step and in every stage that starts from the same weights and sees the same pairs, so a sweep
over a loss or its temperature runs the reference once, and no stage loads it a second time.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets import Dataset
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf import ranks
from rlhf.config import MethodSpec, Run
from rlhf.disk import locked
from rlhf.fingerprint import environment, file_sizes
from rlhf.store import PARTIAL, RESULT, VALUES, file_sums, is_whole, lock_of, read_json, write_json

COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")  # as TRL's collator reads them
Pair = tuple[Tensor, Tensor]  # each (rows,): sums over the tokens of the chosen and of the rejected answers


def computed_before(run: Run, method: MethodSpec, precision: str, rows: int) -> bool:
    """Whether the reference is run once before training on `rows` pairs: where it is less work for the same numbers.

    The numbers are the same in float32 on one process. In bf16 and fp16 a row's depend on its batch, and TRL casts the
    adapter of quantized weights after this. Work is saved where training sees every pair at least once.
    `method.trainer.precompute_ref_log_probs` says otherwise.
    """
    trainer = method.trainer
    if (asked := trainer.get("precompute_ref_log_probs")) is not None:
        return bool(asked)
    moving = trainer.get("sync_ref_model") or trainer.get("disable_dropout") is False
    same = precision == "fp32" and run.quantization.name == "none" and not moving and not shared()
    return same and passes(trainer, rows) >= 1


def passes(trainer: Mapping[str, Any], rows: int) -> float:
    """How often training goes over its rows, by the trainer's settings (transformers' own where they are left out)."""
    if (steps := int(trainer.get("max_steps", -1))) > 0:
        batch = trainer.get("per_device_train_batch_size", 8) * trainer.get("gradient_accumulation_steps", 1)
        return steps * int(batch) / rows
    return float(trainer.get("num_train_epochs", 3.0))


def shared() -> bool:
    """Whether several processes share the stage, or a part of the weights is all that this one has."""
    return ranks.world() > 1 or any(name.startswith(("ACCELERATE_USE", "FSDP")) for name in environment())


class References:
    """The reference's numbers of one stage's pairs, a file for each part. `folder` None: they are not kept."""

    def __init__(self, folder: Path | None, *, take: bool, model: str) -> None:
        self.folder, self.take, self.model = folder, take, model
        self.seconds = 0.0  # that computing them took, now or before
        self.waited = 0.0  # seconds for another job that computed them
        self.read = False  # whether an earlier stage computed them
        self._parts: dict[str, dict[str, Tensor]] = {}
        self._fresh: set[str] = set()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep other jobs waiting while a trainer asks for its parts; what had to be computed is written at the end."""
        if self.folder is None:
            yield
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        with locked(lock_of(self.folder)):
            self.waited = time.perf_counter() - start
            self._read(self.folder)
            yield
            if self._fresh:
                self._write(self.folder)

    def add(self, rows: Dataset, part: str, compute: Callable[[], Pair]) -> Dataset:
        """Return `rows` with the reference's two columns."""
        values = self._parts.get(part)
        if values is None or len(values[COLUMNS[0]]) != len(rows):
            start = time.perf_counter()
            values = dict(zip(COLUMNS, compute(), strict=True))
            self.seconds += time.perf_counter() - start
            self._parts[part] = values
            self._fresh.add(part)
        for name in COLUMNS:
            rows = rows.add_column(name, values[name].tolist())
        return rows

    def _read(self, folder: Path) -> None:
        result = read_json(folder / RESULT)
        if self.take and is_whole(folder, result, VALUES):
            self._parts = {file.stem: load_file(file) for file in sorted((folder / VALUES).glob("*.safetensors"))}
            self.seconds, self.read = float(result["seconds"]), True

    def _write(self, folder: Path) -> None:
        work = folder.with_name(f"{folder.name}{PARTIAL}")
        shutil.rmtree(work, ignore_errors=True)
        (work / VALUES).mkdir(parents=True)
        for part, values in self._parts.items():
            save_file({name: values[name].contiguous() for name in COLUMNS}, work / VALUES / f"{part}.safetensors")
        sizes, sums = file_sizes(work / VALUES), file_sums(work, (VALUES,))
        result = {"fingerprint": folder.name, "model": self.model, "seconds": self.seconds}
        write_json(work / RESULT, result | {"sizes": sizes, "sums": sums})
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(work, folder)
