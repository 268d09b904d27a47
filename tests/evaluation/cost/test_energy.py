"""Energy from counters and from power, on a file tree laid out like Linux powercap and a library shaped like pynvml."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from rlhf.config import HardwareSpec
from rlhf.errors import UserError
from rlhf.evaluation.cost.energy import MEASURED, SOURCES, Nvml, Rapl, check_meter, energy_meter


def hardware(energy: str, watts: float | None = 100.0) -> HardwareSpec:
    return HardwareSpec(
        name="x",
        device="auto",
        usd_per_hour=None,
        peak_flops={},
        watts=watts,
        energy=energy,
        memory_gb=None,
        source="-",
    )  # type: ignore[arg-type]


def zone(powercap: Path, name: str, kind: str, energy: int, full: int = 1_000_000) -> Path:
    folder = powercap / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{kind}\n")
    (folder / "max_energy_range_uj").write_text(f"{full}\n")
    (folder / "energy_uj").write_text(f"{energy}\n")
    return folder


def put(folder: Path, energy: int) -> None:
    (folder / "energy_uj").write_text(f"{energy}\n")


def test_two_packages_are_added_and_their_parts_and_doubles_are_not(tmp_path: Path) -> None:
    one, other = zone(tmp_path, "intel-rapl:0", "package-0", 100), zone(tmp_path, "intel-rapl:1", "package-1", 500)
    rest = [
        zone(tmp_path, "intel-rapl:0:0", "core", 0),  # a part of package 0
        zone(tmp_path, "intel-rapl:2", "psys", 0),  # the whole board, packages included
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0),  # package 0 by another road
    ]
    meter = Rapl(tmp_path)
    meter.start()
    put(one, 300_100)
    put(other, 200_500)
    for folder in rest:
        put(folder, 900_000)
    assert meter.joules() == pytest.approx(0.5)  # 300,000 + 200,000 microjoules


def test_a_counter_that_starts_again_is_followed(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 900_000)
    meter = Rapl(tmp_path)
    meter.start()
    for energy in (50_000, 950_000, 100_000):  # 150,000 past the end; 900,000; 150,000 past the end
        put(package, energy)
        meter.sample()
    meter.stop()
    assert meter.joules() == pytest.approx(1.2)


def test_two_threads_that_look_at_once_add_no_range(tmp_path: Path) -> None:
    """The first reads 100 and is held up while the other adds 200: it must not take 100 for a counter begun anew."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    first_has_read, second_is_done = threading.Event(), threading.Event()

    class HeldUp(Rapl):
        def _read(self) -> list[int]:
            found = super()._read()
            if threading.current_thread() is first:
                first_has_read.set()
                second_is_done.wait(0.3)  # in vain where it waits for us
            return found

    meter: Rapl
    first = threading.Thread(target=lambda: meter.sample())
    meter = HeldUp(tmp_path)
    meter.start()
    put(package, 100_000)
    first.start()
    assert first_has_read.wait(5)
    put(package, 200_000)
    assert meter.joules() in (pytest.approx(0.2), pytest.approx(0.1))
    second_is_done.set()
    first.join()
    assert meter.joules() == pytest.approx(0.2)


