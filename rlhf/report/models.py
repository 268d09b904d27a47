"""Models side by side, as study S0 had them in its README: size, what was trained, quality, cost, memory, suitability.

All of it is measured, but for memory on machines that a model was not trained on: that is planned from the bytes of its
weights, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveFloat

from rlhf.errors import UserError
from rlhf.evaluation import metrics as names
from rlhf.report.cells import duration, memory
from rlhf.report.measured import Taken, taken
from rlhf.report.record import JobRecord
from rlhf.report.savings import way_of
from rlhf.report.seeds import Group, group_jobs
from rlhf.report.sheets import NOTHING, Sheet, SheetCell, SheetColumn, sheet
from rlhf.report.shown import gain, plain, usd
from rlhf.spec import Share, Spec

GB = 1e9
ABOUT = (
    "One line per model and way of training, all from measurements. nll of models with different tokenizers is not "
    "comparable: another tokenizer cuts the same answer into other tokens. Rewards are."
)
QUALITY = (
    ("nll", "final/nll", plain), ("reward", "final/reward", plain), ("gold", "final/reward_gold", plain),
    ("gold gain", "final/reward_gold_difference", gain), ("win rate", "final/win_rate", plain),
    ("accuracy", "final/accuracy", plain),
)  # fmt: skip
LATENCY = (
    ("latency, median", "latency/seconds_median", lambda value: f"{value:.2g} s"),
    ("latency, p95", "latency/seconds_p95", lambda value: f"{value:.2g} s"),
    ("tokens/s", "latency/tokens_per_second", lambda value: f"{value:,.0f}"),
)


class Machine(Spec):
    """A machine that a model may fit on."""

    memory_gb: PositiveFloat
    device: Literal["cuda", "cpu"]


class Plan(Spec):
    """Bytes per parameter where no peak was measured."""

    per_trained: PositiveFloat


class Suitability(Spec):
    """Thresholds of memory, from conf/suitability."""

    share: Share
    train: dict[str, Machine]
    run: dict[str, Machine]
    run_overhead: float
    plan: Plan


def read_suitability(file: Path) -> Suitability:
    """Read the thresholds; raises `UserError` where the file is wrong."""
    import yaml
    from pydantic import ValidationError

    try:
        return Suitability.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise UserError(str(file), " ".join(str(error).split())[:200], "Mend the file") from None


def model_of(job: JobRecord) -> str:
    """The model's name."""
    return job.value("model") or str(job.outcome["name"]).partition("-")[2]


def models_sheets(jobs: Sequence[JobRecord], thresholds: Suitability | None) -> list[Sheet]:
    """The table of models; none where all finished jobs have one and the same."""
    groups = [group for group in group_jobs(jobs) if group.finished]
    if len({model_of(group.jobs[0]) for group in groups}) < 2:
        return []
    columns = [SheetColumn("model", number=False), SheetColumn("method", number=False)]
    columns += [SheetColumn("parameters", names.COST_PARAMETERS.meaning), SheetColumn("trained", "counted")]
    columns += [SheetColumn(title, name) for title, name, _ in QUALITY]
    columns += [SheetColumn("time", names.COST_SECONDS.meaning), SheetColumn("USD", names.COST_USD.meaning)]
    columns += [SheetColumn("memory", names.COST_PEAK_MEMORY_BYTES.meaning), SheetColumn("on disk")]
    columns += [SheetColumn(title, name) for title, name, _ in LATENCY]
    columns += [SheetColumn("suits", "by the thresholds of conf/suitability/default.yaml", number=False)]
    rows = [_row(group, thresholds) for group in groups]
    notes = [_says(thresholds)] if thresholds else []
    return [sheet("models", "Models", ABOUT, columns, rows, notes)]


