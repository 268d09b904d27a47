from __future__ import annotations

import math
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rlhf.report import plots

PANELS = {
    "loss": plots.Panel(
        {
            "beta=0.1": [(step, 0.693 - 0.01 * step) for step in range(20)],
            "beta=0.3": [(0, 0.69), (10, math.nan), (20, 0.6)],
        },
        "nats per pair",
        {"ln 2": math.log(2)},
    ),
    "reward": plots.Panel({"beta=0.1": [(0, 0.0), (20, 1.0)]}, "", {}),
    "kl": plots.Panel({"beta=0.3": [(5, 2.0)]}, "nats", {"none": 0.0}),
    "accuracy": plots.Panel({"beta=0.3": [(5, 0.6)]}, "share", {}),
}


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return int(width), int(height)


def test_a_png_of_150_dpi_on_white(tmp_path: Path) -> None:
    from matplotlib.image import imread

    path = plots.plot_curves(PANELS, tmp_path / "new" / "curves.png", "A study")
    assert png_size(path)[0] == 2 * plots.PANEL_INCHES[0] * 150
    pixels = imread(path)
    assert np.allclose(pixels[0, 0, :3], 1.0)
    blue = np.array([0x00, 0x72, 0xB2]) / 255
    assert (np.abs(pixels[..., :3] - blue).max(axis=-1) < 0.01).sum() > 100, (
        "the first run is drawn in the first colour"
    )


def test_panels_have_their_units_and_baselines_and_the_legend_names_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    plots.plot_curves(PANELS, tmp_path / "curves.png", "A study")
    (figure,) = drawn
    found = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert {name: axes.get_ylabel() for name, axes in found.items()} == {n: p.unit for n, p in PANELS.items()}
    assert {axes.get_xlabel() for axes in figure.axes} == {"training step"}
    lines = {name: {line.get_label(): line for line in axes.get_lines()} for name, axes in found.items()}
    assert [name for name in lines if "ln 2" in lines[name]] == ["loss"]
    assert lines["loss"]["ln 2"].get_ydata()[0] == math.log(2)
    assert lines["loss"]["ln 2"].get_linestyle() != lines["loss"]["beta=0.1"].get_linestyle()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["beta=0.1", "beta=0.3", "ln 2", "none"]
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes)


def test_one_run_one_panel_and_nothing_at_all(tmp_path: Path) -> None:
    one = plots.plot_curves({"loss": plots.Panel({"dpo": [(0, 1.0)]}, "", {})}, tmp_path / "one.png", "One")
    none = plots.plot_curves({}, tmp_path / "none.png", "None")
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
