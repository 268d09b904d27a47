"""Best-of-n of the models that jobs started from, as curves for the plot of reward against KL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.report.record import JobRecord

SUITE, TABLE = "best_of_n", "best of n"  # of an evaluation


def best_of_curves(jobs: Sequence[JobRecord]) -> list[dict[str, Any]]:
    """Return each curve once: `label` and `points`, each with n, kl, reward (low, high) and gold, n rising.

    A job's curve is that of its reference, the model that its KL is measured to: another one's has another axis.
    """
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        name = _reference(job.outcome)
        table = _tables(job.outcome).get(name) if name else None
        if table:
            points = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
            role = next(row["role"] for row in job.outcome["rows"] if row["name"] == name)
            label = f"best of n answers of {role} {str(job.outcome['name']).partition('-')[2]}"
            found[repr(points)] = {"label": label, "points": sorted(points, key=lambda point: point["n"])}
    return list(found.values())


def _reference(outcome: Mapping[str, Any]) -> str | None:
    rows = outcome.get("rows") or []
    return str(rows[-2]["name"]) if len(rows) > 1 else None


def _tables(outcome: Mapping[str, Any]) -> Mapping[str, Any]:
    suites = (outcome.get("evaluation") or {}).get("suites") or {}
    found: Mapping[str, Any] = suites.get(SUITE, {}).get("tables", {}).get(TABLE, {})
    return found
