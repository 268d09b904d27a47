"""The page of an evaluation: one offline HTML file, in the report's own style and with its own figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.evaluation.comparison.pooled import Line, pooled
from rlhf.evaluation.result import finite
from rlhf.report.evaluation_cells import Cell, Column, SuiteTable, written
from rlhf.report.evaluation_notes import facts, reading
from rlhf.report.evaluation_table import interval, label, unit
from rlhf.report.html import PAGE, assemble

OWN = Path(__file__).parent / "evaluation_page"
SHARED = ("1_dom.js", "2_chart.js", "2_frame.js")
NO_SCRIPT = "This page draws its tables and figures with JavaScript. evaluation.md beside it has the same numbers."


def render_evaluation(data: Mapping[str, Any], suites: Sequence[SuiteTable], title: str) -> str:
    """Return the page of an evaluation and its tables (`suite_tables` of the data).

    `rlhf.report.evaluation_table` tells what the data is.
    """
    scripts = [PAGE / name for name in SHARED] + sorted(OWN.glob("*.js"))
    styles = [PAGE / "style.css", OWN / "style.css"]
    held = {"title": title, "rows": [], "columns": [], "params": [], "told": told(data, suites)}
    return assemble(held, scripts, styles, NO_SCRIPT)


def told(data: Mapping[str, Any], tables: Sequence[SuiteTable]) -> dict[str, Any]:
    """Return what the page holds: finite numbers, and texts as a reader sees them."""
    lines = pooled(data["speakers"])  # with their whole labels
    values = {
        "checked": any(table.held for table in tables),
        "questions": data["questions"],
        "suites": [_suite(table, data["suites"][table.name]["tables"], lines) for table in tables],
        "notes": list(data.get("notes", ())),
        "reading": reading(tables, "Below a value:"),
        "failures": dict(data.get("failures", {})),
        "settings": dict(_settings(data)),
        "samples": [_sample(sample, data["speakers"]) for sample in data.get("samples", ())],
    }
    held: dict[str, Any] = finite(values)
    return held


def _settings(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings of the evaluation and of its suites, in one line each."""
    for name, value in data["settings"].items():
        if not isinstance(value, Mapping):
            yield name, str(value)
        elif name in data["suites"]:
            for key, own in value.items():
                if not isinstance(own, Mapping):
                    yield f"{name}.{key}", str(own)


def _suite(table: SuiteTable, extras: Mapping[str, Mapping[str, Any]], lines: list[Line]) -> dict[str, Any]:
    return {
        "name": table.name,
        "columns": [_column(table, place) for place in range(len(table.columns))],
        "lines": [
            {
                "label": label(line),
                "role": line.role,
                "nonsense": line.nonsense,
                "control": line.control,
                "cells": [None if cell is None else _cell(table, cell) for cell in cells],
            }
            for line, cells in table.lines
        ],
        "flags": [{"metric": flag.metric, "told": flag.told, "together": flag.together} for flag in table.flags],
        "notes": list(table.notes),
        "facts": facts(table),
        "tables": [_extra(title, by_speaker, lines) for title, by_speaker in extras.items()],
    }


def _column(table: SuiteTable, place: int) -> dict[str, Any]:
    column: Column = table.columns[place]
    metric = column.metric
    told_of = ("meaning", "unit", "estimator", "range", "source", "fooled")
    return {
        "key": metric.name,
        "title": column.title,
        "arrow": column.arrow,
        "briefly": unit(column),
        "better": metric.better or "neither",
        "footnote": column.footnote,
        "n": table.n(place),
        **{name: getattr(metric, name) for name in told_of},
    }


def _cell(table: SuiteTable, cell: Cell) -> dict[str, Any]:
    own, gap = cell.measured, cell.difference
    compared = ""
    if gap is not None and table.baseline is not None:
        ends = () if gap.low is None or gap.high is None else (gap.low, gap.high)
        difference, *shown = written(gap.value, *ends)
        compared = f"{'+' if gap.value >= 0 else ''}{difference} against {table.baseline.label}"
        if shown:
            compared += f" [{', '.join(shown)}]"
        if gap.p is not None and gap.p_holm is not None:
            compared += f", {gap.test} on {gap.n:,}: p {_p(gap.p)}, corrected {_p(gap.p_holm)}"
        compared += f": {gap.told}"
    return {
        "value": own.value,
        "low": own.low,
        "high": own.high,
        "text": cell.texts[0],
        "range": interval(cell),
        "kind": own.kind,
        "n": own.n,
        "seeds": list(own.seeds),
        "unclear": cell.unclear,
        "best": cell.best,
        "compared": compared,
    }


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _extra(title: str, by_speaker: Mapping[str, Any], lines: list[Line]) -> dict[str, Any]:
    labels = {run: line.label for line in lines for run in line.runs}
    shown = [{"label": labels.get(speaker, speaker), **table} for speaker, table in by_speaker.items()]
    return {"title": title, "speakers": shown}


def _sample(sample: Mapping[str, Any], speakers: list[Mapping[str, Any]]) -> dict[str, Any]:
    answers = [
        {"label": one.get("label") or one["name"], "role": one["role"], "text": sample["answers"][one["name"]]}
        for one in speakers
        if one["name"] in sample["answers"]
    ]
    if sample.get("reference") and not any(answer["role"] == "reference" for answer in answers):
        answers.insert(0, {"label": "reference answer", "role": "reference", "text": sample["reference"]})
    return {"prompt": sample["prompt"], "answers": answers}
