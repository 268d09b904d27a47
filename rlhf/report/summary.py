"""Everything that the report page shows, as plain data: the page only lays it out."""

from __future__ import annotations

import math
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.report.best_of import best_of_curves
from rlhf.report.cells import duration
from rlhf.report.extras import tables_beside
from rlhf.report.goals import Verdict
from rlhf.report.learned import curves_of, samples_of
from rlhf.report.outcome import judge_taught, training_rewards
from rlhf.report.record import JobRecord, Record
from rlhf.report.rows import AXES_MORE_IS_BETTER, Line, Lines, command_of
from rlhf.report.seeds import ends, unclear
from rlhf.report.sheets import sheet_data
from rlhf.report.shown import KL, Shown, usd
from rlhf.report.taken import energy_told
from rlhf.report.trials import trials_sheets
from rlhf.tracking.masking import mask_words

KINDS = {  # what a warning holds -> what it is about
    "judge:": "judge",
    "no preference was learned": "no learning",
    "collapse": "collapse",
    "not clearly better": "baseline",
    "within its noise": "noise",
    "fell: 95%": "worse",
    "what was swept changed nothing": "no effect",
}
NOT_TYPED = "hydra.sweeper.params=null"  # added for Hydra where a command has no such parameters
REFERENCES = ("base", "start", "sft")


def summarise(record: Record, lines: Lines, goals: Sequence[Verdict] = ()) -> dict[str, Any]:
    """Return the page's content: JSON-able, no number that is not finite, texts not yet escaped."""
    swept = {key: list(dict.fromkeys(job.value(key) or "" for job in record.jobs)) for key in lines.params}
    seeds = list(dict.fromkeys(job.value("seed") or "" for job in record.jobs))
    if len(seeds) > 1:
        swept["seed"] = seeds
    return finite(
        {
            "title": title_of(record),
            "made": time.strftime("%Y-%m-%d %H:%M %Z"),
            "sweeps": [_sweep(sweep) for sweep in record.sweeps],
            "swept": [{"key": key, "values": values} for key, values in swept.items()],
            "tiles": tiles(record),
            "warnings": [*damaged(record), *warnings(record.jobs)],
            "facts": reading(record.jobs, lines),
            "params": [{"key": key, "title": title} for key, title in lines.params.items()],
            "columns": [_column(shown) for shown in lines.columns],
            "rows": [_row(line, lines) for line in lines.lines],
            "judges": list(dict.fromkeys(job.outcome["judge"] for job in record.jobs if job.outcome["judge"])),
            "proxies": [job.number for job in record.jobs if judge_taught(job.outcome)],
            "front": [shown.metric.name for shown in lines.front_axes],
            "best_of_n": best_of_curves(record.jobs),
            **curves_of(record.jobs, lines),
            "samples": samples_of(record.jobs, lines),
            "sheets": [
                sheet_data(sheet)
                for sheet in (*trials_sheets(record.searches), *tables_beside(record.jobs, lines, goals))
            ],
            "stages": stages(record.jobs),
            "searches": [_search(found) for found in record.searches],
            "failures": [_failure(job) for job in record.jobs if not job.finished],
            "machines": machines(record.jobs),
        }
    )


def finite(value: Any) -> Any:
    """The same without NaN and infinity, which JSON does not have: None in their place."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(part) for key, part in value.items()}
    return [finite(part) for part in value] if isinstance(value, list | tuple) else value


def title_of(record: Record) -> str:
    """`DPO sweep ab12cd34`, or the name of a single run."""
    methods = sorted({str(job.outcome["name"]).partition("-")[0].upper() for job in record.jobs})
    kind = "sweep" if any(sweep["words"] for sweep in record.sweeps) or len(record.jobs) > 1 else "run"
    return f"{' and '.join(methods)} {kind} {' + '.join(str(sweep['id']) for sweep in record.sweeps)}"


def tiles(record: Record) -> list[dict[str, str]]:
    """The headline's figures: jobs, time, price, and what reuse saved."""
    jobs = record.jobs
    states: dict[str, int] = {}
    for job in jobs:
        states[str(job.outcome["status"])] = states.get(str(job.outcome["status"]), 0) + 1
    if (planned := sum(int(sweep.get("jobs") or 0) for sweep in record.sweeps)) > len(jobs):
        states["not started"] = states.get("not started", 0) + planned - len(jobs)
    done, total = states.pop("finished", 0), max(planned, len(jobs))
    rest = ", ".join(f"{count} {state}" for state, count in states.items())
    shown = [{"label": "jobs finished", "value": f"{done} of {total}", "detail": rest or "none failed"}]
    seconds, wall = spent(jobs)
    detail = "wall clock, all jobs added up" if wall else "the jobs' own training; stages below are not recorded"
    shown.append({"label": "time", "value": duration(seconds), "detail": detail})
    built = [stage for job in jobs for stage in job.outcome["stages"]]
    dollars = [stage.get("usd") for stage in built if not stage.get("reused")]
    priced = [float(value) for value in dollars if value is not None]
    if not built:
        own = [job.outcome["metrics"].get("cost/usd") for job in jobs]
        priced = [float(value) for value in own if value is not None]
    detail = "stages built for these jobs" if priced else "no price is set: hardware.usd_per_hour"
    shown.append({"label": "cost", "value": usd(sum(priced)) if priced else "not priced", "detail": detail})
    saved, money, count = savings(jobs)
    detail = f"{count} stage{'s' if count != 1 else ''} not trained again" + (f", {usd(money)}" if money else "")
    shown.append({"label": "saved by reuse", "value": duration(saved) if built else "not recorded", "detail": detail})
    return shown