def _row(group: Group, thresholds: Suitability | None) -> list[SheetCell]:
    job = group.finished[0]
    total, trained = (taken(group, cost.name) for cost in (names.COST_PARAMETERS, names.COST_TRAINABLE_PARAMETERS))
    share = f"{trained.value / total.value:.2%}" if total and trained else ""
    method = str(job.outcome["name"]).partition("-")[0]
    cells = [
        SheetCell(model_of(job), f"{len(group.finished)} seeds" if len(group.finished) > 1 else ""),
        SheetCell(method.upper(), way_of(job)),
        SheetCell(count(total.value)) if total else NOTHING,
        SheetCell(share, count(trained.value)) if trained else NOTHING,
    ]
    cells += [_cell(taken(group, name), text) for _, name, text in QUALITY]
    cells += [_cell(taken(group, names.COST_SECONDS.name), duration), _cell(taken(group, names.COST_USD.name), usd)]
    cells += [_memory(group), _cell(taken(group, names.COST_ARTIFACT_BYTES.name), memory)]
    cells += [_cell(taken(group, name), text) for _, name, text in LATENCY]
    return [*cells, _suits(group, thresholds) if thresholds else NOTHING]


def _cell(value: Taken | None, text: Any) -> SheetCell:
    if value is None:
        return NOTHING
    interval = f"{text(value.low)} to {text(value.high)}" if value.low is not None and value.high is not None else ""
    return SheetCell(text(value.value), interval)


def _memory(group: Group) -> SheetCell:
    """The peak where it was computed, and of a GPU run that of the host as well."""
    peak, host = (taken(group, cost.name) for cost in (names.COST_PEAK_MEMORY_BYTES, names.COST_PEAK_HOST_BYTES))
    if peak is None:
        return NOTHING
    gpu = _on_gpu(group)
    return SheetCell(memory(peak.value), f"host {memory(host.value)}" if gpu and host else "" if gpu else "host")


def _on_gpu(group: Group) -> bool:
    found = taken(group, names.COST_GPU_SECONDS.name)
    return bool(found and found.value)


def fits(group: Group, thresholds: Suitability) -> dict[str, tuple[bool, str]]:
    """For each use, such as `train on T4`: whether it fits, and where the bytes are from: `measured` or `planned`.

    Training on a GPU takes the peak measured on one, else weights + 12 bytes per trained parameter; running takes the
    weights and a share more. Uses for which the run has no numbers are left out.
    """
    size, trained = (taken(group, cost.name) for cost in (names.COST_MODEL_BYTES, names.COST_TRAINABLE_PARAMETERS))
    peak = taken(group, names.COST_PEAK_MEMORY_BYTES.name) if _on_gpu(group) else None
    found: dict[str, tuple[bool, str]] = {}
    needed: dict[str, tuple[Mapping[str, Machine], float, str]] = {}
    if peak is not None:
        needed["train on"] = (thresholds.train, peak.value, "measured")
    elif size and trained:
        needed["train on"] = (thresholds.train, size.value + thresholds.plan.per_trained * trained.value, "planned")
    if size:
        needed["run on"] = (thresholds.run, size.value * (1 + thresholds.run_overhead), "planned")
    for use, (machines, size_needed, basis) in needed.items():
        for name, machine in machines.items():
            found[f"{use} {name}"] = (size_needed <= thresholds.share * machine.memory_gb * GB, basis)
    return found


def _suits(group: Group, thresholds: Suitability) -> SheetCell:
    found = fits(group, thresholds)
    if not found:
        return NOTHING
    yes = [use for use, (does, _) in found.items() if does]
    no = [use for use, (does, _) in found.items() if not does]
    planned = all(basis == "planned" for _, basis in found.values())
    told = f"not: {', '.join(no)}; " if no else ""
    return SheetCell(", ".join(yes) or "none of them", told + ("planned" if planned else "training measured"))


def _says(thresholds: Suitability) -> str:
    machines = {**thresholds.train, **thresholds.run}
    sizes = ", ".join(f"{name} {machine.memory_gb:g} GB" for name, machine in machines.items())
    return (
        f"Suits: at most {thresholds.share:.0%} of {sizes}. Training is the peak measured on a GPU, else planned: the "
        f"weights as loaded + {thresholds.plan.per_trained:g} bytes per trained parameter, activations left out; "
        f"running is the weights + {thresholds.run_overhead:.0%}."
    )


def count(value: float) -> str:
    """`350,208`, `124.4 M`, `1.24 B`."""
    if value < 1e6:
        return f"{value:,.0f}"
    return f"{value / 1e6:.1f} M" if value < 1e9 else f"{value / 1e9:.2f} B"
