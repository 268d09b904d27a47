"""The reliability plot of a reward model: how often it is right where it is how sure, beside the line of honesty."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.report.plots import GREY, GRID, INK, PALETTE

LARGEST, SMALLEST = 190, 30  # square points of the mark of the bin with most pairs, and of none


def draw_reliability(bins: Sequence[Sequence[Any]], path: Path, title: str) -> Path:
    """Draw bins (from, to, confidence, accuracy, n) into a PNG of 150 dpi at `path` and return it.

    Bars are 95% Wilson intervals; a mark is the larger the more pairs its bin holds.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from rlhf.evaluation.comparison.statistics import wilson

    figure = Figure(figsize=(5.0, 4.6), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([0.5, 1], [0.5, 1], color=GREY, linestyle=(0, (4, 3)), linewidth=1.1, zorder=1)
    axes.annotate("as sure as right", (0.93, 0.93), color=GREY, fontsize=9, ha="right", va="bottom")
    most = max(n for *_, n in bins)
    for _, _, confidence, accuracy, n in bins:
        interval = wilson(accuracy * n, n)
        axes.plot([confidence] * 2, [interval.low, interval.high], color=PALETTE[0], linewidth=1.4, zorder=2)
        axes.scatter([confidence], [accuracy], s=SMALLEST + (LARGEST - SMALLEST) * n / most, color=PALETTE[0], zorder=3)
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK)
    axes.set_xlabel("confidence in the preferred answer", fontsize=9, color=GREY)
    axes.set_ylabel("share of pairs in the right order", fontsize=9, color=GREY)
    axes.set_xlim(0.48, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9, labelcolor=GREY)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")
    return path
