"""From what jobs left behind (`result.json`) to lines of the comparison table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rlhf.report.table import ReportRow


def report_rows(outcomes: Sequence[dict[str, Any]]) -> list[ReportRow]:
    """Return each job's own line, and each control once however many jobs share it."""
    rows: list[ReportRow] = []
    seen: set[str] = set()
    for outcome in outcomes:
        settings = dict(word.lstrip("+").split("=", 1) for word in outcome["words"] if "=" in word)
        if outcome["status"] != "finished":
            rows.append(ReportRow(outcome["name"], outcome["status"], settings, {}, outcome["error"]))
            continue
        model = outcome["name"].split("-", 1)[1]
        for control in outcome["rows"][:-1]:
            key = json.dumps([control["fingerprint"], control["metrics"]], sort_keys=True)
            if key not in seen:
                seen.add(key)
                rows.append(ReportRow(f"{control['role']} {model}", control["role"], {}, control["metrics"], ""))
        rows.append(ReportRow(outcome["name"].replace("-", " ", 1), "policy", settings, outcome["metrics"], ""))
    return rows


def notes_of(outcomes: Sequence[dict[str, Any]]) -> list[str]:
    """Each warning once, with the jobs that it is about: those that share a judge share its warnings."""
    about: dict[str, list[int]] = {}
    for number, outcome in enumerate(outcomes, start=1):
        for warning in outcome.get("warnings", []):
            about.setdefault(warning, []).append(number)
    return [
        f"jobs {', '.join(map(str, jobs))}: {warning}"
        if len(jobs) > 1
        else f"job {jobs[0]}, {outcomes[jobs[0] - 1]['name']}: {warning}"
        for warning, jobs in about.items()
    ]
