from __future__ import annotations

import dataclasses
import re

import pytest

from rlhf.evaluation import metrics


def test_every_constant_is_listed_once() -> None:
    constants = {value.name for value in vars(metrics).values() if isinstance(value, metrics.Metric)}
    names = [metric.name for metric in metrics.ALL_METRICS]
    assert len(names) == len(set(names))
    assert constants <= set(names)
    assert set(names) - constants == {cost.name for cost in metrics.PIPELINE_COSTS}


def test_the_names_of_the_design_are_there() -> None:
    names = {metric.name for metric in metrics.ALL_METRICS}
    finals = "loss nll reward reward_gold kl kl_per_token win_rate win_rate_low win_rate_high accuracy margin margin_se"
    costs = "usd seconds gpu_seconds kwh tokens flops mfu peak_memory_bytes trainable_parameters artifact_bytes"
    assert {f"final/{name}" for name in finals.split()} | {f"cost/{name}" for name in costs.split()} <= names
    assert "cost/pipeline_usd" in names


def test_every_metric_is_explained() -> None:
    for metric in metrics.ALL_METRICS:
        assert metric.meaning and metric.unit and metric.estimator, metric.name
        assert re.fullmatch(r"(final|cost)/[a-z0-9_]+", metric.name)


def test_only_costs_have_a_pipeline_name() -> None:
    assert metrics.pipeline_name("cost/usd") == "cost/pipeline_usd"
    with pytest.raises(ValueError, match="final/loss"):
        metrics.pipeline_name("final/loss")


@pytest.mark.parametrize(
    ("told", "inside"),
    [
        ("0 to 1", (0.0, 1.0)),
        ("-2 to 2", (-2.0, 2.0)),
        ("0 or more", (0.0, 9.0)),
        ("any number", (-5.0, 9.0)),
        ("0 to the number of steps", (-5.0, 9.0)),
    ],
)
def test_an_interval_ends_where_the_range_does(told: str, inside: tuple[float, float]) -> None:
    metric = dataclasses.replace(metrics.FINAL_WIN_RATE, range=told)
    assert metric.within(-5.0, 9.0) == inside
    assert metric.within(0.2, 0.4) == (0.2, 0.4)
