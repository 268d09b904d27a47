from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from rlhf.config import HardwareSpec, TrackingSpec
from rlhf.evaluation.cost.meter import CostMeter, energy_of, merge, pipeline_costs, repriced, resident_bytes

CONF = Path(__file__).parents[3] / "conf"
MIB = 2**20


def make_hardware(**changes: object) -> HardwareSpec:
    values = {
        "name": "x",
        "device": "cpu",
        "usd_per_hour": 3.6,
        "peak_flops": {"fp32": 1e9},
        "watts": 100.0,
        "energy": "auto",
        "memory_gb": None,
        "source": "test",
    }
    return HardwareSpec.model_validate(values | changes)


def fixed_span(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    clock, busy = iter([100.0, 100.0 + seconds]), iter([7.0, 7.0 + 2 * seconds])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(time, "process_time", lambda: next(busy))


def test_ten_seconds_on_a_priced_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed_span(monkeypatch, 10.0)
    with CostMeter(make_hardware(), "cpu", "fp32", None) as meter:
        meter.add_tokens(100)
        meter.add_tokens(20)
        meter.add_samples(30)
        meter.add_steps(5)
        meter.add_flops(5 * 10**9)
    report = meter.report()
    assert report.pop("cost/peak_memory_bytes") == report.pop("cost/peak_host_bytes") > 10 * MIB
    assert meter.energy_source == "rated"
    assert report == pytest.approx({
        "cost/seconds": 10.0,
        "cost/cpu_seconds": 20.0,  # two busy cores
        "cost/gpu_seconds": 0.0,
        "cost/usd": 0.01,  # 3.6 USD/h is 0.001 USD/s
        "cost/kwh": 100 * 10 / 3.6e6,
        "cost/tokens": 120.0,
        "cost/samples_per_second": 3.0,
        "cost/steps": 5.0,
        "cost/steps_per_second": 0.5,
        "cost/flops": 5e9,
        "cost/mfu": 0.5,  # 5e9 of the 1e9 x 10 that were possible
    })  # fmt: skip


def test_what_is_unknown_is_absent_and_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed_span(monkeypatch, 1.0)
    with CostMeter(make_hardware(usd_per_hour=None, watts=None), "cpu", "bf16", None) as meter:
        meter.add_flops(7)
    assert set(meter.report()) == {
        "cost/seconds", "cost/gpu_seconds", "cost/tokens", "cost/flops", "cost/peak_memory_bytes",
        "cost/peak_host_bytes", "cost/cpu_seconds",
    }  # fmt: skip
    assert meter.energy_source == ""


def test_on_gpus_every_process_of_the_job_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    fixed_span(monkeypatch, 10.0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 123)
    with CostMeter(make_hardware(), "cuda:0", "fp32", None) as meter:
        meter.add_flops(10**10)
    report = meter.report()
    assert (report["cost/gpu_seconds"], report["cost/peak_memory_bytes"]) == (20.0, 123.0)
    assert report["cost/peak_host_bytes"] > 10 * MIB
    assert report["cost/usd"] == pytest.approx(0.02)
    assert report["cost/mfu"] == pytest.approx(0.5)  # 1e10 of 1e9 x 10 s x 2


def test_the_peak_of_the_span_is_seen_even_when_freed_again() -> None:
    before = resident_bytes()
    with CostMeter(make_hardware(), "cpu", "fp32", None) as meter:
        block = bytearray(400 * MIB)
        block[::4096] = b"x" * len(block[::4096])
        time.sleep(0.25)
        del block
    assert meter.report()["cost/peak_memory_bytes"] >= before + 380 * MIB
    with CostMeter(make_hardware(), "cpu", "fp32", None) as later:
        time.sleep(0.05)
    assert later.report()["cost/peak_memory_bytes"] < before + 200 * MIB, "an earlier stage's peak is not this one's"


def test_time_of_interrupted_attempts_is_paid_too(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed_span(monkeypatch, 10.0)
    with CostMeter(make_hardware(), "cpu", "fp32", None) as meter:
        meter.add_seconds(5.0)
    assert (meter.report()["cost/seconds"], meter.report()["cost/cpu_seconds"]) == (15.0, 30.0)


def test_a_report_during_the_span_and_after_an_error() -> None:
    meter = CostMeter(make_hardware(), "cpu", "fp32", None)
    with pytest.raises(RuntimeError, match="boom"), meter:
        assert meter.report()["cost/seconds"] >= 0
        raise RuntimeError("boom")
    first = meter.report()
    time.sleep(0.05)
    assert meter.report() == first


def test_a_pipeline_sums_costs_and_takes_the_largest_memory() -> None:
    sft = {"cost/seconds": 10.0, "cost/usd": 1.0, "cost/flops": 2e9, "cost/mfu": 0.2, "cost/peak_memory_bytes": 5.0}
    dpo = {"cost/seconds": 30.0, "cost/usd": 2.0, "cost/flops": 6e9, "cost/mfu": 0.1, "cost/peak_memory_bytes": 3.0}
    # capacity: 2e9 / 0.2 + 6e9 / 0.1 = 7e10; 8e9 / 7e10
    assert merge([sft, dpo]) == pytest.approx(
        {"cost/seconds": 40.0, "cost/usd": 3.0, "cost/flops": 8e9, "cost/mfu": 8 / 70, "cost/peak_memory_bytes": 5.0}
    )
    assert pipeline_costs([sft])["cost/pipeline_usd"] == 1.0


def test_a_stage_without_a_price_leaves_the_sum_unknown() -> None:
    assert merge([{"cost/usd": 1.0, "cost/seconds": 1.0}, {"cost/seconds": 2.0}]) == {"cost/seconds": 3.0}
    assert merge([]) == {}


class Joules:
    """A meter that counts what it is told."""

    source = "rapl"

    def __init__(self, *joules: float) -> None:
        self.left = list(joules)

    def start(self) -> None: ...
    def sample(self) -> None: ...
    def stop(self) -> None: ...

    def joules(self) -> float:
        if not self.left:
            raise OSError("the meter is gone")
        return self.left.pop()


def test_measured_energy_is_told_in_place_of_rated_watts(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed_span(monkeypatch, 10.0)
    with CostMeter(make_hardware(), "cpu", "fp32", Joules(7200.0)) as meter:
        pass
    report = meter.report()
    assert (report["cost/kwh"], report["cost/usd"]) == pytest.approx((0.002, 0.01))  # 7200 J; 3.6 USD/h
    assert meter.energy_source == "rapl"


def test_interrupted_attempts_are_taken_at_the_mean_power_and_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed_span(monkeypatch, 10.0)
    with CostMeter(make_hardware(), "cpu", "fp32", Joules(7200.0)) as meter:
        meter.add_seconds(5.0)
    assert meter.report()["cost/kwh"] == pytest.approx(0.003)  # 720 W for 15 s
    assert meter.energy_source == "rapl_in_part"


def test_a_meter_that_fails_ends_no_training_and_leaves_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed_span(monkeypatch, 36.0)
    with CostMeter(make_hardware(), "cpu", "fp32", Joules()) as meter:
        pass
    assert meter.report()["cost/kwh"] == pytest.approx(0.001)  # 100 W for 36 s
    assert meter.energy_source == "rated"


def test_a_reused_stage_keeps_measured_energy_and_has_an_estimate_made_anew() -> None:
    costs = {"cost/seconds": 36.0, "cost/gpu_seconds": 0.0, "cost/kwh": 5.0}
    measured = {"metrics": costs, "energy_source": "nvml"}
    kept = repriced(measured, make_hardware(), "fp32")
    assert (kept["metrics"]["cost/kwh"], kept["energy_source"]) == (5.0, "nvml")
    again = repriced(measured, make_hardware(energy="rated"), "fp32")
    assert (again["metrics"]["cost/kwh"], again["energy_source"]) == (pytest.approx(0.001), "rated")
    for source in ({"energy_source": "rated"}, {}):  # {}: of an earlier version
        estimated = repriced({"metrics": costs, **source}, make_hardware(), "fp32")
        assert (estimated["metrics"]["cost/kwh"], estimated["energy_source"]) == (pytest.approx(0.001), "rated")
    unknown = repriced({"metrics": costs, "energy_source": "rated"}, make_hardware(watts=None), "fp32")
    assert "cost/kwh" not in unknown["metrics"] and unknown["energy_source"] == ""


def test_a_sum_says_of_what_kinds_of_energy_it_is_made() -> None:
    assert energy_of([{"energy_source": "nvml"}, {"energy_source": "nvml"}]) == "nvml"
    assert energy_of([{"energy_source": "nvml"}, {"energy_source": "rated"}, {}]) == "nvml + rated"


def test_sizes_and_rates_of_stages_are_not_added() -> None:
    stage = {
        "cost/samples_per_second": 2.0,
        "cost/steps": 5.0,
        "cost/steps_per_second": 1.0,
        "cost/epochs": 1.0,
        "cost/parameters": 7.0,
        "cost/model_bytes": 9.0,
        "cost/peak_host_bytes": 4.0,
    }
    assert merge([stage, stage]) == {"cost/peak_host_bytes": 4.0}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"energy": "rated", "watts": None}, "hardware.watts=WATTS"),
        ({"energy": "nvml", "device": "cpu"}, "hardware.energy=auto"),
        ({"energy": "rapl", "device": "cuda"}, "hardware.energy=auto"),
    ],
)
def test_a_meter_that_can_not_be_is_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make_hardware(**changes)


@pytest.mark.parametrize("file", sorted((CONF / "hardware").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_hardware_file_is_a_spec_with_sources(file: Path) -> None:
    spec = HardwareSpec.model_validate(yaml.safe_load(file.read_text()))
    assert spec.name == file.stem
    if spec.usd_per_hour is not None:
        assert "price: assumption" in spec.source and "2026-11" in spec.source
    if spec.peak_flops:
        assert "datasheet" in spec.source


@pytest.mark.parametrize("file", sorted((CONF / "tracking").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_tracking_file_is_a_spec(file: Path) -> None:
    assert TrackingSpec.model_validate(yaml.safe_load(file.read_text())).name == file.stem