def test_a_second_span_begins_at_zero(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = Rapl(tmp_path)
    meter.start()
    put(package, 700_000)
    meter.stop()
    meter.start()
    put(package, 800_000)
    assert meter.joules() == pytest.approx(0.1)


def test_rapl_that_is_not_there_falls_through_and_is_refused_by_name(tmp_path: Path) -> None:
    assert energy_meter(hardware("auto"), "cpu", tmp_path) is None
    with pytest.raises(UserError, match=r"hardware\.energy: rapl: .* has no CPU package.*hardware\.energy=auto"):
        energy_meter(hardware("rapl"), "cpu", tmp_path)


def test_rapl_that_can_not_be_read_falls_through_and_is_refused_by_name(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 5)
    (package / "energy_uj").unlink()
    (package / "energy_uj").mkdir()  # nobody reads a folder as a number, root neither
    assert energy_meter(hardware("auto"), "cpu", tmp_path) is None
    with pytest.raises(UserError, match=r"rapl: .*energy_uj can't be read"):
        energy_meter(hardware("rapl"), "cpu", tmp_path)
    (package / "energy_uj").rmdir()
    put(package, 5)
    found = energy_meter(hardware("auto"), "cpu", tmp_path)
    assert isinstance(found, Rapl)
    assert energy_meter(hardware("rated"), "cpu", tmp_path) is None


def test_a_meter_that_is_asked_for_by_name_is_looked_for_without_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("auto", "rated"):
        check_meter(hardware(name), tmp_path)
    with pytest.raises(UserError, match=r"hardware\.energy: rapl: .* has no CPU package.*hardware\.energy=auto"):
        check_meter(hardware("rapl"), tmp_path)
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    check_meter(hardware("rapl"), tmp_path)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(UserError, match=r"hardware\.energy: nvml: nvidia-ml-py is not installed"):
        check_meter(hardware("nvml"), tmp_path)
    monkeypatch.setattr("rlhf.evaluation.cost.energy.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"hardware\.energy: codecarbon: codecarbon is not installed"):
        check_meter(hardware("codecarbon"), tmp_path)


@pytest.mark.parametrize(("energy", "device", "why"), [("nvml", "cpu", "on a CPU"), ("rapl", "cuda", "on a GPU")])
def test_the_meter_of_another_processor_is_refused(energy: str, device: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        energy_meter(hardware(energy), device)


class Library:
    """What `pynvml` offers, for boards that are told what they used: millijoules since the driver, milliwatts now."""

    class NVMLError(Exception):
        pass

    class NVMLError_NotSupported(NVMLError):  # noqa: N801  # pynvml's name
        pass

    def __init__(self, energy: dict[str, int] | None, power: dict[str, int]) -> None:
        self.energy, self.power = energy, power

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid not in self.power:
            raise self.NVMLError("Not Found")
        return f"handle of {uuid}"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        if self.energy is None:
            raise self.NVMLError_NotSupported
        return self.energy[handle.removeprefix("handle of ")]

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return self.power[handle.removeprefix("handle of ")]


def test_counters_of_two_gpus_are_added() -> None:
    library = Library({"GPU-a": 1000, "GPU-b": 5000, "GPU-other": 0}, {"GPU-a": 1, "GPU-b": 1, "GPU-other": 1})
    meter = Nvml(library, ["GPU-a", "GPU-b"])
    library.energy = {"GPU-a": 4000, "GPU-b": 5500, "GPU-other": 999_999}
    meter.start()
    library.energy = {"GPU-a": 6000, "GPU-b": 7500, "GPU-other": 9_999_999}
    meter.sample()
    assert meter.joules() == pytest.approx(4.0)  # 2000 + 2000 millijoules


def test_power_is_integrated_by_the_trapezoid_rule_where_there_is_no_counter() -> None:
    library = Library(None, {"GPU-a": 100_000, "GPU-b": 50_000})
    now = [0.0]
    meter = Nvml(library, ["GPU-a", "GPU-b"], lambda: now[0])
    meter.start()  # 150 W at 0 s
    now[0], library.power = 2.0, {"GPU-a": 200_000, "GPU-b": 50_000}
    meter.sample()  # 250 W at 2 s: (150 + 250) / 2 x 2 = 400 J
    now[0], library.power = 3.0, {"GPU-a": 300_000, "GPU-b": 50_000}
    assert meter.joules() == pytest.approx(700.0)  # 350 W at 3 s: (250 + 350) / 2 x 1 = 300 J more


def test_a_gpu_that_nvml_does_not_know_is_no_meter() -> None:
    from rlhf.evaluation.cost.energy import NoMeter

    with pytest.raises(NoMeter, match="Not Found"):
        Nvml(Library({}, {}), ["GPU-a"])


def test_codecarbon_estimates_this_machine_in_its_own_unit() -> None:
    import time

    pytest.importorskip("codecarbon")
    meter = energy_meter(hardware("codecarbon"), "cpu")
    assert meter is not None and meter.source == "codecarbon"
    meter.start()
    assert meter.joules() is None  # it tells at its end
    time.sleep(1.2)
    meter.stop()
    joules = meter.joules()
    assert joules is not None and 1 < joules < 5000  # watts of a machine for seconds: no kWh, no milliwatt hours


def test_every_source_is_told_as_measured_or_as_an_estimate() -> None:
    assert all(("measured" in told) == (name in MEASURED) for name, told in SOURCES.items())
    assert all("estimate" in told for name, told in SOURCES.items() if name not in MEASURED)
