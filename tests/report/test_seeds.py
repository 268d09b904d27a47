"""Which jobs count as seeds of one setting, and what is said of them together."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from left_by_jobs import failed, finished, leave

from rlhf.report.record import read_record
from rlhf.report.seeds import Estimate, estimate, group_jobs, unclear
from rlhf.report.shown import COLUMNS, LOSS, REWARD, REWARD_GAIN, WIN_RATE


def test_jobs_that_differ_only_in_seed_are_one_line(tmp_path: Path) -> None:
    betas = [finished([f"method.beta={beta}", f"seed={seed}"], {}) for beta in (1, 2) for seed in (1, 2, 3)]
    groups = group_jobs(read_record([leave(tmp_path, betas)]).jobs)
    assert [[job.number for job in group.jobs] for group in groups] == [[1, 2, 3], [4, 5, 6]]


def test_a_repeated_job_is_no_second_seed(tmp_path: Path) -> None:
    """The newest attempt counts, so that a job that was run twice does not make an interval narrower."""
    first, again = finished(["seed=1"], {"final/reward": 1.0}), finished(["seed=1"], {"final/reward": 2.0})
    record = read_record([leave(tmp_path / "a", [first]), leave(tmp_path / "b", [again, finished(["seed=2"], {})])])
    (group,) = group_jobs(record.jobs)
    assert [job.number for job in group.jobs] == [2, 3]


def test_a_failed_seed_is_left_out_of_the_mean_and_named(tmp_path: Path) -> None:
    (group,) = group_jobs(read_record([leave(tmp_path, [finished(["seed=1"], {}), failed(["seed=2"], "no")])]).jobs)
    assert (len(group.jobs), len(group.finished)) == (2, 1)


def test_one_seed_brings_the_interval_that_was_measured_in_it() -> None:
    measured = {"final/win_rate": 0.6, "final/win_rate_low": 0.55, "final/win_rate_high": 0.64, "final/loss": 0.3}
    assert estimate(WIN_RATE, [measured]) == Estimate(0.6, 0.55, 0.64, 1, "prompts")
    assert estimate(LOSS, [measured]) == Estimate(0.3, None, None, 1, "")
    assert estimate(REWARD, [measured]) is None


def test_several_seeds_bring_the_noise_between_them_and_not_within() -> None:
    name = "final/reward_difference"
    measured = [{name: value, f"{name}_low": 0.0, f"{name}_high": 1.0} for value in (1.0, 3.0)]
    found = estimate(REWARD_GAIN, measured)
    assert found is not None
    assert (found.value, found.n, found.kind) == (2.0, 2, "seeds")
    assert found.high == pytest.approx(2 + math.tan(0.475 * math.pi))


def test_an_interval_ends_where_a_share_does() -> None:
    found = estimate(WIN_RATE, [{"final/win_rate": value} for value in (0.6, 1.0)])
    assert found == Estimate(0.8, 0.0, 1.0, 2, "seeds")


def test_what_is_not_finite_stays_so() -> None:
    found = estimate(LOSS, [{"final/loss": 1.0}, {"final/loss": math.nan}])
    assert found is not None
    assert math.isnan(found.value) and found.low is None


def test_equal_values_have_no_interval() -> None:
    """An untrained base measured under several seeds is one model: a width of 0 would claim a certainty."""
    assert estimate(REWARD, [{"final/reward": -1.0}] * 3) == Estimate(-1.0, None, None, 3, "")


def test_equal_values_keep_the_noise_that_was_measured_inside_them() -> None:
    """Few prompts make equal win rates likely; their own intervals say what they are worth."""
    measured = [{"final/win_rate": 0.5, "final/win_rate_low": low, "final/win_rate_high": 0.6} for low in (0.4, 0.3)]
    assert estimate(WIN_RATE, measured) == Estimate(0.5, 0.3, 0.6, 2, "prompts")


def test_unclear_is_asked_of_comparisons_only() -> None:
    assert unclear(WIN_RATE, Estimate(0.51, 0.49, 0.53, 1, "prompts"), None)
    assert not unclear(WIN_RATE, Estimate(0.6, 0.55, 0.64, 1, "prompts"), None)
    assert not unclear(WIN_RATE, Estimate(0.5, None, None, 1, ""), None)
    assert not unclear(REWARD, Estimate(0.5, 0.0, 1.0, 2, "seeds"), None)


def test_every_column_is_a_metric_that_the_docs_explain() -> None:
    from rlhf.evaluation.metrics import ALL_METRICS

    assert all(shown.metric in ALL_METRICS for shown in COLUMNS)
    assert len({shown.title for shown in COLUMNS}) == len(COLUMNS)
