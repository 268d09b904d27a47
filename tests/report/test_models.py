"""Models side by side, from what their runs measured, and the machines that they fit on by stated thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from left_by_jobs import finished, leave

from rlhf.errors import UserError
from rlhf.folders import conf_dir
from rlhf.report.models import Suitability, count, fits, models_sheets, read_suitability
from rlhf.report.record import JobRecord, read_record
from rlhf.report.rows import build_lines
from rlhf.report.runtimes import runtimes_sheets
from rlhf.report.seeds import group_jobs
from rlhf.report.sheets import Sheet
from rlhf.report.taken import energy_told

GPU = {"cost/gpu_seconds": 10.0, "cost/peak_memory_bytes": 14.4e9, "cost/peak_host_bytes": 2e9}
SIZES = {"cost/parameters": 1.24e9, "cost/trainable_parameters": 850_000.0, "cost/model_bytes": 2.5e9}


def left(folder: Path, *runs: tuple[str, dict[str, float]], **more: Any) -> list[JobRecord]:
    outcomes = [
        finished([f"model={model}"], metrics, **more) | {"name": f"sft-{model}", "seconds": 60.0}
        for model, metrics in runs
    ]
    leave(folder, outcomes)
    return list(read_record([folder]).jobs)


def suitability() -> Suitability:
    return read_suitability(conf_dir() / "suitability" / "default.yaml")


def compared(jobs: Sequence[JobRecord]) -> list[Sheet]:
    return models_sheets(jobs, build_lines(jobs), suitability())


def test_one_line_per_model_with_its_share_of_trained_weights_and_intervals(tmp_path: Path) -> None:
    quality = {"final/win_rate": 0.6, "final/win_rate_low": 0.5, "final/win_rate_high": 0.7}
    small = {"cost/parameters": 346_752.0, "cost/trainable_parameters": 346_752.0, "latency/seconds_p95": 0.25}
    (sheet,) = compared(left(tmp_path, ("llama", SIZES | GPU | quality), ("tiny", small)))
    lines = {row[0].text: dict(zip([c.title for c in sheet.columns[1:]], row[1:], strict=True)) for row in sheet.rows}
    assert {model: cell.text for model, cell in lines["parameters"].items()} == {"llama": "1.24 B", "tiny": "346,752"}
    assert [(cell.text, cell.below) for cell in lines["trained"].values()] == [
        ("0.07%", "850,000"), ("100.00%", "346,752"),
    ]  # fmt: skip
    assert (lines["win rate"]["llama"].text, lines["win rate"]["llama"].below) == ("0.600", "0.500 to 0.700")
    assert (lines["latency, p95"]["tiny"].text, lines["latency, p95"]["llama"].text) == ("0.25 s", "–")
    assert "latency, median" not in lines  # which nobody measured
    assert (lines["memory"]["llama"].text, lines["memory"]["llama"].below) == ("13.4 GiB", "host 1.9 GiB")
    assert [(cell.text, cell.below) for cell in lines["train on T4"].values()] == [("yes", "measured"), ("–", "")]


@pytest.mark.parametrize(
    ("judges", "told"),
    [
        (("the gold reward", "the gold reward"), "Rewards are, as the same judge scored them all."),
        (("the reward stage of a", "the reward stage of b"), "Neither are rewards, reward gains and win rates"),
        (("", ""), ""),  # nobody scored them
    ],
)
def test_rewards_are_comparable_only_where_one_judge_scored_all(
    judges: tuple[str, str], told: str, tmp_path: Path
) -> None:
    runs = [
        finished([f"model={model}"], SIZES, judge=judge) | {"name": f"sft-{model}"}
        for model, judge in zip(("a", "b"), judges, strict=True)
    ]
    (sheet,) = compared(read_record([leave(tmp_path, runs)]).jobs)
    assert told in sheet.about and ("reward" in sheet.about.casefold()) == bool(told)


def test_many_models_are_lines_and_few_are_columns(tmp_path: Path) -> None:
    few = left(tmp_path / "few", *((f"m{n}", SIZES) for n in range(3)))
    many = left(tmp_path / "many", *((f"m{n}", SIZES) for n in range(9)))
    assert [column.title for column in compared(few)[0].columns] == ["", "m0", "m1", "m2"]
    (sheet,) = compared(many)
    assert [row[0].text for row in sheet.rows] == [f"m{n}" for n in range(9)]
    assert [column.title for column in sheet.columns][:4] == ["", "method", "seeds", "parameters"]


def test_one_model_is_no_comparison_of_models(tmp_path: Path) -> None:
    assert compared(left(tmp_path, ("tiny", SIZES), ("tiny", SIZES))) == []


def test_training_fits_by_the_peak_that_was_measured_on_a_gpu(tmp_path: Path) -> None:
    (group,) = group_jobs(left(tmp_path, ("llama", SIZES | GPU)))
    found = fits(group, suitability())
    assert found["train on T4"] == (True, "measured")  # 14.4 of 0.9 x 16 GB
    (tight,) = group_jobs(left(tmp_path / "tight", ("llama", SIZES | GPU | {"cost/peak_memory_bytes": 14.5e9})))
    assert fits(tight, suitability())["train on T4"] == (False, "measured")
    assert fits(tight, suitability())["train on L4"] == (True, "measured")


def test_without_a_gpu_training_is_planned_from_weights_and_trained_parameters(tmp_path: Path) -> None:
    on_a_cpu = {"cost/gpu_seconds": 0.0, "cost/peak_memory_bytes": 1e9}  # of a CPU: says nothing of a GPU
    # study S4's 7 B model in full: 14 GB of 16-bit weights + 12 x 7 = 98 GB
    full = {"cost/parameters": 7e9, "cost/trainable_parameters": 7e9, "cost/model_bytes": 14e9}
    (group,) = group_jobs(left(tmp_path, ("seven", full | on_a_cpu)))
    found = fits(group, suitability())
    assert found["train on A100"] == (False, "planned")
    assert found["run on 8 GB GPU"] == (False, "planned")  # 14 x 1.2
    (lora,) = group_jobs(left(tmp_path / "lora", ("seven", full | on_a_cpu | {"cost/trainable_parameters": 1e7})))
    assert fits(lora, suitability())["train on L4"] == (True, "planned")  # 14.12 of 21.6
    assert fits(lora, suitability())["train on T4"] == (True, "planned")  # 14.12 of 14.4
    four_bit = full | on_a_cpu | {"cost/trainable_parameters": 1e7, "cost/model_bytes": 4e9}
    (qlora,) = group_jobs(left(tmp_path / "qlora", ("seven", four_bit)))
    assert fits(qlora, suitability())["run on laptop CPU"] == (True, "planned")  # 4.8 of 7.2


def test_a_run_of_an_earlier_version_tells_nothing_of_fitting(tmp_path: Path) -> None:
    (group,) = group_jobs(left(tmp_path, ("old", {"final/nll": 1.0})))
    assert fits(group, suitability()) == {}


def test_thresholds_that_can_not_be_read_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("share: 2\n")
    with pytest.raises(UserError, match=r"mine\.yaml"):
        read_suitability(file)


def test_counts_in_words() -> None:
    assert [count(value) for value in (350_208, 124_439_808, 1.2358e9)] == ["350,208", "124.4 M", "1.24 B"]


def test_jobs_by_how_they_ended_and_bars_of_their_time(tmp_path: Path) -> None:
    outcomes = [
        finished(["model=a"], {}) | {"name": "sft-a", "seconds": 30.0},
        finished(["model=a", "seed=2"], {}) | {"name": "sft-a", "seconds": 50.0},
        {**finished(["model=a", "seed=3"], {}), "name": "sft-a", "status": "failed", "error": "x", "seconds": 900.0},
        finished(["model=b"], {}) | {"name": "sft-b", "seconds": 80.0},
    ]
    leave(tmp_path, outcomes)
    (sheet,) = runtimes_sheets(read_record([tmp_path]).jobs)
    first, second = sheet.rows
    assert [cell.text for cell in first] == ["a", "SFT", "2 of 3", "1 failed", "40.0 s", "80.0 s"]
    assert (first[4].bar, first[4].below, second[4].bar) == (0.5, "30.0 s to 50.0 s", 1.0)
    assert runtimes_sheets(read_record([tmp_path]).jobs[:1]) == []


def test_where_energy_comes_from_is_said_once_or_job_by_job(tmp_path: Path) -> None:
    sources = ["nvml", "nvml", "rated"]
    leave(tmp_path, [finished([f"seed={n}"], {}) | {"energy_source": source} for n, source in enumerate(sources)])
    jobs = read_record([tmp_path]).jobs
    assert energy_told(jobs[:2]) == ["kWh: measured by NVML."]
    assert energy_told(jobs) == ["kWh are not of one kind: jobs 1, 2 measured by NVML; job 3 rated watts, an estimate."]
    assert energy_told([]) == []
