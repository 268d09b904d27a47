"""Energy of the processor that a stage computes on: read from its own meter where there is one, else estimated.

A stage on GPUs is measured by NVML, one on a CPU by RAPL (Linux powercap); neither counts fans or the rest of the
machine, and both count whatever else runs on the same chip. Where no meter can be read, the cost meter multiplies
rated watts with seconds (`rlhf.evaluation.cost.meter.priced`). `SOURCES` says of each number which it was.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rlhf.errors import UserError

if TYPE_CHECKING:
    from rlhf.config import HardwareSpec

POWERCAP = Path("/sys/class/powercap")
PACKAGE = re.compile(r"intel-rapl:\d+")  # AMD's have the same name; `intel-rapl-mmio:N` is the same package once more
IN_PART = "_in_part"  # of interrupted attempts nothing was measured
SOURCES = {  # as `energy_source` in result.json -> in words
    "nvml": "measured by NVML",
    "rapl": "measured by RAPL",
    "codecarbon": "estimated by codecarbon",
    "rated": "rated watts, an estimate",
    f"nvml{IN_PART}": "measured by NVML, interrupted attempts taken at the same mean power",
    f"rapl{IN_PART}": "measured by RAPL, interrupted attempts taken at the same mean power",
    f"codecarbon{IN_PART}": "estimated by codecarbon, interrupted attempts taken at the same mean power",
}
MEASURED = tuple(name for name in SOURCES if name.startswith(("nvml", "rapl")))


class EnergyMeter(Protocol):
    """Counts the energy of a span; `sample` is called every tenth of a second while it lasts."""

    source: str  # key of SOURCES

    def start(self) -> None:
        """Begin the span."""
        ...

    def sample(self) -> None:
        """Look at the meter, so that nothing is missed between start and end."""
        ...

    def joules(self) -> float | None:
        """Energy since `start`, in joules; None where it is known only after `stop`."""
        ...

    def stop(self) -> None:
        """End the span."""
        ...


class NoMeter(Exception):
    """There is no such meter here, or it can't be read; the message says why."""


class Rapl:
    """CPU packages through Linux powercap: counters in microjoules that start again after `max_energy_range_uj`."""

    source = "rapl"

    def __init__(self, powercap: Path) -> None:
        """Find the packages. Raises `NoMeter` where there is none, or where its counter may not be read."""
        self._domains = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if _is_package(zone)]
        if not self._domains:
            raise NoMeter(f"{powercap} has no CPU package")
        try:
            self._ranges = [_number(zone / "max_energy_range_uj") for zone in self._domains]
            self._read()
        except (OSError, ValueError) as error:
            told = "may only be read by root" if isinstance(error, PermissionError) else "can't be read"
            raise NoMeter(f"{self._domains[0] / 'energy_uj'} {told}") from error
        self._last: list[int] = []
        self._microjoules = 0
        self._lock = threading.Lock()  # two threads whose looks cross would add a whole range that was never used

    def start(self) -> None:
        """Begin at the counters as they are."""
        with self._lock:
            self._last, self._microjoules = self._read(), 0

    def sample(self) -> None:
        """Add what the counters went on by; one that stands lower than before has started again."""
        with self._lock:
            now = self._read()
            for before, after, full in zip(self._last, now, self._ranges, strict=True):
                self._microjoules += after - before if after >= before else after - before + full
            self._last = now

    def joules(self) -> float:
        """All packages together."""
        self.sample()
        return self._microjoules / 1e6

    def stop(self) -> None:
        """Take the last step."""
        self.sample()

    def _read(self) -> list[int]:
        return [_number(zone / "energy_uj") for zone in self._domains]


