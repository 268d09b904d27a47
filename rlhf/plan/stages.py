"""All jobs of a command line and the stages below them: each stage once, with who needs it and whether it is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from rlhf import ranks
from rlhf.config import MethodSpec, Run
from rlhf.data import load_corpus
from rlhf.data.rows import Corpus, Shape
from rlhf.lineage import Lineage, Link
from rlhf.plan.lengths import Work, work_of
from rlhf.stages.context import Device
from rlhf.stages.device import DTYPES, choose_device
from rlhf.store import PARTIAL, RESULT, is_whole, read_json

State = Literal["reuse", "resume", "build"]


@dataclass(frozen=True)
class JobPlan:
    """One job of the command line."""

    number: int  # from 1 on
    words: tuple[str, ...]
    run: Run
    device: Device
    stages: tuple[str, ...]  # fingerprints, in the order in which they are built


@dataclass
class StagePlan:
    """One stage, shared by all jobs that need it."""

    link: Link
    run: Run  # of the first job that needs it
    device: Device
    state: State
    corpus: Corpus
    jobs: list[int] = field(default_factory=list)

    @property
    def method(self) -> MethodSpec:
        """Its settings."""
        return self.link.method

    @property
    def place(self) -> str:
        """Where its settings stand in the configuration of its first job."""
        known = {"method": self.run.method, "upstream.sft": self.run.upstream.sft}
        return next((place for place, method in known.items() if method == self.method), "upstream.reward")

    @cached_property
    def work(self) -> Work:
        """What it goes through."""
        return work_of(self.run.model, self.method, self.corpus, self.run.evaluation, ranks.world())


class Corpora:
    """Data sets by settings and shape, each read once for all jobs."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Shape], Corpus] = {}

    def of(self, run: Run, shape: Shape) -> Corpus:
        """Return the run's data in `shape`."""
        key = (run.dataset.model_dump_json(), shape)
        if key not in self._known:
            self._known[key] = load_corpus(run.dataset, shape, Path(run.store))
        return self._known[key]


def device_of(run: Run) -> tuple[Device, bool]:
    """Return the device a job will have, and whether it is on this machine.

    A GPU that its hardware file describes may be planned for where there is none: that is what a plan is for.
    """
    import torch

    if run.hardware.device != "cuda" or torch.cuda.is_available():
        return choose_device(run), True
    best = "bf16" if "bf16" in run.hardware.peak_flops else "fp32"
    precision = best if run.precision == "auto" else run.precision
    return Device("cuda", precision, DTYPES[precision], DTYPES["fp32"]), False


def plan_stages(
    checked: Sequence[tuple[tuple[str, ...], Run]], corpora: Corpora
) -> tuple[list[JobPlan], dict[str, StagePlan]]:
    """Name the stages of all jobs. Raises `UserError` for data and reward sources that cannot be read."""
    jobs, stages = [], {}
    for number, (words, run) in enumerate(checked, start=1):
        device, _ = device_of(run)
        lineage = Lineage(run, device.kind, device.precision, partial(_fingerprint, run, corpora))
        links = lineage.stages()
        for link in links:
            if link.fingerprint not in stages:
                corpus = corpora.of(run, link.method.data_shape)
                stages[link.fingerprint] = StagePlan(link, run, device, _state(link, run), corpus)
            stages[link.fingerprint].jobs.append(number)
        jobs.append(JobPlan(number, words, run, device, tuple(link.fingerprint for link in links)))
    return jobs, stages


def _fingerprint(run: Run, corpora: Corpora, shape: str) -> str:
    return corpora.of(run, shape).fingerprint  # type: ignore[arg-type]  # a ClassVar of Method


def _state(link: Link, run: Run) -> State:
    if not run.reuses(link.method.name):
        return "build"
    result = read_json(link.folder / RESULT)
    if result.get("fingerprint") == link.fingerprint and is_whole(link.folder, result):
        return "reuse"
    begun = Path(f"{link.folder}{PARTIAL}")
    return "resume" if any(begun.glob("checkpoints/checkpoint-*/whole.json")) else "build"
