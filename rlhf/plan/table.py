"""The plan as tables for the terminal and as plain values for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rlhf.plan.memory import Needs
from rlhf.plan.whole import Entry, Plan

COLUMNS = ("baseline", "weights", "adapters", "optimizer", "gradients", "activations", "logits", "KV cache")
ROLES = ("policy", "reference", "critic", "reward")
WIDE = 120  # columns of a terminal in which the basis of a time has a column of its own
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
    wide = console.width >= WIDE
    console.print(_stages(plan, wide))
    if plan.to_build:
        console.print(_memory(plan))
    if not wide:
        for entry in plan.entries.values():
            told = f"{name_of(entry)}: {entry.cost.basis}"
            console.print(f"basis    {escape(told)}", highlight=False, soft_wrap=True)
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


def _stages(plan: Plan, basis: bool) -> Table:
    table = Table(title="stages, each once", title_justify="left")
    for column in ("stage", "state", "jobs", "steps", "time", "USD", "kWh", *(["basis"] if basis else [])):
        whole = column in ("state", "steps", "time", "USD", "kWh")
        justify: Literal["left", "right"] = "right" if whole and column != "state" else "left"
        table.add_column(column, overflow="fold", no_wrap=whole, justify=justify)
    style = {"reuse": "green", "resume": "cyan", "build": "bold"}
    for entry in plan.entries.values():
        stage, cost = entry.stage, entry.cost
        state = f"[{style[stage.state]}]{stage.state}[/]"
        steps, needed = str(stage.work.steps), _numbers(stage.jobs)
        money = (clock(cost.seconds), _number(cost.usd), _number(cost.kwh))
        table.add_row(name_of(entry), state, needed, steps, *money, *([cost.basis] if basis else []))
    return table


def _memory(plan: Plan) -> Table:
    """Components as rows, so that it fits a terminal of 80 columns; those that take nothing are left out."""
    table = Table(title="peak memory", title_justify="left")
    table.add_column("stage", overflow="fold")
    table.add_column("component", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    for entry in plan.entries.values():
        if entry.stage.state == "reuse":
            continue
        fits = "[green]fits[/]" if entry.fits else "[red]too much[/]"
        held = f"{size(entry.needs.total)} of {size(entry.room)}"
        told = f"{name_of(entry)}\nat the {entry.needs.peak.name}\n{held}: {fits}"
        rows = [*_component_rows(entry), ("[bold]sum[/]", f"[bold]{size(entry.needs.total)}[/]")]
        names, values = zip(*rows, strict=True)
        table.add_row(told, "\n".join(names), "\n".join(values), end_section=True)
    return table


def _component_rows(entry: Entry) -> Iterator[tuple[str, str]]:
    """Name and bytes of each component that takes any; below weights of several models the share of each role."""
    roles = entry.needs.peak.roles
    for name, value in parts_of_needs(entry.needs).items():
        if value:
            yield name, size(value)
        if name == "weights" and len(roles) > 1:
            for role in ROLES:
                yield f"[dim]  {role}[/]", f"[dim]{size(roles[role]) if role in roles else 'as policy'}[/]"


def _notes(plan: Plan) -> Iterator[str]:
    for entry in plan.entries.values():
        if entry.fits:
            continue
        if entry.change is None:
            yield f"[red]too much[/] {name_of(entry)}: nothing that was tried makes it fit; choose a smaller model"
        else:
            change = entry.change
            words = escape(" ".join(change.words))
            told = f"{change.effect}, {size(change.bytes)}"
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
    yield f"memory   baseline is {plan.baseline_source}"


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


def size(count: int) -> str:
    """Bytes in GB (10^9) or MB (10^6) or kB: 25.3 GB, 690 MB, 1.2 MB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if count >= 0.9995 * unit:
            value = count / unit
            return f"{value:.{0 if value >= 99.95 else 1}f} {name}"
    return f"{count / 1e3:.0f} kB"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _numbers(jobs: list[int]) -> str:
    if len(jobs) > 3 and jobs == list(range(jobs[0], jobs[-1] + 1)):
        return f"{jobs[0]}-{jobs[-1]}"
    return ", ".join(map(str, jobs))