def spent(jobs: Sequence[JobRecord]) -> tuple[float, bool]:
    """Seconds of all jobs, and whether they are wall-clock times of whole jobs."""
    wall = [job.outcome["seconds"] for job in jobs if job.outcome.get("seconds") is not None]
    if wall:
        return float(sum(wall)), True
    return float(sum(job.outcome["metrics"].get("cost/seconds", 0.0) for job in jobs if job.finished)), False


def savings(jobs: Sequence[JobRecord]) -> tuple[float, float, int]:
    """Seconds and US dollars that the reused stages had cost when they were built, and how many they are."""
    reused = [stage for job in jobs for stage in job.outcome["stages"] if stage.get("reused")]
    return (
        float(sum(stage.get("seconds") or 0.0 for stage in reused)),
        float(sum(stage.get("usd") or 0.0 for stage in reused)),
        len(reused),
    )


def damaged(record: Record) -> list[dict[str, Any]]:
    """The files beside the jobs' own that can't be read, as warnings."""
    numbers = [job.number for job in record.jobs]
    return [{"kind": "damaged", "jobs": numbers, "told": [{"text": x, "jobs": numbers}]} for x in record.damaged]


def warnings(jobs: Sequence[JobRecord]) -> list[dict[str, Any]]:
    """What was found beside the numbers; sentences that differ only in their figures stand together."""
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        for text in job.outcome["warnings"]:
            alike = found.setdefault(re.sub(r"-?\d+(\.\d+)?", "#", text), {"kind": _kind(text), "told": {}})
            alike["told"].setdefault(text, []).append(job.number)
    return [
        {
            "kind": alike["kind"],
            "jobs": sorted({number for numbers in alike["told"].values() for number in numbers}),
            "told": [{"text": text, "jobs": numbers} for text, numbers in alike["told"].items()],
        }
        for alike in found.values()
    ]


def _kind(text: str) -> str:
    return next((kind for part, kind in KINDS.items() if part in text), "note")


OTHER_JUDGES = (
    "The lines were scored by different judges, so their rewards, reward gains and win rates are on different scales: "
    "compare gold, and each line with its own control."
)
OVER_SEEDS = (
    "Below a mean over seeds stands its 95% Student-t interval, of a comparison with the noise over prompts in it as "
    "well; below one seed's number the interval over its own prompts or pairs, where one was measured."
)
TESTED = (
    "A comparison is clear where its 95% interval leaves out no difference and p is below 0.05 by a paired test on the "
    "same prompts (of three seeds or more by Student's t over them, too), corrected for {} by Holm. n is the number of "
    "held-out prompts, of a reward model pairs; accuracy is over pairs, as many as its own test says."
)
UNTESTED = "Told by their interval alone, as no scores of single prompts are left: {}."
APART = "Measured on several scales (other objectives or tokenizers), so none is called best: {}."
OVER_START = (
    "Gains, win rate and KL are over the model that a run started from; those of a control are over the one that it "
    "started from itself."
)


def reading(jobs: Sequence[JobRecord], lines: Lines) -> list[str]:
    """How the table is to be read, a sentence each."""
    facts = []
    for key, words in (("trained_on", "Trained on {}."), ("judge", "Reward and win rate are by the judge, {}.")):
        told = list(dict.fromkeys(str(job.outcome[key]) for job in jobs if job.outcome[key]))
        facts += [words.format("; ".join(told))] if told else []
    facts += [f"{told[0].upper()}{told[1:]}." for told in training_rewards([job.outcome for job in jobs])]
    facts += energy_told(jobs)
    many = any(len(line.seeds) > 1 for line in lines.lines)
    tests = "the one of this table" if lines.tested == 1 else f"all {lines.tested} of this table"
    facts += [OTHER_JUDGES] if lines.judges_differ else []
    facts += [APART.format(" and ".join(lines.apart))] if lines.apart else []
    facts += [OVER_SEEDS] if many else []
    facts += [TESTED.format(tests)] if lines.tested else []
    facts += [UNTESTED.format(lines.untested)] if lines.untested else []
    return [*facts, OVER_START]


