"""The plan of a command line: jobs, stages, what each needs and costs, what does not fit, and the sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psutil
import torch

from rlhf.config import MethodSpec, NoQuantization, Run
from rlhf.evaluation import metrics as names
from rlhf.evaluation.cost.meter import resident_bytes
from rlhf.plan.duration import Cost, cost_of
from rlhf.plan.fit import Change, smallest_change
from rlhf.plan.lengths import work_of
from rlhf.plan.memory import Needs, needs
from rlhf.plan.stages import Corpora, JobPlan, StagePlan, device_of, plan_stages
from rlhf.ranks import world
from rlhf.stages.context import Device
from rlhf.store import RESULT, read_json

FIRST_USE = 120_000_000  # bytes of a CPU process beyond imports: kernels' code and buffers, token rows, freed heap
# Bytes more where bitsandbytes computes on a CPU: its library, and holes that its kernels' copies leave in the heap, of
# which PPO, where generation and updates take turns, leaves most. Fitted to tiny models, see docs/plan.md.
QUANTIZED_FIRST_USE, QUANTIZED_TURNS = 50_000_000, 80_000_000
CUDA_CONTEXT = 600_000_000  # bytes of GPU memory that CUDA and its libraries take before any tensor
GIGABYTE = 1e9


@dataclass(frozen=True)
class Entry:
    """A stage with all that is estimated of it."""

    stage: StagePlan
    needs: Needs
    cost: Cost
    room: int  # bytes of the device
    change: Change | None  # that makes it fit, where it does not

    @property
    def fits(self) -> bool:
        """Whether the device has enough memory, or nothing is left to build."""
        return self.stage.state == "reuse" or self.needs.total <= self.room


@dataclass(frozen=True)
class Plan:
    """All of it."""

    jobs: list[JobPlan]
    entries: dict[str, Entry]
    baseline: int
    baseline_source: str

    @cached_property
    def to_build(self) -> list[Entry]:
        """Stages that are to be trained."""
        return [entry for entry in self.entries.values() if entry.stage.state != "reuse"]

    def total(self, name: str) -> float | None:
        """Sum of seconds, usd or kwh over what is to be built; None where one is not known."""
        values = [getattr(entry.cost, name) for entry in self.to_build]
        return None if None in values else sum(values)

    def saved(self, name: str) -> float | None:
        """What the stages cost that are reused, or that several jobs share, beyond the one time they are built."""
        total = 0.0
        for entry in self.entries.values():
            value, times = getattr(entry.cost, name), len(entry.stage.jobs) - (entry.stage.state != "reuse")
            if times and value is None:
                return None
            total += times * (value or 0.0)
        return total


def imported_bytes() -> int:
    """Resident memory of this process once it has imported what a job imports: measured, here and now."""
    import rlhf.job  # noqa: F401

    return resident_bytes()


def process_bytes(run: Run, method: MethodSpec, device: Device, imported: int) -> int:
    """Memory of a job's process before any model, on its device; `imported`: on a CPU, once it has its libraries."""
    if device.kind != "cpu":
        return CUDA_CONTEXT
    own = imported + FIRST_USE
    if isinstance(run.quantization, NoQuantization):
        return own
    return own + QUANTIZED_FIRST_USE + (QUANTIZED_TURNS if method.learns_from_samples else 0)


def make_plan(checked: Sequence[tuple[tuple[str, ...], Run]], config_dir: str | None, baseline: int | None) -> Plan:
    """Plan checked jobs. `baseline`: bytes of a CPU process with its libraries; None measures this process."""
    source = "measured: this process with its libraries, and what their first use takes (docs/plan.md)"
    baseline = imported_bytes() if baseline is None else baseline
    corpora = Corpora()
    jobs, stages = plan_stages(checked, corpora)
    known: dict[str, Needs] = {}

    def needed(run: Run, method: MethodSpec) -> Needs:
        """Stages that differ in nothing that memory depends on are estimated once."""
        device, _ = device_of(run)
        work = work_of(run.model, method, corpora.of(run, method.data_shape), run.evaluation, world())
        own = process_bytes(run, method, device, baseline)
        shapes, starts = (work.rows, work.batch, work.evaluated), (method.starts_from, run.upstream.reward.starts_from)
        key = repr([run.model, _of_memory(method), run.adapter, run.quantization, device, shapes, starts])
        if key not in known:
            known[key] = needs(run, method, work, device, own)
        return known[key]

    def at(run: Run, place: str) -> int:
        places = {"method": run.method, "upstream.sft": run.upstream.sft, "upstream.reward": run.upstream.reward}
        return needed(run, places[place]).total

    entries: dict[str, Entry] = {}
    for fingerprint, stage in stages.items():
        found, room = needed(stage.run, stage.method), room_of(stage)
        change = None
        if found.total > room and stage.state != "reuse":
            words = jobs[stage.jobs[0] - 1].words
            change = smallest_change(stage.run, words, stage.place, config_dir, room, at)
        entries[fingerprint] = Entry(stage, found, _cost(stage, found), room, change)
    return Plan(jobs, entries, baseline, source)


def _of_memory(method: MethodSpec) -> dict[str, Any]:
    values = method.model_dump(exclude={"beta", "loss_type", "label_smoothing", "kl", "guard", "samples", "clip"})
    values["trainer"] = {
        key: value for key, value in method.trainer.items() if key not in ("learning_rate", "lr_scheduler_type")
    }
    return values


def _cost(stage: StagePlan, found: Needs) -> Cost:
    if stage.state == "reuse":
        metrics = read_json(stage.link.folder / RESULT)["metrics"]
        seconds, usd, kwh = (metrics.get(cost.name) for cost in (names.COST_SECONDS, names.COST_USD, names.COST_KWH))
        return Cost(seconds, usd, kwh, "measured: it is done")
    return cost_of(stage.run, stage.method, stage.work, found, stage.device)


def room_of(stage: StagePlan) -> int:
    """Bytes that the device has: as its hardware file says, else as this machine says."""
    if stage.run.hardware.memory_gb is not None:
        return round(stage.run.hardware.memory_gb * GIGABYTE)
    if stage.device.kind == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory)
    return int(psutil.virtual_memory().total)
