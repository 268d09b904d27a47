"""What a stage cost: time, money, energy, arithmetic and memory around its own work; and the sums over a pipeline."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rlhf.evaluation import metrics as names
from rlhf.evaluation.cost.energy import IN_PART, SOURCES

if TYPE_CHECKING:
    from types import TracebackType

    from rlhf.config import HardwareSpec
    from rlhf.evaluation.cost.energy import EnergyMeter

SAMPLE_SECONDS = 0.1
ENERGY_SOURCE, RATED = "energy_source", "rated"  # of a stage's result; empty where no energy is known
_PRICED = {names.COST_USD.name, names.COST_KWH.name, names.COST_MFU.name}


class CostMeter:
    """Context manager around a stage's own work; `report` gives its `cost/*` metrics, during the span or after it.

    Numbers of a hardware file are for one GPU (or one CPU machine); with several processes (WORLD_SIZE) on GPUs the
    cost is that of all of them, and so are the FLOPs and tokens that the caller adds. `precision` chooses the peak
    for `cost/mfu`; `energy` is what measures (`rlhf.evaluation.cost.energy`), None for rated watts.
    """

    def __init__(self, hardware: HardwareSpec, device: str, precision: str, energy: EnergyMeter | None) -> None:
        self._hardware = hardware
        self._energy = energy
        self._device = device
        self._cuda = device.startswith("cuda")
        self._devices = int(os.environ.get("WORLD_SIZE", "1")) if self._cuda else 1
        self._precision = precision
        self._tokens = self._samples = self._steps = 0
        self._flops = 0
        self._busy = 0.0  # processor time at the beginning, once the span has ended: of the span
        self._before = 0.0  # seconds of interrupted attempts
        self._joules: float | None = None  # once the span has ended
        self._memory = 0
        self._device_memory = 0
        self._high_water = 0
        self._started = 0.0
        self._ended: float | None = None
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="rlhf-memory", daemon=True)

    def __enter__(self) -> CostMeter:
        self._started = time.monotonic()
        self._busy = time.process_time()
        self._memory = resident_bytes()
        self._high_water = high_water_bytes()
        if self._cuda:
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)
        self._asked(lambda meter: meter.start())
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = time.monotonic()
        self._busy = time.process_time() - self._busy
        self._stop.set()
        self._sampler.join()
        self._memory = self._peak_host()
        self._asked(lambda meter: meter.stop())
        self._joules = self._asked(lambda meter: meter.joules())
        self._device_memory = self._peak_device()

    def add_tokens(self, count: int) -> None:
        """Count tokens processed, padding left out."""
        self._tokens += count

    def add_samples(self, count: int) -> None:
        """Count rows trained on, one of an earlier epoch again; of PPO the responses sampled."""
        self._samples += count

    def add_steps(self, count: int) -> None:
        """Count updates of the weights, of PPO rollouts."""
        self._steps += count

    def add_flops(self, count: int) -> None:
        """Count floating-point operations (see `rlhf.evaluation.cost.flops`)."""
        self._flops += count

    def add_seconds(self, seconds: float) -> None:
        """Count time that earlier, interrupted attempts at the same work took."""
        self._before += seconds

    def report(self) -> dict[str, float]:
        """The `cost/*` metrics of the span. What isn't known (price, power, peak) is absent rather than zero."""
        ended = self._ended is not None
        measured = (time.monotonic() if self._ended is None else self._ended) - self._started
        seconds = self._before + measured
        host = self._memory if ended else self._peak_host()
        busy = self._busy if ended else time.process_time() - self._busy
        longer = seconds / measured if measured > 0 else 1.0  # interrupted attempts are taken at the same rate
        report = {
            names.COST_SECONDS.name: seconds,
            names.COST_CPU_SECONDS.name: busy * longer,
            names.COST_GPU_SECONDS.name: seconds * self._devices if self._cuda else 0.0,
            names.COST_TOKENS.name: float(self._tokens),
            names.COST_PEAK_HOST_BYTES.name: float(host),
            names.COST_PEAK_MEMORY_BYTES.name: float(
                host if not self._cuda else self._device_memory if ended else self._peak_device()
            ),
        }
        if self._samples and seconds > 0:
            report[names.COST_SAMPLES_PER_SECOND.name] = self._samples / seconds
        if self._steps and seconds > 0:
            report[names.COST_STEPS.name] = float(self._steps)
            report[names.COST_STEPS_PER_SECOND.name] = self._steps / seconds
        if self._flops:
            report[names.COST_FLOPS.name] = float(self._flops)
        report = priced(report, self._hardware, self._precision)
        joules = self._joules if ended else self._asked(lambda meter: meter.joules())
        if joules is not None:
            report[names.COST_KWH.name] = joules * longer / 3.6e6
        return report

    @property
    def energy_source(self) -> str:
        """Where `cost/kwh` of the ended span comes from: a key of `energy.SOURCES`, empty where there is none."""
        if self._energy is not None and self._joules is not None:
            return self._energy.source + (IN_PART if self._before else "")
        return RATED if self._hardware.watts is not None else ""

    def _asked(self, ask: Callable[[EnergyMeter], Any]) -> Any:
        """What the energy meter answers; one that fails is given up for rated watts, as no meter may end a training."""
        if self._energy is None:
            return None
        try:
            return ask(self._energy)
        except Exception:
            self._energy = None
            return None

    def _peak_host(self) -> int:
        """A peak between two samples is seen when it is the highest of the process's life: the kernel notes it."""
        high_water = high_water_bytes()
        return max(self._memory, resident_bytes(), high_water if high_water > self._high_water else 0)

    def _peak_device(self) -> int:
        if not self._cuda:
            return 0
        import torch

        return int(torch.cuda.max_memory_allocated(self._device))

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._memory = max(self._memory, resident_bytes())
            self._asked(lambda meter: meter.sample())


