"""The tables of scripts/bench_ppo.py: speed and memory, levers, learning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from bench_ppo_task import PHASES, Task
from rich.console import Console
from rich.table import Column, Table

SIDES = ("ours", "trl")
WINDOW = 10  # steps that a point of a training curve is the mean of
Result = dict[str, Any]  # what bench_ppo_task.write_result leaves

console = Console(width=max(100, Console().width))


def counted(results: Sequence[Result]) -> list[Result]:
    """The steps after the warm-up, of all processes."""
    return [step for result in results for step in result["steps"][result["task"]["warmup"] :]]


def seconds(results: Sequence[Result], kind: str, phase: str | None = None) -> float:
    """Median over steps of the seconds of `kind` (cpu, wall) in a phase, or in all of them."""
    return median(step[kind][phase] if phase else sum(step[kind].values()) for step in counted(results))


def memory(results: Sequence[Result], moment: str) -> float:
    """Largest of the processes' MiB."""
    return max(result["memory"].get(moment, 0.0) for result in results)


def print_speed(results: Mapping[str, Sequence[Result]], threads: int) -> None:
    """One table: seconds by phase, speed and memory of both sides, and their ratio."""
    ours, trl = (results[side] for side in SIDES)
    task = Task(**ours[0]["task"])
    title = f"{task.size}, {task.device}, {task.precision}, {threads} thread(s): median of {len(counted(ours))} steps"
    table = Table("", "ours", f"TRL {trl[0]['versions']['trl']}", "ours / TRL", title=title)

    def line(name: str, of: Callable[[Sequence[Result]], float], style: str = "{:.2f}", ratio: bool = True) -> None:
        pair = of(ours), of(trl)
        share = f"{pair[0] / pair[1]:.2f}" if ratio and pair[1] else ""
        table.add_row(name, *(style.format(value) for value in pair), share)

    for kind in ("cpu", "wall"):
        line(f"step, {kind} s", lambda side, kind=kind: seconds(side, kind))  # type: ignore[misc]
    kind = "cpu" if threads == 1 and task.device == "cpu" else "wall"
    for phase in PHASES:
        line(f"  {phase}, {kind} s", lambda side, phase=phase: seconds(side, kind, phase))  # type: ignore[misc]
    tokens = task.batch * task.response
    line("response tokens / wall s", lambda side: tokens / seconds(side, "wall"), "{:.0f}")
    line("MiB after imports", lambda side: memory(side, "imports"), "{:.0f}")
    line("MiB before the trainer", lambda side: memory(side, "models"), "{:.0f}")
    line("MiB at the peak", lambda side: memory(side, "peak"), "{:.0f}")
    line("  above the imports", lambda side: memory(side, "peak") - memory(side, "imports"), "{:.0f}")
    if task.device == "cuda":
        line("MiB on the GPU at the peak", lambda side: memory(side, "gpu_peak"), "{:.0f}")
    line("trained parameters, million", lambda side: side[0]["trained_parameters"] / 1e6)
    line("load of the machine", lambda side: fmean(result["load"] for result in side), ratio=False)
    console.print(table)


def print_levers(found: Sequence[tuple[str, Result]]) -> None:
    """CPU seconds and memory of every variant."""
    phases = [phase for phase in PHASES if phase != "rest"]
    title = "one thing changed: CPU seconds of a step and its phases, MiB at the peak, millions of trained parameters"
    table = Table(
        Column(no_wrap=True), *(Column(name, no_wrap=True) for name in ("step", *phases, "MiB", "trained")), title=title
    )
    for name, result in found:
        row = [seconds([result], "cpu"), *(seconds([result], "cpu", phase) for phase in phases)]
        cells = [f"{value:.2f}" for value in row] + [f"{memory([result], 'peak'):.0f}"]
        table.add_row(name, *cells, f"{result['trained_parameters'] / 1e6:.2f}")
    console.print(table)


def print_learning(results: Mapping[str, Sequence[Result]], task: Task) -> None:
    """What fresh responses of the policies score, and how far from the start they are.

    The last row is read off the training curves, at the largest KL that both sides reached.
    """
    title = f"after {task.steps} steps on the rule, mean of {len(results['ours'])} seeds (lowest to highest)"
    table = Table("", *SIDES, title=title)
    names = {"score": "score", "kl": "KL, nats per response", "objective": f"score - {task.kl_coefficient} KL"}
    for key, name in names.items():
        table.add_row(name, *(_spread([result["judged"][key] for result in results[side]]) for side in SIDES))
    at_equal: dict[str, list[float]] = {side: [] for side in SIDES}
    for pair in zip(*(results[side] for side in SIDES), strict=True):
        reached = min(max(step["kl"] for step in _smooth(result)) for result in pair)
        for side, result in zip(SIDES, pair, strict=True):
            at_equal[side].append(score_at(result, reached))
    table.add_row("score at equal KL", *(_spread(at_equal[side]) for side in SIDES))
    console.print(table)


def score_at(result: Result, divergence: float) -> float:
    """Score where the smoothed training curve first passes a KL, between its steps in proportion."""
    steps = _smooth(result)
    for before, after in zip(steps, steps[1:], strict=False):
        if before["kl"] < divergence <= after["kl"]:
            share = (divergence - before["kl"]) / (after["kl"] - before["kl"])
            return float(before["score"] + share * (after["score"] - before["score"]))
    return float(max(steps, key=lambda step: step["kl"])["score"])


def _smooth(result: Result) -> list[dict[str, float]]:
    """Means of `WINDOW` steps in a row."""
    steps = result["steps"]
    windows = [steps[first : first + WINDOW] for first in range(max(1, len(steps) - WINDOW + 1))]
    return [{key: fmean(step[key] for step in window) for key in ("score", "kl")} for window in windows]


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
