"""What cheaper ways of training saved, measured: each run against the full fine-tune that was made beside it.

A saving is a ratio of two runs that were both made, never an assumption. It is told at the same tokens, and to the same
held-out loss: a run that is cheaper per token and needs more of them saves less. Quality stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from rlhf.evaluation import metrics as names
from rlhf.evaluation.cost.meter import ENERGY_SOURCE
from rlhf.report.ratios import Missing, Ratio, correct, over_seeds
from rlhf.report.record import JobRecord
from rlhf.report.seeds import Group, group_jobs

WAYS = ("tuning", "adapter", "quantization")  # groups of settings in which a cheaper way differs from the full one
SAME_TOKENS = 0.01  # share by which two runs on the same tokens may differ
CLOCKS_APART = 0.1  # share by which wall-clock and processor time of two runs on a CPU may disagree
LOSS = "eval/loss"
TOO_EARLY = "reached before the first evaluation"
COSTS = (
    names.COST_SECONDS, names.COST_CPU_SECONDS, names.COST_USD, names.COST_KWH, names.COST_FLOPS,
    names.COST_PEAK_MEMORY_BYTES, names.COST_PEAK_HOST_BYTES, names.COST_MODEL_BYTES, names.COST_ARTIFACT_BYTES,
    names.COST_TRAINABLE_PARAMETERS,
)  # fmt: skip
SPENT = (  # evenly over the steps of training
    names.COST_SECONDS, names.COST_CPU_SECONDS, names.COST_USD, names.COST_KWH, names.COST_FLOPS,
)  # fmt: skip


@dataclass(frozen=True)
class Reach:
    """Where a held-out loss was first reached in one run; `at_most` where its first evaluation is below it already."""

    step: float
    share: float  # of all steps
    at_most: bool


@dataclass
class Way:
    """One way of training: a group of seeds, and its ratios to the baseline; those of the baseline itself are empty."""

    label: str
    group: Group
    baseline: bool
    ratios: dict[str, Ratio | Missing] = field(default_factory=dict)  # by cost, at the same tokens
    to_common: dict[str, Ratio | Missing] = field(default_factory=dict)  # by cost, to the loss that all reach
    to_best: dict[str, Ratio | Missing] = field(default_factory=dict)  # by cost, to the baseline's best loss


@dataclass(frozen=True)
class Savings:
    """A full fine-tune and what was made beside it, which differ in adapter and quantization alone."""

    name: str  # method and model
    ways: tuple[Way, ...]  # the baseline first
    common_loss: float | None  # the best held-out loss that every run reaches
    best_loss: float | None  # the baseline's best, mean over its seeds
    notes: tuple[str, ...]


def find_savings(jobs: Sequence[JobRecord]) -> list[Savings]:
    """Return the comparisons with a full fine-tune that the jobs hold; none where it stands alone or is not there."""
    alike: dict[tuple[Any, ...], list[Group]] = {}
    for group in group_jobs(jobs):
        if group.finished:
            alike.setdefault(_rest(group.jobs[0]), []).append(group)
    return [
        _compare(full, [group for group in groups if group is not full])
        for groups in alike.values()
        if (full := next((group for group in groups if is_full(group.jobs[0])), None)) and len(groups) > 1
    ]


def way_of(job: JobRecord) -> str:
    """`full`, `LoRA`, `LoRA on nf4`; other adapters and settings of the adapter by their own names."""
    adapter, quantization = job.value("adapter") or "none", job.value("quantization") or "none"
    shown = {"none": "full", "lora": "LoRA"}.get(adapter, adapter)
    own = [f"{key.rpartition('.')[2]}={value}" for key, value in job.settings.items() if key.startswith("adapter.")]
    return " ".join([shown, *own, *([f"on {quantization}"] if quantization != "none" else [])])


def is_full(job: JobRecord) -> bool:
    """Whether every weight was trained, as it was loaded."""
    return (job.value("adapter") or "none") == (job.value("quantization") or "none") == "none"


def _rest(job: JobRecord) -> tuple[Any, ...]:
    """What two runs must share to be compared: all that was said of them but the way of training, and the seed."""
    said = sorted((k, v) for k, v in job.settings.items() if k.partition(".")[0] not in (*WAYS, "seed"))
    return (job.outcome["name"], *said)


def _compare(full: Group, others: Sequence[Group]) -> Savings:
    ways = [Way(way_of(group.jobs[0]), group, group is full) for group in (full, *others)]
    curves = {job.number: _curve(job) for way in ways for job in way.group.finished}
    least = [min(loss for _, loss in points) for points in curves.values() if points]
    common = max(least) if least and len(least) == len(curves) else None
    of_full = {job.number: min(loss for _, loss in curves[job.number]) for job in full.finished if curves[job.number]}
    for way in ways[1:]:
        pairs = _pairs(full, way.group)
        best_of_pair = of_full | {ours.number: of_full[base.number] for base, ours in pairs if base.number in of_full}
        way.ratios = {cost.name: ratio_of(full, way.group, cost.name) for cost in COSTS}
        for cost in SPENT if least else ():
            way.to_common[cost.name] = _ratio_to(pairs, cost.name, dict.fromkeys(curves, common))
            way.to_best[cost.name] = _ratio_to(pairs, cost.name, best_of_pair)
    correct([kind for way in ways for kind in (way.ratios, way.to_common, way.to_best)])
    best = fmean(of_full.values()) if of_full else None
    return Savings(str(full.jobs[0].outcome["name"]), tuple(ways), common, best, tuple(_notes(ways)))


def _pairs(full: Group, other: Group) -> list[tuple[JobRecord, JobRecord]]:
    """The same seed of both; where they share none, nothing is compared."""
    bases = {job.value("seed"): job for job in full.finished}
    return [(bases[seed], job) for job in other.finished if (seed := job.value("seed")) in bases]


def ratio_of(full: Group, other: Group, cost: str) -> Ratio | Missing:
    """The ratio of a cost at the same tokens."""
    pairs = _pairs(full, other)
    if not pairs:
        return Missing("no seed in common")
    found = []
    for base, ours in pairs:
        if (why := _apart(base, ours, cost)) is not None:
            return Missing(why)
        found.append(ours.outcome["metrics"][cost] / base.outcome["metrics"][cost])
    return over_seeds(found)


def _apart(base: JobRecord, ours: JobRecord, cost: str) -> str | None:
    """Why a cost of two runs is not to be compared; None where it is."""
    theirs, own = base.outcome["metrics"], ours.outcome["metrics"]
    if own.get(cost) is None or not theirs.get(cost):
        return "not measured"
    if cost == names.COST_KWH.name and base.outcome.get(ENERGY_SOURCE) != ours.outcome.get(ENERGY_SOURCE):
        return "measured in different ways"
    tokens = names.COST_TOKENS.name
    if theirs.get(tokens) and own.get(tokens) and abs(own[tokens] / theirs[tokens] - 1) > SAME_TOKENS:
        return "other tokens"
    return None


def _ratio_to(
    pairs: Sequence[tuple[JobRecord, JobRecord]], cost: str, targets: Mapping[int, float | None]
) -> Ratio | Missing:
    """The ratio of what two runs had cost when each first reached its target."""
    found = []
    for base, ours in pairs:
        if (why := _apart(base, ours, cost)) is not None:
            return Missing(why)
        reached = [reach(_curve(job), targets.get(job.number), last_step(job)) for job in (base, ours)]
        if reached[1] is None:
            return Missing("never")
        if reached[0] is None:
            return Missing("not measured")
        if any(at.at_most or not at.share for at in reached if at):  # a bound on a cost gives no ratio
            return Missing(TOO_EARLY)
        spent = [job.outcome["metrics"][cost] * at.share for job, at in zip((base, ours), reached, strict=True) if at]
        found.append(spent[1] / spent[0])
    return over_seeds(found) if found else Missing("no seed in common")


def reach(curve: Sequence[tuple[float, float]], target: float | None, last: float) -> Reach | None:
    """Where a curve of (step, held-out loss) first comes down to `target`, linear between its points; None for never.

    Below it at its first point, it was there at that step at most. `last` is the last step of training.
    """
    if target is None or not last:
        return None
    for place, (step, loss) in enumerate(curve):
        if loss > target:
            continue
        if place == 0:
            return Reach(step, step / last, at_most=step > 0)
        before, above = curve[place - 1]
        at = before + (step - before) * (above - target) / (above - loss)
        return Reach(at, at / last, at_most=False)
    return None


def last_step(job: JobRecord) -> float:
    """The last step that any of its curves tells."""
    return max((float(points[-1][0]) for points in job.outcome["curves"].values() if points), default=0.0)


def _curve(job: JobRecord) -> list[tuple[float, float]]:
    return [(float(step), float(loss)) for step, loss in job.outcome["curves"].get(LOSS) or ()]


def _notes(ways: Sequence[Way]) -> list[str]:
    """What a reader must know of these runs."""
    jobs = [job for way in ways for job in way.group.finished]
    notes = []
    machines = {repr(_hardware(job)) for job in jobs}
    if len(machines) > 1:
        notes.append("the runs were made on different machines, which their times, energy and memory compare as well")
    if any(len(way.group.finished) == 1 for way in ways):
        notes.append("one seed: how far time, memory and quality vary by themselves is not known; add seed=1,2,3")
    sources = {str(job.outcome.get(ENERGY_SOURCE) or "") for job in jobs}
    if sources & {"rated"}:
        notes.append("kWh by rated watts is time under another name, not a measurement")
    apart = [way.label for way in ways[1:] if not _on_gpu(jobs) and _clocks_differ(way)]
    if apart:
        told = "the clock and the processor's time disagree by more than a tenth: other work ran on the machine"
        notes.append(f"{', '.join(apart)}: {told}, go by the processor's")
    if not any(_curve(job) for job in jobs):
        notes.append("no run has a curve of held-out loss: costs to the same loss are not known")
    return notes


def _clocks_differ(way: Way) -> bool:
    clock, busy = (way.ratios[cost.name] for cost in (names.COST_SECONDS, names.COST_CPU_SECONDS))
    if isinstance(clock, Missing) or isinstance(busy, Missing):
        return False
    return abs(clock.value / busy.value - 1) > CLOCKS_APART


def _on_gpu(jobs: Sequence[JobRecord]) -> bool:
    return any(job.outcome["metrics"].get(names.COST_GPU_SECONDS.name) for job in jobs)


def _hardware(job: JobRecord) -> Mapping[str, Any]:
    facts = job.outcome.get("machine") or {}
    return {name: value for name, value in facts.items() if name.startswith("hardware.")}
