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
            rows.append(ReportRow(outcome["name"], "failed", settings, {}, outcome["error"]))
            continue
        model = outcome["name"].split("-", 1)[1]
        for control in outcome["rows"][:-1]:
            key = json.dumps([control["fingerprint"], control["metrics"]], sort_keys=True)
            if key not in seen:
                seen.add(key)
                rows.append(ReportRow(f"{control['role']} {model}", control["role"], {}, control["metrics"], ""))
        rows.append(ReportRow(outcome["name"].replace("-", " ", 1), "policy", settings, outcome["metrics"], ""))
    return rows
