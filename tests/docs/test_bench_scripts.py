"""The benchmarks of the planner and of tracking, on one short stage and on seconds worked by hand."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from commandline import QUICK, command, environment
from rich.console import Console

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def test_the_planners_benchmark_sets_a_stages_estimate_beside_its_measured_peak(tmp_path: Path) -> None:
    done = command("method=sft", *QUICK, "tracking=none", "hardware=cpu", folder=tmp_path)
    assert done.code == 0, done.err
    [result] = tmp_path.glob("outputs/stages/sft-*/result.json")
    measured = json.loads(result.read_text())["metrics"]["cost/peak_memory_bytes"]
    run = [sys.executable, str(SCRIPTS / "bench_memory.py"), "outputs/stages", "--output", "results/memory.json"]
    subprocess.run(run, cwd=tmp_path, env=environment(), check=True, stdout=subprocess.DEVNULL)
    found = json.loads((tmp_path / "results" / "memory.json").read_text())
    [line] = found["stages"]
    assert (line["model"], line["method"], line["measured_mb"]) == ("tiny_gpt2", "sft", round(measured / 1e6))
    assert line["estimated_mb"] == pytest.approx(sum(line["components_mb"].values()), abs=5)  # each is rounded
    assert line["error"] == pytest.approx(line["estimated_mb"] / line["measured_mb"] - 1, abs=0.005)
    assert found["largest_error"] == abs(line["error"]) < 0.15


@pytest.fixture(scope="module")
def tracking() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_tracking", SCRIPTS / "bench_tracking.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_seconds_inside_of_the_tracker_count_once(tracking: ModuleType) -> None:
    begun = time.perf_counter()
    tracking.timed(tracking.timed(lambda: time.sleep(0.05)))()
    assert 0.05 <= tracking.spent["training_wall"] <= time.perf_counter() - begun


def test_the_benchmark_of_tracking_gives_ratios_to_none_and_shares_of_the_job(tracking: ModuleType) -> None:
    none = {"cpu": 10.0, "wall": 5.0, "cpu_in_tracking": 0.0, "training_wall": 0.0}
    file = {"cpu": 11.0, "wall": 6.0, "cpu_in_tracking": 0.55, "training_wall": 0.3}
    console = Console(width=140, record=True)
    console.print(tracking.table({"none": [none], "file": [file]}))
    [shown] = [line for line in console.export_text().splitlines() if "file" in line]
    cells = [cell.strip() for cell in shown.strip("│").split("│")]
    assert cells == ["file", "11.0", "6.0", "1.100", "1.200", "0.55 s, 5.00%", "0.30 s, 5.00%"]
