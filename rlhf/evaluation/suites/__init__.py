"""Suites of metrics on answers, one file each, with `METRICS` and `build(spec, tools) -> Suite`; found by name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from rlhf.evaluation.contract import Suite, Tools
from rlhf.evaluation.metrics import Metric

PLACES = ("rlhf.evaluation.suites", "rlhf.evaluation.live")


def module_of(name: str) -> Any:
    """Import what measures the suite `name`: a module of `suites`, which has `build`, or of `live`, with `measure`."""
    from importlib.util import find_spec

    place = next(place for place in PLACES if find_spec(f"{place}.{name}") is not None)
    return import_module(f"{place}.{name}")


def is_live(module: Any) -> bool:
    """Whether it measures the model itself and not its answers."""
    return not hasattr(module, "build")


def metrics_of(name: str) -> Sequence[Metric]:
    """Return every metric that a suite may give."""
    metrics: Sequence[Metric] = module_of(name).METRICS
    return metrics


def build_suite(name: str, spec: Any, tools: Tools) -> Suite:
    """Return the suite `name` (not a live one) with its settings."""
    suite: Suite = module_of(name).build(spec, tools)
    return suite