class Nvml:
    """GPUs through NVIDIA's own library: their energy counter, else their power by the trapezoid rule.

    `library` is `pynvml` (package nvidia-ml-py). The counter came with Volta; older boards tell only watts.
    """

    source = "nvml"

    def __init__(self, library: Any, uuids: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        """Find the GPUs by UUID. Raises `NoMeter` where the driver does not answer for one of them."""
        self._library, self._clock = library, clock
        try:
            library.nvmlInit()
            self._boards = [library.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]
            self._counted = self._has_counter()
            self._began: float = self._millijoules() if self._counted else 0.0
            self._last = (clock(), 0.0 if self._counted else self._watts())
        except library.NVMLError as error:
            raise NoMeter(f"NVML does not answer ({error})") from error
        self._sum = 0.0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin at the counter, or the power, as it is."""
        self._sum = 0.0
        if self._counted:
            self._began = self._millijoules()
            return
        with self._lock:
            self._last = (self._clock(), self._watts())

    def sample(self) -> None:
        """Of a board without a counter: add the trapezoid between the last two looks at its power."""
        if self._counted:
            return
        with self._lock:
            (before, low), (now, high) = self._last, (self._clock(), self._watts())
            self._sum += (low + high) / 2 * (now - before)
            self._last = (now, high)

    def joules(self) -> float:
        """All boards together."""
        if self._counted:
            return (self._millijoules() - self._began) / 1e3
        self.sample()
        return self._sum

    def stop(self) -> None:
        """Nothing is held."""

    def _has_counter(self) -> bool:
        try:
            self._millijoules()
        except self._library.NVMLError_NotSupported:
            return False
        return True

    def _millijoules(self) -> float:
        return float(sum(self._library.nvmlDeviceGetTotalEnergyConsumption(board) for board in self._boards))

    def _watts(self) -> float:
        return float(sum(self._library.nvmlDeviceGetPowerUsage(board) for board in self._boards)) / 1e3


class Codecarbon:
    """An estimate by the library codecarbon, offline: processor, GPU and memory of the machine; beginning takes 3 s."""

    source = "codecarbon"

    def __init__(self) -> None:
        """Make its tracker. Raises `NoMeter` where it is not installed."""
        try:
            from codecarbon import OfflineEmissionsTracker
        except ImportError as error:
            raise NoMeter("codecarbon is not installed: pip install 'rlhf[energy]'") from error
        # the country weighs emissions, which nobody here asks for; other jobs of the machine may have one running
        self._tracker = OfflineEmissionsTracker(
            country_iso_code="USA", save_to_file=False, log_level="error", allow_multiple_runs=True
        )
        self._joules: float | None = None

    def start(self) -> None:
        """Begin its sampling."""
        self._tracker.start()

    def sample(self) -> None:
        """It samples by itself."""

    def joules(self) -> float | None:
        """What it said at its end."""
        return self._joules

    def stop(self) -> None:
        """End it; a failure of its own leaves no number."""
        self._tracker.stop()
        found = getattr(self._tracker, "final_emissions_data", None)
        self._joules = float(found.energy_consumed) * 3.6e6 if found is not None else None


def energy_meter(hardware: HardwareSpec, device: str, powercap: Path = POWERCAP) -> EnergyMeter | None:
    """The meter that `hardware.energy` asks for, None for rated watts; `auto` is the device's own where it answers.

    Raises `UserError` where a meter was asked for by name and can't be read, or is not that of `device`.
    """
    cuda, wanted = device.startswith("cuda"), hardware.energy
    if wanted == "rated":
        return None
    kind = ("nvml" if cuda else "rapl") if wanted == "auto" else wanted
    try:
        if kind == "codecarbon":
            return Codecarbon()
        if kind == "rapl":
            if cuda:
                raise NoMeter("counts CPU packages, and this run computes on a GPU")
            return Rapl(powercap)
        if not cuda:
            raise NoMeter("counts GPUs, and this run computes on a CPU")
        return Nvml(_pynvml(), _uuids())
    except NoMeter as error:
        if wanted == "auto":
            return None
        raise _refused(wanted, error) from error


def check_meter(hardware: HardwareSpec, powercap: Path = POWERCAP) -> None:
    """Raise `UserError` where a meter that is asked for by name is not on this machine; torch is not asked for GPUs."""
    try:
        if hardware.energy == "rapl":
            Rapl(powercap)
        elif hardware.energy == "nvml":
            Nvml(_pynvml(), ())
        elif hardware.energy == "codecarbon" and find_spec("codecarbon") is None:
            raise NoMeter("codecarbon is not installed: pip install 'rlhf[energy]'")
    except NoMeter as error:
        raise _refused(hardware.energy, error) from error


def _refused(wanted: str, error: NoMeter) -> UserError:
    told = f"{wanted}: {error}"
    return UserError("hardware.energy", told, "Use hardware.energy=auto, or rated with hardware.watts")


def _pynvml() -> Any:
    try:
        import pynvml
    except ImportError as error:
        raise NoMeter("nvidia-ml-py is not installed: pip install 'rlhf[energy]'") from error
    return pynvml


def _uuids() -> list[str]:
    """Of the GPUs of this job: this process's, or those of all its processes where they share the machine."""
    import torch

    world, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if world != here and world > 1:
        raise NoMeter("a job over several machines can't read the GPUs of the others")
    places = range(here) if world > 1 else [torch.cuda.current_device()]
    found = []
    for place in places:
        uuid = None
        with suppress(AttributeError):  # of a build for other GPUs
            uuid = torch.cuda.get_device_properties(place).uuid
        if uuid is None:
            raise NoMeter("torch does not say which GPU it uses")
        found.append(f"GPU-{uuid}")
    return found


def _is_package(zone: Path) -> bool:
    """Whether it is a CPU package: not one of its parts, and not the platform around it, which holds it as well."""
    name = zone / "name"
    return bool(PACKAGE.fullmatch(zone.name)) and name.is_file() and name.read_text().startswith("package-")


def _number(file: Path) -> int:
    return int(file.read_text())