def priced(report: Mapping[str, float], hardware: HardwareSpec, precision: str) -> dict[str, float]:
    """`report` with money, energy by rated watts and utilisation by `hardware`, whatever it said of them before.

    Machine time is GPU seconds where there are some, else seconds. What the hardware file does not say is left out.
    """
    priced = {name: value for name, value in report.items() if name not in _PRICED}
    machine_seconds = report[names.COST_GPU_SECONDS.name] or report[names.COST_SECONDS.name]
    if hardware.usd_per_hour is not None:
        priced[names.COST_USD.name] = hardware.usd_per_hour * machine_seconds / 3600
    if hardware.watts is not None:
        priced[names.COST_KWH.name] = hardware.watts * machine_seconds / 3.6e6
    peak = {str(key): rate for key, rate in hardware.peak_flops.items()}.get(precision)
    flops = report.get(names.COST_FLOPS.name)
    if flops and peak and machine_seconds > 0:
        priced[names.COST_MFU.name] = flops / (peak * machine_seconds)
    return priced


def repriced(result: Mapping[str, Any], hardware: HardwareSpec, precision: str) -> dict[str, Any]:
    """A finished stage's `result` with money, energy and utilisation by the hardware of the job that reuses it.

    Energy that was metered when it was built stays as it was, unless `hardware.energy` wants rated watts.
    """
    metrics = priced(result["metrics"], hardware, precision)
    source, kwh = str(result.get(ENERGY_SOURCE, "")), result["metrics"].get(names.COST_KWH.name)
    if source in SOURCES and source != RATED and kwh is not None and hardware.energy != RATED:
        metrics[names.COST_KWH.name] = kwh
    else:
        source = RATED if names.COST_KWH.name in metrics else ""
    return {**result, "metrics": metrics, ENERGY_SOURCE: source}


def resident_bytes() -> int:
    """Resident memory of this process now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def high_water_bytes() -> int:
    """The most resident memory that this process ever had; 0 where the system doesn't say."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def merge(reports: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """`cost/*` of several stages together: sums, except peak memory (maximum) and MFU (all FLOPs over all capacity).

    A metric that one of the stages lacks is left out: a partial sum would pass for the whole. What describes one model
    (parameters, bytes of its weights) or is a rate doesn't add up and is left out too.
    """
    shared = set(reports[0]).intersection(*reports[1:]) if reports else set()
    merged: dict[str, float] = {}
    for cost in names.COSTS:
        values = [report[cost.name] for report in reports] if cost.name in shared else []
        if not values or cost in names.NO_SUMS:
            continue
        if cost in (names.COST_PEAK_MEMORY_BYTES, names.COST_PEAK_HOST_BYTES):
            merged[cost.name] = max(values)
        elif cost is names.COST_MFU:
            flops = [report[names.COST_FLOPS.name] for report in reports]
            merged[cost.name] = sum(flops) / sum(done / share for done, share in zip(flops, values, strict=True))
        else:
            merged[cost.name] = sum(values)
    return merged


def pipeline_costs(reports: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """`cost/pipeline_*` of a stage: its own report and those of the stages it was built on."""
    return {names.pipeline_name(name): value for name, value in merge(reports).items()}


def energy_of(results: Sequence[Mapping[str, Any]]) -> str:
    """Where the energy of several stages together comes from: one source, or all of them with " + " between."""
    return " + ".join(dict.fromkeys(str(found) for result in results if (found := result.get(ENERGY_SOURCE))))
