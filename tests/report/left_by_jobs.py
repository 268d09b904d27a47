"""Writes what the jobs of a sweep leave on disk, for tests of the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.report.record import Record
from rlhf.report.rows import build_lines
from rlhf.report.summary import summarise

SFT = {"name": "sft-tiny", "role": "sft", "fingerprint": "5f", "metrics": {"final/reward": 0.0, "cost/usd": 0.1}}
BASE = {"name": "base", "role": "base", "fingerprint": "ba", "metrics": {"final/reward": -1.0}}


def finished(words: Sequence[str], metrics: Mapping[str, float], **more: Any) -> dict[str, Any]:
    """The outcome of a job that came to its end, with the controls that it was compared with."""
    own = {"name": "dpo-tiny", "role": "policy", "fingerprint": "d0", "metrics": dict(metrics)}
    outcome = {
        "name": "dpo-tiny", "words": ["method=dpo", *words], "status": "finished", "run_id": "r", "started": 1.7e9,
        "metrics": dict(metrics), "rows": [BASE, SFT, own], "curves": {}, "upstream": [], "warnings": [],
        "reused": False, "stage": "outputs/stages/dpo-tiny-d0", "judge": "", "trained_on": "",
    }  # fmt: skip
    return outcome | more


def failed(words: Sequence[str], error: str) -> dict[str, Any]:
    """The outcome of a job that ended with an error."""
    return {
        "name": "dpo-tiny", "words": ["method=dpo", *words], "status": "failed", "error": error, "exit_code": 1,
        "run_id": "f", "started": 1.7e9, "judge": "", "trained_on": "",
    }  # fmt: skip


def leave(folder: Path, outcomes: Sequence[Mapping[str, Any] | None], **sweep: Any) -> Path:
    """Write a sweep's folder; None leaves a job's folder without a result, as a kill does."""
    for number, outcome in enumerate(outcomes):
        home = folder / str(number)
        (home / "config").mkdir(parents=True)
        if outcome is None:
            (home / "config" / "overrides.yaml").write_text("- method=dpo\n- method.beta=9\n", encoding="utf-8")
            config = "method: {name: dpo}\nmodel: {name: tiny}\nseed: 7\n"
            (home / "config" / "config.yaml").write_text(config, encoding="utf-8")
        else:
            (home / "result.json").write_text(json.dumps(outcome), encoding="utf-8")
    if sweep:
        (folder / "sweep.json").write_text(json.dumps(sweep), encoding="utf-8")
    return folder


def summarised(record: Record) -> dict[str, Any]:
    """What the report's page of these jobs shows."""
    return summarise(record, build_lines(record.jobs))
