"""Models side by side, as study S0 had them in its README: size, what was trained, quality, cost, memory, suitability.

All of it is measured, but for memory on machines that a model was not trained on: that is planned from the bytes of its
weights, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import PositiveFloat

from rlhf.errors import UserError
from rlhf.evaluation import metrics as names
from rlhf.report.cells import duration, memory
from rlhf.report.outcome import asked
from rlhf.report.record import JobRecord
from rlhf.report.rows import Line, Lines, judges_of
from rlhf.report.savings import way_of
from rlhf.report.seeds import Group, group_jobs, unclear
from rlhf.report.sheets import NOTHING, Sheet, SheetCell, SheetColumn, Tone, sheet, turned
from rlhf.report.shown import COLUMNS, gain, plain, usd
from rlhf.report.taken import Taken, taken
from rlhf.spec import Share, Spec

GB = 1e9
ABOUT = (
    "Each model as it was trained, from measurements; intervals are over seeds, of one seed within the run; n is the "
    "number of held-out prompts or pairs; accuracy is over pairs. Grey is no clear difference from the model that "
    "training started from, green clearly better than every other model, both as in the comparison. nll of models with "
    "other tokenizers is not comparable, as they cut the same answer into other tokens."
)
SAME_JUDGE = "Rewards are, as the same judge scored them all."
OTHER_JUDGES = "Neither are rewards, reward gains and win rates, as different judges scored them."
MOST_COLUMNS = 7  # of models; more are lines
QUALITY = (  # of each the first kind that some model has
    (("nll", "final/nll", plain),), (("accuracy", "final/accuracy", plain),),
    (("gold", "final/reward_gold", plain), ("reward", "final/reward", plain)),
    (("gold gain", "final/reward_gold_difference", gain), ("reward gain", "final/reward_difference", gain)),
    (("win rate", "final/win_rate", plain),),
)  # fmt: skip
COSTS: tuple[tuple[str, names.Metric, Callable[[float], str]], ...] = (
    ("time", names.COST_SECONDS, duration), ("USD", names.COST_USD, usd),
    ("weights", names.COST_MODEL_BYTES, memory), ("on disk", names.COST_ARTIFACT_BYTES, memory),
)  # fmt: skip
LATENCY: tuple[tuple[str, str, Callable[[float], str]], ...] = (
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


def models_sheets(jobs: Sequence[JobRecord], lines: Lines, thresholds: Suitability | None) -> list[Sheet]:
    """The table of models, a column each (a line each where they are many); none where all jobs share one.

    What is no clear difference in the comparison's `lines` is none here.
    """
    groups = [group for group in group_jobs(jobs) if group.finished]
    if len({model_of(group.jobs[0]) for group in groups}) < 2:
        return []
    rows = [(SheetCell(title), *(of(group) for group in groups)) for title, of in _lines(groups, lines)]
    if thresholds:
        rows += [(SheetCell(use), *cells) for use, cells in _suits(groups, thresholds).items()]
    rows = [row for row in rows if any(cell.text != NOTHING.text for cell in row[1:])]
    columns = [SheetColumn("", number=False), *(SheetColumn(model_of(group.jobs[0])) for group in groups)]
    notes = [_says(thresholds)] if thresholds else []
    found = sheet("models", "Models", f"{ABOUT} {_of_judges(groups)}".strip(), columns, rows, notes)
    return [turned(found) if len(groups) > MOST_COLUMNS else found]


def _of_judges(groups: Sequence[Group]) -> str:
    """Whether rewards are comparable: where one judge scored all (of each seed one). Nothing where none is known."""
    judges = {judges_of(group) for group in groups}
    if len(judges) > 1:
        return OTHER_JUDGES
    return SAME_JUDGE if any(map(any, judges)) else ""


def _lines(groups: Sequence[Group], lines: Lines) -> list[tuple[str, Callable[[Group], SheetCell]]]:
    """What is told of each model, in order: a title, and how it is read from a group of seeds."""
    had = {name for group in groups for job in group.finished for name in job.outcome["metrics"]}
    costs = [(title, cost.name, text) for title, cost, text in COSTS]
    quality = [(title, name, text) for kinds in QUALITY for title, name, text in kinds if name in had]
    first = {kind[0][1]: next((one[1] for one in kind if one[1] in had), "") for kind in QUALITY}
    chosen = [line for line in quality if line[1] in first.values()]
    measured = [*chosen, *costs[:2]], [*costs[2:], *LATENCY]
    policies = {line.jobs: line for line in lines.lines if line.role == "policy"}
    before, after = ([(title, _reader(name, text, policies)) for title, name, text in part] for part in measured)
    of_all = [("method", _method), ("seeds", _seeds), ("n", _asked), ("parameters", _parameters), ("trained", _trained)]
    return [*of_all, *before, ("memory", _memory), *after]


def _reader(
    name: str, text: Callable[[float], str], policies: Mapping[tuple[int, ...], Line]
) -> Callable[[Group], SheetCell]:
    shown = next((column for column in COLUMNS if column.metric.name == name), None)

    def read(group: Group) -> SheetCell:
        line = policies[tuple(job.number for job in group.jobs)]
        best: Tone = "good" if name in line.best else ""
        estimate = line.cells.get(name)
        if shown is None or shown.null is None or estimate is None:
            return replace(_cell(taken(group, name), text), tone=best)
        told = Taken(estimate.value, estimate.low, estimate.high, estimate.n, line.n)
        return replace(_cell(told, text), tone="unclear" if unclear(shown, estimate, line.tests.get(name)) else best)

    return read


def _method(group: Group) -> SheetCell:
    job = group.finished[0]
    return SheetCell(str(job.outcome["name"]).partition("-")[0].upper(), way_of(job))


def _seeds(group: Group) -> SheetCell:
    return SheetCell(str(len(group.finished)))


def _asked(group: Group) -> SheetCell:
    n = min(asked(job.outcome) for job in group.finished)
    return SheetCell(str(n)) if n else NOTHING


def _parameters(group: Group) -> SheetCell:
    total = taken(group, names.COST_PARAMETERS.name)
    return SheetCell(count(total.value)) if total else NOTHING


def _trained(group: Group) -> SheetCell:
    total, trained = (taken(group, cost.name) for cost in (names.COST_PARAMETERS, names.COST_TRAINABLE_PARAMETERS))
    return SheetCell(f"{trained.value / total.value:.2%}", count(trained.value)) if total and trained else NOTHING


def _cell(value: Taken | None, text: Callable[[float], str]) -> SheetCell:
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


def _suits(groups: Sequence[Group], thresholds: Suitability) -> dict[str, list[SheetCell]]:
    """By use, such as `train on T4`: a cell per group."""
    found = [fits(group, thresholds) for group in groups]
    uses = dict.fromkeys(use for own in found for use in own)
    return {use: [_fit(own[use]) if use in own else NOTHING for own in found] for use in uses}


def _fit(found: tuple[bool, str]) -> SheetCell:
    does, basis = found
    return SheetCell("yes" if does else "no", basis, "good" if does else "bad")


def _says(thresholds: Suitability) -> str:
    machines = {**thresholds.train, **thresholds.run}
    sizes = ", ".join(f"{name} {machine.memory_gb:g} GB" for name, machine in machines.items())
    return (
        f"Yes is at most {thresholds.share:.0%} of the memory ({sizes}). Training is the peak measured on a GPU, else "
        f"planned: the weights as loaded + {thresholds.plan.per_trained:g} bytes per trained parameter, activations "
        f"left out; running is the weights + {thresholds.run_overhead:.0%}."
    )


def count(value: float) -> str:
    """`350,208`, `124.4 M`, `1.24 B`."""
    if value < 1e6:
        return f"{value:,.0f}"
    return f"{value / 1e6:.1f} M" if value < 1e9 else f"{value / 1e9:.2f} B"
