"""Every metric of the package in groups, and the description that belongs to a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pkgutil import iter_modules

from rlhf.evaluation.metrics import ALL_METRICS, Metric
from rlhf.evaluation.ppo.metrics import PPO_METRICS

PLACEHOLDER = "NAME"  # stands in a metric's name for a word of the data: a reward source, a subset


@cache
def groups() -> Mapping[str, tuple[Metric, ...]]:
    """Metrics by where they come from: `run`, `ppo`, then each suite and each live measure by its name."""
    from rlhf.evaluation import live, suites

    names = sorted(found.name for package in (suites, live) for found in iter_modules(package.__path__))
    return {"run": ALL_METRICS, "ppo": PPO_METRICS} | {name: tuple(suites.metrics_of(name)) for name in names}


def describe(name: str) -> Metric | None:
    """Return the metric of that name, or the one whose NAME it fills in; None where nothing describes it."""
    exact, patterns = _index()
    if name in exact:
        return exact[name]
    for (head, tail), metric in patterns.items():
        if name.startswith(head) and name.endswith(tail) and len(name) > len(head) + len(tail):
            return metric
    return None


def suite_of(name: str) -> str | None:
    """Return the suite that gives the metric of that name; None for what every run has, PPO's steps, and no metric."""
    metric = describe(name)
    return next((group for group, of in groups().items() if group not in ("run", "ppo") and metric in of), None)


@cache
def _index() -> tuple[dict[str, Metric], dict[tuple[str, str], Metric]]:
    every = [metric for metrics in groups().values() for metric in metrics]
    exact = {metric.name: metric for metric in every if PLACEHOLDER not in metric.name}
    open_ones = [metric for metric in every if PLACEHOLDER in metric.name]
    patterns = {(head, tail): metric for metric in open_ones for head, _, tail in [metric.name.partition(PLACEHOLDER)]}
    return exact, patterns


def markdown(metrics: Sequence[Metric]) -> str:
    """Return the table of some metrics for docs/metrics.md."""
    lines = [
        "| name, unit, range | meaning and formula | better | source | how it is fooled |",
        "|---|---|---|---|---|",
    ]
    for metric in metrics:
        cells = (
            f"`{metric.name}`<br>{metric.unit}<br>{metric.range}",
            f"{metric.meaning}<br>*{metric.estimator}*"
            + ("<br>reads answers alone" if metric.reads == "answer" else ""),
            metric.better or "neither",
            metric.source,
            metric.fooled,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
