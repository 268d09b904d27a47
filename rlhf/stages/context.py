"""What a stage is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from rlhf.config import MethodSpec, Run
from rlhf.data.rows import Corpus
from rlhf.models.codec import Codec
from rlhf.models.load import Source

if TYPE_CHECKING:
    from rlhf.evaluation.cost.meter import CostMeter
    from rlhf.tracking import NullRun, TrackedRun


@dataclass(frozen=True)
class Device:
    """Where and in what precision a job computes."""

    kind: str  # cpu | cuda
    precision: str  # fp32 | bf16 | fp16
    dtype: torch.dtype  # of weights that are not trained in full
    trained_dtype: torch.dtype  # of weights that are: always float32, mixed precision autocasts them


Watching = Callable[[int, int, Mapping[str, float]], None]  # step, of how many, the numbers logged there by name


@dataclass(frozen=True)
class StageContext:
    """Everything one stage may look at; it writes below `folder` and to `tracked` only."""

    run: Run
    method: MethodSpec
    source: Source  # the weights it starts from
    corpus: Corpus  # in the method's own shape
    codec: Codec
    device: Device
    folder: Path  # unfinished: renamed by the pipeline when the stage returns
    tracked: TrackedRun | NullRun
    meter: CostMeter
    console: Console
    judge: Path | None  # folder of the finished reward stage, for a method that learns from one
    watching: Watching | None  # told of all that is logged; ends the stage by raising
    references: Path | None  # folder of log-probabilities under the frozen start; None: they are not kept
    store: Path | None = None  # where token ids of large data are kept; None: they are not

    def load(self, loader: Callable[..., Any], source: Source | None = None) -> Any:
        """Load the starting weights (or those of `source`) with `load_policy` or `load_scorer`."""
        return loader(
            self.run.model,
            source or self.source,
            self.run.quantization,
            dtype=self.weights_dtype,
            device=self.device.kind,
            seed=self.run.seed,
        )

    @property
    def weights_dtype(self) -> torch.dtype:
        """Float32 for full fine-tuning (mixed precision autocasts), the precision's own under an adapter."""
        return self.device.trained_dtype if self.run.adapter.name == "none" else self.device.dtype


@dataclass(frozen=True)
class StageResult:
    """What a finished stage leaves in its folder as `result.json`."""

    metrics: Mapping[str, float]
    curves: Mapping[str, list[tuple[int, float]]]  # metric -> (step, value)


StageFunction = Callable[[StageContext], StageResult]


def as_json(result: StageResult) -> dict[str, Any]:
    """Return the plain values of `result.json`."""
    return {
        "metrics": dict(result.metrics),
        "curves": {name: [list(point) for point in points] for name, points in result.curves.items()},
    }
