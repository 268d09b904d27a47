"""The plan as tables for the terminal and as plain values for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rlhf.plan.memory import Needs
from rlhf.plan.whole import Entry, Plan

COLUMNS = ("baseline", "weights", "adapters", "optimizer", "gradients", "activations", "logits", "KV cache")
ROLES = ("policy", "reference", "critic", "reward")
MANY = 12  # jobs of which no more are shown line by line


def name_of(entry: Entry) -> str:
    """Method and model, with the stage's short fingerprint."""
    return entry.stage.link.folder.name


def parts_of_needs(needs: Needs) -> dict[str, int]:
    """Bytes by component at the stage's peak."""
    peak = needs.peak
    values = (needs.baseline, peak.weights, peak.adapters, peak.optimizer)
    return dict(zip(COLUMNS, (*values, peak.gradients, peak.activations, peak.logits, peak.cache), strict=True))


def show(plan: Plan, console: Console) -> None:
    """Print jobs, stages, memory, what does not fit, and the sums."""
    console.print(_jobs(plan))
    console.print(_stages(plan))
    console.print(_memory(plan))
    for line in _notes(plan):
        console.print(line, highlight=False, soft_wrap=True)


def _jobs(plan: Plan) -> Table:
    table = Table(title=f"{len(plan.jobs)} job{'s' * (len(plan.jobs) != 1)}", title_justify="left")
    for column in ("#", "words", "stages"):
        table.add_column(column, overflow="fold")
    for job in plan.jobs[:MANY]:
        names = (name_of(plan.entries[fingerprint]) for fingerprint in job.stages)
        table.add_row(str(job.number), escape(" ".join(job.words) or "(defaults)"), " > ".join(names))
    if len(plan.jobs) > MANY:
        table.add_row("...", f"and {len(plan.jobs) - MANY} more", "")
    return table


def _stages(plan: Plan) -> Table:
    table = Table(title="stages, each once", title_justify="left")
    for column in ("stage", "state", "jobs", "steps", "time", "USD", "kWh", "basis"):
        table.add_column(
            column, overflow="fold", justify="right" if column in ("steps", "time", "USD", "kWh") else "left"
        )
    style = {"reuse": "green", "resume": "cyan", "build": "bold"}
    for entry in plan.entries.values():
        stage, cost = entry.stage, entry.cost
        state = f"[{style[stage.state]}]{stage.state}[/]"
        steps, needed = str(stage.work.steps), _numbers(stage.jobs)
        money = (clock(cost.seconds), _number(cost.usd), _number(cost.kwh))
        table.add_row(name_of(entry), state, needed, steps, *money, cost.basis)
    return table


def _memory(plan: Plan) -> Table:
    table = Table(title="peak memory in GB", title_justify="left")
    for column in ("stage", "at", *COLUMNS, "sum", "device", ""):
        table.add_column(column, justify="left" if column in ("stage", "at", "") else "right")
    for entry in plan.entries.values():
        if entry.stage.state == "reuse":
            continue
        cells = [gigabytes(value) for value in parts_of_needs(entry.needs).values()]
        fits = "[green]fits[/]" if entry.fits else "[red]too much[/]"
        peak = entry.needs.peak
        table.add_row(name_of(entry), peak.name, *cells, gigabytes(entry.needs.total), gigabytes(entry.room), fits)
        if len(peak.roles) > 1:
            told = ", ".join(f"{role} {gigabytes(peak.roles[role])}" for role in ROLES if role in peak.roles)
            shared = [role for role in ROLES[1:] if role not in peak.roles]
            told += f" ({', '.join(shared)}: on the policy's weights)" if shared else ""
            table.add_row(f"  [dim]weights: {told}[/]")
    return table


def _notes(plan: Plan) -> Iterator[str]:
    for entry in plan.entries.values():
        if entry.fits:
            continue
        if entry.change is None:
            yield f"[red]too much[/] {name_of(entry)}: nothing that was tried makes it fit; choose a smaller model"
        else:
            change = entry.change
            words = escape(" ".join(change.words))
            told = f"{change.effect}, {gigabytes(change.bytes)} GB"
            yield f"[red]too much[/] {name_of(entry)} fits with: {words} ({told})"
    built, seconds, usd = len(plan.to_build), plan.total("seconds"), plan.total("usd")
    reused = len(plan.entries) - built
    yield (
        f"total    {built} stage{'s' * (built != 1)} to build, {reused} reused: {clock(seconds)} in one process"
        + (f", {_number(usd)} USD" if usd is not None else "")
        + " (training alone; measuring the policies comes on top)"
    )
    if plan.saved("seconds"):
        saved_usd = plan.saved("usd")
        money = f" and {_number(saved_usd)} USD" if saved_usd else ""
        yield f"reuse    saves {clock(plan.saved('seconds'))}{money} against training every stage for every job"
    yield f"memory   the process itself: {plan.baseline_source}"


def as_values(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain values: seconds, dollars, kWh and bytes."""
    jobs = [{"number": job.number, "words": list(job.words), "stages": list(job.stages)} for job in plan.jobs]
    stages = []
    for fingerprint, entry in plan.entries.items():
        stage, peak = entry.stage, entry.needs.peak
        stages.append(
            {
                "name": name_of(entry),
                "fingerprint": fingerprint,
                "state": stage.state,
                "jobs": stage.jobs,
                "steps": stage.work.steps,
                "parameters": entry.needs.parameters,
                "trainable_parameters": entry.needs.trained,
                "cost": asdict(entry.cost),
                "memory": {
                    "bytes": entry.needs.total,
                    "moment": peak.name,
                    "components": parts_of_needs(entry.needs),
                    "roles": peak.roles,
                    "moments": {m.name: m.total + entry.needs.baseline for m in entry.needs.moments},
                    "device_bytes": entry.room,
                },
                "fits": entry.fits,
                "change": asdict(entry.change) if entry.change else None,
            }
        )
    totals = {name: {"to_build": plan.total(name), "saved": plan.saved(name)} for name in ("seconds", "usd", "kwh")}
    return {"jobs": jobs, "stages": stages, "totals": totals, "imported_bytes": plan.baseline}


def clock(seconds: float | None) -> str:
    """Seconds as a reader says them."""
    if seconds is None:
        return "-"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def gigabytes(count: int) -> str:
    """Bytes in 10^9, two places; less than a hundredth as 0."""
    return f"{count / 1e9:.2f}" if count >= 5e6 else "0"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _numbers(jobs: list[int]) -> str:
    if len(jobs) > 3 and jobs == list(range(jobs[0], jobs[-1] + 1)):
        return f"{jobs[0]}-{jobs[-1]}"
    return ", ".join(map(str, jobs))
