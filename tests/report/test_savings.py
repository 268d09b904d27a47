"""Savings are ratios of runs that were made: at the same tokens, to the same loss, with their range over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from left_by_jobs import finished, leave
from scipy.stats import ttest_1samp

from rlhf.report.ratios import Missing, Ratio
from rlhf.report.record import JobRecord, read_record
from rlhf.report.savings import Reach, find_savings, reach
from rlhf.report.savings_sheet import factor, less, savings_sheets
from rlhf.report.sheets import Sheet, SheetCell

FULL = {"cost/seconds": 100.0, "cost/usd": 2.0, "cost/kwh": 0.4, "cost/flops": 1e12, "cost/tokens": 1000.0}
FULL |= {"cost/peak_memory_bytes": 8e9, "cost/artifact_bytes": 1e9, "cost/trainable_parameters": 1e6, "final/nll": 1.0}
DOWN = [[0, 4.0], [50, 2.0], [100, 1.0]]


def job(way: str, seed: int, *, curve: Sequence[Sequence[float]] = DOWN, times: float = 1.0, **more: Any) -> Any:
    """A run of `way`, whose costs are those of the full one `times` a factor; `more` replaces parts of the outcome."""
    metrics = {name: value * times for name, value in FULL.items()} | {"cost/tokens": 1000.0}
    metrics |= more.pop("metrics", {})
    curves = {"eval/loss": [list(point) for point in curve], "train/loss": [[1, 5.0], [100, 1.0]]}
    outcome = finished([f"tuning={way}", f"seed={seed}"], metrics, curves=curves, energy_source="nvml")
    return outcome | {"name": "sft-tiny"} | more


def left(folder: Path, outcomes: Sequence[Mapping[str, Any]]) -> list[JobRecord]:
    """Leave the jobs with what their tuning composed to."""
    leave(folder, outcomes)
    for number, outcome in enumerate(outcomes):
        way = next(word.partition("=")[2] for word in outcome["words"] if word.startswith("tuning="))
        seed = next(word.partition("=")[2] for word in outcome["words"] if word.startswith("seed="))
        adapter, _, quantization = way.partition("_")
        config = {"adapter": {"name": "none" if adapter == "full" else adapter}, "model": {"name": "tiny"}}
        config |= {"quantization": {"name": quantization or "none"}, "seed": int(seed)}
        (folder / str(number) / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    return list(read_record([folder]).jobs)


def cells(sheet: Sheet) -> dict[str, dict[str, SheetCell]]:
    """The cells by what a line is of, then by the way of training."""
    ways = [column.title for column in sheet.columns[1:]]
    return {row[0].text: dict(zip(ways, row[1:], strict=True)) for row in sheet.rows}


def test_a_ratio_of_two_runs_at_the_same_tokens(tmp_path: Path) -> None:
    (found,) = find_savings(left(tmp_path, [job("full", 1), job("lora", 1, times=0.25)]))
    full, lora = found.ways
    assert (full.label, full.baseline, lora.label) == ("full", True, "LoRA")
    assert lora.ratios["cost/usd"] == Ratio(0.25, 0.25, 0.25, 1)
    assert lora.ratios["cost/peak_memory_bytes"] == Ratio(0.25, 0.25, 0.25, 1)
    assert isinstance(lora.ratios["cost/peak_host_bytes"], Missing)  # which nobody measured
    assert not lora.ratios["cost/usd"].within_noise  # of one seed nothing is known, and a note says so
    assert any("one seed" in note for note in found.notes)


def test_over_seeds_each_is_compared_with_the_same_seed(tmp_path: Path) -> None:
    jobs = [job("full", 1), job("full", 2, times=2.0), job("lora", 1, times=0.5), job("lora", 2, times=1.4)]
    (found,) = find_savings(left(tmp_path, jobs))
    ratio = found.ways[1].ratios["cost/seconds"]
    assert isinstance(ratio, Ratio)
    assert (ratio.value, ratio.low, ratio.high, ratio.seeds) == pytest.approx((0.35**0.5, 0.5, 0.7, 2))  # .5/1, 1.4/2
    assert ratio.is_range
    assert not ratio.within_noise


def test_a_saving_that_one_seed_has_and_another_not_is_within_noise_and_grey(tmp_path: Path) -> None:
    jobs = [job("full", 1), job("full", 2), job("lora", 1, times=0.8), job("lora", 2, times=1.1)]
    (sheet,) = savings_sheets(left(tmp_path, jobs))
    cell = cells(sheet)["time"]["LoRA"]
    assert (cell.text, cell.tone) == ("0.94x", "unclear")  # sqrt(0.8 x 1.1)
    assert cell.below == "within noise (range 0.80x to 1.10x), 95.0 s"


def test_what_too_few_seeds_tell_is_grey_but_for_what_no_seed_changes(tmp_path: Path) -> None:
    jobs = [job("full", 1), job("full", 2), job("lora", 1, times=0.5), job("lora", 2, times=0.6)]
    (sheet,) = savings_sheets(left(tmp_path, jobs))
    time, disk = cells(sheet)["time"]["LoRA"], cells(sheet)["on disk"]["LoRA"]
    assert (time.tone, disk.tone) == ("soft", "")
    assert time.below == "45% less (range 0.50x to 0.60x), not tested, 55.0 s"


def test_of_three_seeds_the_interval_says_what_is_noise(tmp_path: Path) -> None:
    """Logs of 0.5, 0.7 and 0.98 are ln(0.7) and that -+ ln(1.4): sd 0.3365, times 4.3027 / sqrt(3) is 0.8358.

    0.7 x exp(-+ 0.8358) is 0.303 to 1.615, which holds 1: no saving is shown, though each seed has one.
    """
    shares = enumerate((0.5, 0.7, 0.98), start=1)
    jobs = [job("full", 1), job("full", 2), job("full", 3), *(job("lora", seed, times=share) for seed, share in shares)]
    records = left(tmp_path, jobs)
    ratio = find_savings(records)[0].ways[1].ratios["cost/seconds"]
    assert isinstance(ratio, Ratio) and not ratio.is_range
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.7, 0.3034, 1.6149), rel=1e-3)
    (sheet,) = savings_sheets(records)
    cell = cells(sheet)["time"]["LoRA"]
    assert (cell.text, cell.tone) == ("0.70x", "unclear")
    assert cell.below.startswith("within noise (0.30x to 1.61x)")
    assert "95% interval over seeds" in sheet.about and "of two seeds their range" in sheet.about


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"metrics": {"cost/tokens": 900.0}}, "other tokens"),
        ({"energy_source": "rated"}, "measured in different ways"),
    ],
)
def test_what_can_not_be_compared_has_no_ratio(change: dict[str, Any], why: str, tmp_path: Path) -> None:
    (found,) = find_savings(left(tmp_path, [job("full", 1), job("lora", 1, **change)]))
    assert found.ways[1].ratios["cost/kwh"] == Missing(why)
    assert isinstance(found.ways[1].ratios["cost/seconds"], Missing if why == "other tokens" else Ratio)


def test_without_a_full_fine_tune_there_is_no_saving(tmp_path: Path) -> None:
    assert find_savings(left(tmp_path / "a", [job("lora", 1), job("lora_nf4", 1)])) == []
    assert find_savings(left(tmp_path / "b", [job("full", 1), job("full", 2)])) == []


def test_runs_that_differ_in_more_than_the_way_of_training_are_not_compared(tmp_path: Path) -> None:
    other = job("lora", 1, times=0.5)
    other["words"] = [*other["words"], "dataset.rows=9"]
    assert find_savings(left(tmp_path, [job("full", 1), other])) == []


def test_seeds_that_only_one_of_the_two_has_are_left_out(tmp_path: Path) -> None:
    (found,) = find_savings(left(tmp_path, [job("full", 1), job("lora", 1, times=0.5), job("lora", 2, times=0.1)]))
    assert found.ways[1].ratios["cost/usd"] == Ratio(0.5, 0.5, 0.5, 1)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (3.0, Reach(25.0, 0.25, False)),  # half of the way from 4 to 2
        (2.0, Reach(50.0, 0.5, False)),
        (1.25, Reach(87.5, 0.875, False)),  # three quarters of the way from 2 to 1
        (0.9, None),  # never
        (5.0, Reach(0.0, 0.0, False)),  # before the first step
        (None, None),
    ],
)
def test_where_a_curve_first_reaches_a_loss(target: float | None, expected: Reach | None) -> None:
    assert reach([(0, 4.0), (50, 2.0), (100, 1.0)], target, 100.0) == expected


def test_a_loss_that_the_first_evaluation_is_below_was_reached_by_then_at_most() -> None:
    assert reach([(20, 1.5), (40, 1.0)], 2.0, 40.0) == Reach(20.0, 0.5, True)
    assert reach([(50, 0.5)], 0.6, 100) == Reach(50.0, 0.5, True)


def test_a_loss_that_was_reached_before_anybody_looked_gives_no_ratio(tmp_path: Path) -> None:
    jobs = [job("full", 1), job("lora", 1, times=0.5, curve=[[50, 0.5], [100, 0.4]])]
    (found,) = find_savings(left(tmp_path, jobs))
    assert found.common_loss == 1.0
    assert found.ways[1].to_common["cost/seconds"] == Missing("reached before the first evaluation")
    assert found.ways[1].to_best["cost/seconds"] == Missing("reached before the first evaluation")


def test_a_curve_that_comes_back_counts_where_it_first_was() -> None:
    assert reach([(0, 4.0), (10, 2.0), (20, 3.0), (40, 1.0)], 2.0, 40.0) == Reach(10.0, 0.25, False)


def test_the_cost_to_the_loss_that_all_reach_and_to_the_best_of_the_full_one(tmp_path: Path) -> None:
    slow = [[0, 4.0], [100, 2.0]]
    (found,) = find_savings(left(tmp_path, [job("full", 1), job("lora", 1, times=0.5, curve=slow)]))
    assert (found.common_loss, found.best_loss) == (2.0, 1.0)
    # to 2.0: the full one took half of its 100 s, LoRA all of its 50 s: no saving; to 1.0 LoRA never came
    assert found.ways[1].to_common["cost/seconds"] == Ratio(1.0, 1.0, 1.0, 1)
    assert found.ways[1].to_best["cost/seconds"] == Missing("never")
    (sheet,) = savings_sheets(left(tmp_path / "again", [job("full", 1), job("lora", 1, times=0.5, curve=slow)]))
    assert cells(sheet)["time to loss 2.000"]["LoRA"].text == "1.00x"
    assert cells(sheet)["time to loss 1.000"]["LoRA"].text == "never"


def test_quality_stands_beside_with_intervals_over_seeds(tmp_path: Path) -> None:
    worse = [job("lora", seed, metrics={"final/nll": value}) for seed, value in ((1, 3.0), (2, 3.1), (3, 3.2))]
    alike = [job("lora_nf4", seed, metrics={"final/nll": value}) for seed, value in ((1, 0.9), (2, 1.0), (3, 1.1))]
    full = [job("full", seed, metrics={"final/nll": value}) for seed, value in ((1, 0.9), (2, 1.0), (3, 1.1))]
    (sheet,) = savings_sheets(left(tmp_path, [*full, *worse, *alike]))
    by_way = cells(sheet)["nll"]
    assert list(by_way) == ["full", "LoRA", "LoRA on nf4"]
    first, second, third = by_way.values()
    # t of 2 degrees of freedom is 4.3027: 0.1 / sqrt(3) x 4.3027 = 0.2484
    assert (first.text, first.below, first.tone) == ("1.000", "0.752 to 1.248", "")
    assert (second.text, second.tone) == ("3.100", "")
    assert (third.text, third.tone) == ("1.000", "unclear")


def test_machines_that_differ_are_told(tmp_path: Path) -> None:
    machines = [{"machine": {"hardware.gpu": name}} for name in ("T4", "H100")]
    jobs = [job("full", 1, **machines[0]), job("lora", 1, **machines[1])]
    (found,) = find_savings(left(tmp_path, jobs))
    assert any("different machines" in note for note in found.notes)


@pytest.mark.parametrize(
    ("ratio", "shown", "words"),
    [
        (0.31, "0.31x", "69% less"), (1.8, "1.80x", "80% more"), (0.0042, "0.0042x", "99.6% less"),
        (12.3, "12x", "12.3 times as much"), (1.001, "1.001x", "the same"), (1.0, "1.00x", "the same"),
    ],
)  # fmt: skip
def test_ratios_in_words(ratio: float, shown: str, words: str) -> None:
    assert (factor(ratio), less(ratio)) == (shown, words)


@pytest.mark.parametrize(
    ("busy", "gpu", "told"),
    [(9.0, 0.0, True), (5.2, 0.0, False), (9.0, 50.0, False)],
    ids=["a busy machine", "a quiet one", "a GPU, whose host only drives it"],
)
def test_a_clock_that_says_other_than_the_processor_is_told(
    busy: float, gpu: float, told: bool, tmp_path: Path
) -> None:
    full = job("full", 1, metrics={"cost/cpu_seconds": 10.0, "cost/gpu_seconds": gpu})
    lora = job("lora", 1, times=0.5, metrics={"cost/cpu_seconds": busy, "cost/gpu_seconds": gpu})
    (found,) = find_savings(left(tmp_path, [full, lora]))
    assert any("LoRA: the clock and the processor's time disagree" in note for note in found.notes) == told


def test_ratios_are_corrected_for_their_number_and_what_repeats_another_counts_once(tmp_path: Path) -> None:
    """Ten costs have one and the same ratio, so the test is one; a second way adds its own."""
    shares = {"lora": (0.5, 0.55, 0.6), "lora_nf4": (0.7, 1.0, 1.3)}
    jobs = [job("full", seed) for seed in (1, 2, 3)]
    jobs += [job(way, seed, times=share) for way, own in shares.items() for seed, share in enumerate(own, start=1)]
    (found,) = find_savings(left(tmp_path, jobs))
    logs = [math.log(share) for share in shares["lora"]]
    alone = float(ttest_1samp(logs, 0.0).pvalue)
    ratio = found.ways[1].ratios["cost/seconds"]
    assert isinstance(ratio, Ratio) and ratio.p == pytest.approx(alone)
    tests = 1 + 1 + 2  # by tokens, and to the common and to the best loss, where both ways have a ratio each
    assert ratio.p_holm is not None and alone < ratio.p_holm <= 2 * tests * alone
    assert isinstance(size := found.ways[1].ratios["cost/usd"], Ratio) and size.p_holm == ratio.p_holm


def test_what_no_seed_changes_is_not_left_to_chance(tmp_path: Path) -> None:
    jobs = [job(way, seed, times=times) for way, times in (("full", 1.0), ("lora", 0.5)) for seed in (1, 2, 3)]
    (found,) = find_savings(left(tmp_path, jobs))
    assert isinstance(ratio := found.ways[1].ratios["cost/artifact_bytes"], Ratio)
    assert (ratio.p, ratio.p_holm, ratio.within_noise) == (None, None, False)
