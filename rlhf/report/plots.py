"""Learning curves as a PNG: one panel per metric, one line per run, and the values to compare them with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)  # Okabe and Ito 2008, colour-blind safe
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))  # a second sign, after the palette is used up
INK, GREY, GRID = "#222222", "#6b6b6b", "#e6e6e6"
PANEL_INCHES = (5.4, 3.5)
PANELS_PER_LINE = 2
POINTS_WITH_DOTS = 12
BASELINE_DASHES = ((0, (4, 3)), (0, (1, 2)))  # by the order in which they are given

Curve = Sequence[tuple[int, float]]  # (training step, value)


@dataclass(frozen=True)
class Panel:
    """One pair of axes: a line per run, the unit of its vertical axis and dashed lines to compare with, by name."""

    curves: dict[str, Curve]
    unit: str
    baselines: Mapping[str, float]


def plot_curves(
    panels: Mapping[str, Panel], path: Path, title: str, places: Mapping[str, int] = MappingProxyType({})
) -> Path:
    """Draw `panels`, each under its name, into a PNG of 150 dpi at `path` and return it.

    A run has the same colour in every panel: that of its place, where `places` knows it, else by the order in which
    runs appear. NaN leaves a gap in its curve. The legend stands below the panels and hides no line.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # 1. a figure of its own, outside pyplot: no global state, no window
    across = 3 if len(panels) == 3 else min(PANELS_PER_LINE, max(len(panels), 1))
    down = math.ceil(max(len(panels), 1) / across)
    runs = list(dict.fromkeys(run for panel in panels.values() for run in panel.curves))
    runs.sort(key=lambda run: places.get(run, 0))
    marks = list(dict.fromkeys(mark for panel in panels.values() for mark in panel.baselines))
    named = (runs if len(runs) > 1 else []) + marks
    height = PANEL_INCHES[1] * down + 0.45 + 0.24 * math.ceil(len(named) / (2 * across))
    figure = Figure(figsize=(PANEL_INCHES[0] * across, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1, wspace=0.04, hspace=0.04)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(down, across, squeeze=False).flatten()

    # 2. the panels
    for axes, (name, panel) in zip(grid, panels.items(), strict=False):
        for run, curve in panel.curves.items():
            _draw(axes, run, curve, places.get(run, runs.index(run)))
        _dress(axes, name, panel.unit)
        for mark, value in panel.baselines.items():
            dashes = BASELINE_DASHES[marks.index(mark) % len(BASELINE_DASHES)]
            axes.axhline(value, color=GREY, linestyle=dashes, linewidth=1.1, zorder=1, label=mark)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    figure.align_ylabels()

    # 3. one title and one legend for all
    figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold", color=INK)
    handles = {line.get_label(): line for axes in grid for line in axes.get_lines()}
    if named:
        figure.legend(
            [handles[name] for name in named],
            named,
            loc="outside lower left",
            ncols=2 * across,
            frameon=False,
            fontsize=9,
            labelcolor=INK,
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")
    return path


def _draw(axes: Axes, run: str, curve: Curve, index: int) -> None:
    style = DASHES[(index // len(PALETTE)) % len(DASHES)]
    axes.plot(
        [step for step, _ in curve],
        [value for _, value in curve],
        label=run,
        color=PALETTE[index % len(PALETTE)],
        linestyle=style,
        linewidth=1.8,
        marker="o" if len(curve) <= POINTS_WITH_DOTS else "",
        markersize=3.5,
        solid_capstyle="round",
    )


def _dress(axes: Axes, name: str, unit: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(name, loc="left", fontsize=11, color=INK)
    axes.set_xlabel("training step", fontsize=9, color=GREY)
    axes.set_ylabel(unit, fontsize=9, color=GREY)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9, labelcolor=GREY)
    axes.margins(x=0.02, y=0.12)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#bdbdbd")