def _column(shown: Shown) -> dict[str, Any]:
    metric = shown.metric
    return {
        "key": metric.name, "title": shown.title, "meaning": metric.meaning, "unit": metric.unit,
        "estimator": metric.estimator, "better": metric.better, "first": shown.first, "null": shown.null,
        "prefer": "higher" if shown in AXES_MORE_IS_BETTER else "lower" if shown is KL else metric.better,
        "what": shown.what,
    }  # fmt: skip


def _row(line: Line, lines: Lines) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for shown in lines.columns:
        name = shown.metric.name
        if (cell := line.cells.get(name)) is None:
            continue
        cells[name] = {
            "value": cell.value, "low": cell.low, "high": cell.high, "n": cell.n, "kind": cell.kind,
            "text": shown.text(cell.value), "range": " to ".join(shown.text(end) for end in ends(cell)),
            "best": name in line.best, "unclear": unclear(shown, cell, line.tests.get(name)), "test": _test(line, name),
            "each": ["" if value is None else shown.text(value) for value in line.each[name]],
        }  # fmt: skip
    return {
        "label": line.label, "role": line.role, "control": line.role in REFERENCES, "jobs": line.jobs,
        "params": line.params, "cells": cells, "seeds": line.seeds, "planned": line.planned, "front": line.front,
        "controls": line.controls, "commands": line.commands, "note": line.note, "asked": line.n,
    }  # fmt: skip


def _test(line: Line, name: str) -> str:
    """The test of a comparison in a few words; empty where there is none."""
    own = line.tests.get(name)
    if own is None:
        return ""
    on = f" on {own.n}" if own.n else f" ({len(line.seeds)} of them)"
    return f"{own.test}{on}, p {own.p:.2g}, corrected {own.p_holm:.2g}"


def stages(jobs: Sequence[JobRecord]) -> list[dict[str, Any]]:
    """Each stage once: what it cost when it was built, which job built it, which took it from the store."""
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        for stage in job.outcome["stages"]:
            key = str(stage.get("fingerprint") or stage.get("name"))
            fresh: dict[str, Any] = {"name": stage.get("name"), "fingerprint": key, "seconds": stage.get("seconds")}
            entry = found.setdefault(key, fresh | {"usd": stage.get("usd"), "built": [], "reused": []})
            entry["reused" if stage.get("reused") else "built"].append(job.number)
    for entry in found.values():
        seconds, times = entry["seconds"], len(entry["reused"])
        entry["took"] = duration(seconds) if seconds is not None else ""
        entry["saved"] = duration(seconds * times) if seconds is not None and times else ""
        entry["price"] = usd(entry["usd"]) if entry["usd"] is not None else ""
    return list(found.values())


def machines(jobs: Sequence[JobRecord]) -> list[dict[str, Any]]:
    """The machines and library versions that jobs ran with, each with its jobs."""
    found: list[dict[str, Any]] = []
    for job in jobs:
        facts = job.outcome.get("machine") or {}
        alike = next((entry for entry in found if entry["facts"] == facts), None)
        if alike is None:
            found.append({"facts": facts, "jobs": [job.number]})
        else:
            alike["jobs"].append(job.number)
    return [entry for entry in found if entry["facts"]]


def _failure(job: JobRecord) -> dict[str, Any]:
    outcome = job.outcome
    return {
        "number": job.number, "name": outcome["name"], "status": outcome["status"], "error": outcome["error"],
        "command": command_of(job), "folder": str(job.folder),
    }  # fmt: skip


def _search(found: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: found.get(key) for key in ("trials_wanted", "counts", "importances", "notes")}
    return told | {"sampler": (found.get("sampler") or {}).get("name")}


def _sweep(sweep: Mapping[str, Any]) -> dict[str, Any]:
    started = sweep.get("started")
    if isinstance(started, int | float):
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(started))
    words = [str(word) for word in sweep["words"] if word != NOT_TYPED]
    command = shlex.join(mask_words(["rlhf", *words])) if words else ""
    return {"id": sweep["id"], "folder": sweep["folder"], "command": command, "started": started or ""}
