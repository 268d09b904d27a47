"""Learning curves as a PNG: one panel per metric, one line per run, and the values to compare them with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
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

Curve = Sequence[tuple[int, float]]  # (training step, value)


def plot_curves(
    curves: Mapping[str, Mapping[str, Curve]], path: Path, title: str, baselines: Mapping[str, float]
) -> Path:
    """Draw `curves[metric][run]` into a PNG of 150 dpi at `path` and return it.

    `baselines` are dashed lines, named by what they mark; a name `metric: text` (such as `loss: ln 2`) is drawn in that
    metric's panel with the label `text`, a name without a known metric in all of them. NaN leaves a gap in its curve.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # 1. a figure of its own, outside pyplot: no global state, no window
    across = min(PANELS_PER_LINE, max(len(curves), 1))
    down = math.ceil(max(len(curves), 1) / across)
    runs = list(dict.fromkeys(run for lines in curves.values() for run in lines))
    legend_lines = math.ceil(len(runs) / (2 * across)) if len(runs) > 1 else 0
    height = PANEL_INCHES[1] * down + 0.45 + 0.24 * legend_lines
    figure = Figure(figsize=(PANEL_INCHES[0] * across, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1, wspace=0.04, hspace=0.04)  # type: ignore[union-attr, call-arg]
    panels = figure.subplots(down, across, squeeze=False).flatten()

    # 2. the panels; a run has the same colour in each
    for axes, (metric, lines) in zip(panels, curves.items(), strict=False):
        for run, curve in lines.items():
            _draw(axes, run, curve, runs.index(run))
        _dress(axes, metric)
        for name, value in baselines.items():
            _draw_baseline(axes, metric, name, value, set(curves))
    for axes in panels[len(curves) :]:
        axes.set_visible(False)

    # 3. one title and one legend for all
    figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold", color=INK)
    if len(runs) > 1:
        handles = {line.get_label(): line for axes in panels for line in axes.get_lines() if line.get_label() in runs}
        figure.legend(
            [handles[run] for run in runs if run in handles],
            [run for run in runs if run in handles],
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


def _dress(axes: Axes, metric: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(metric, loc="left", fontsize=11, color=INK)
    axes.set_xlabel("training step", fontsize=9, color=GREY)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9, labelcolor=GREY)
    axes.margins(x=0.02, y=0.12)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#bdbdbd")


def _draw_baseline(axes: Axes, metric: str, name: str, value: float, metrics: set[str]) -> None:
    panel, colon, text = name.partition(": ")
    named = bool(colon) and panel in metrics
    if named and panel != metric:
        return
    axes.axhline(value, color=GREY, linestyle=(0, (4, 3)), linewidth=1.1, zorder=1)
    axes.annotate(
        text if named else name,
        xy=(1.0, value),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 3),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=9,
        color=GREY,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
    )
