from __future__ import annotations

import math
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np

from rlhf.report import plots

CURVES = {
    "loss": {
        "beta=0.1": [(step, 0.693 - 0.01 * step) for step in range(20)],
        "beta=0.3": [(0, 0.69), (10, math.nan), (20, 0.6)],
    },
    "reward": {"beta=0.1": [(0, 0.0), (20, 1.0)]},
    "kl": {"beta=0.3": [(5, 2.0)]},
}


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return int(width), int(height)


def test_a_png_of_150_dpi_on_white(tmp_path: Path) -> None:
    from matplotlib.image import imread

    path = plots.plot_curves(CURVES, tmp_path / "new" / "curves.png", "A study", {"loss: ln 2": math.log(2)})
    assert png_size(path)[0] == 2 * plots.PANEL_INCHES[0] * 150
    pixels = imread(path)
    assert np.allclose(pixels[0, 0, :3], 1.0)
    blue = np.array([0x00, 0x72, 0xB2]) / 255
    assert (np.abs(pixels[..., :3] - blue).max(axis=-1) < 0.01).sum() > 100, (
        "the first run is drawn in the first colour"
    )


def test_a_named_baseline_is_drawn_in_its_panel_and_others_in_all(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots(1, 2)
    for panel, metric in zip(axes, ("loss", "reward"), strict=True):
        plots._draw_baseline(panel, metric, "loss: ln 2", math.log(2), {"loss", "reward"})
        plots._draw_baseline(panel, metric, "chance", 0.5, {"loss", "reward"})
    drawn = [
        [(text.get_text(), line.get_ydata()[0]) for text, line in zip(p.texts, p.get_lines(), strict=True)]
        for p in axes
    ]
    assert drawn == [[("ln 2", math.log(2)), ("chance", 0.5)], [("chance", 0.5)]]
    assert axes[0].get_lines()[0].get_linestyle() == "--"


def test_one_run_one_panel_and_nothing_at_all(tmp_path: Path) -> None:
    one = plots.plot_curves({"loss": {"dpo": [(0, 1.0)]}}, tmp_path / "one.png", "One", {})
    none = plots.plot_curves({}, tmp_path / "none.png", "None", {})
    assert png_size(one)[0] == png_size(none)[0] == plots.PANEL_INCHES[0] * 150


def test_more_runs_than_colours_get_another_dash(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    for index in range(len(plots.PALETTE) + 1):
        plots._draw(axes, str(index), [(0, 0.0), (1, 1.0)], index)
    first, last = axes.get_lines()[0], axes.get_lines()[-1]
    assert first.get_color() == last.get_color() and first.get_linestyle() != last.get_linestyle()


def test_importing_reports_imports_no_matplotlib() -> None:
    code = "import sys, rlhf.report.plots, rlhf.report.table; print({'matplotlib', 'rich', 'torch'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60)
    assert done.stdout.strip() == "set()"
