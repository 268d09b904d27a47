"""Gold and learned reward against the distance from the start, with the law of Gao et al. 2022 fitted to both.

rlhf -m experiment=toy_over_optimisation model=tiny_gpt2
python scripts/over_optimisation.py multirun/DATE/TIME-ID --plot docs/img/over_optimisation.png

The law is R(d) = d (alpha - beta log d) with d = sqrt(KL(policy || start)) and R the mean reward above the start's
(arXiv 2210.10760, equation 1). It is linear in alpha and beta, so least squares has a closed form. Points are the
evaluations of all runs on held-out prompts. With beta > 0 it peaks at d* = exp(alpha / beta - 1).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import OmegaConf

from rlhf.build import build
from rlhf.compose import plain
from rlhf.config import PPO
from rlhf.report.plots import GREY, GRID, INK, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KL = "eval/kl/k1_policy_to_reference"
REWARDS = {"learned reward": "eval/reward/score", "gold reward": "eval/reward/gold"}
UNITS = {"learned reward": "reward model's score above the start", "gold reward": "gold score above the start"}


@dataclass(frozen=True)
class Frontier:
    """One run: its distances from the start and its rewards above the start's, in the order of training."""

    model: str
    coefficient: float
    d: np.ndarray  # (points,)
    rewards: dict[str, np.ndarray]  # by the names of REWARDS, each (points,)


@dataclass(frozen=True)
class Fit:
    """The law's two numbers and how well it describes the points."""

    alpha: float
    beta: float
    r_squared: float  # share of the points' variance around their mean
    residual: float  # root mean square

    def __call__(self, d: np.ndarray) -> np.ndarray:
        """R(d) for distances above 0."""
        return d * (self.alpha - self.beta * np.log(d))

    @property
    def peak(self) -> float:
        """Where R is largest; infinite where it never falls."""
        return float(np.exp(min(self.alpha / self.beta - 1, 700.0))) if self.beta > 0 else float("inf")


def fit(d: np.ndarray, reward: np.ndarray) -> Fit:
    """Least squares of R(d) = alpha d - beta d log d over points with d > 0."""
    kept = d > 0
    d, reward = d[kept], reward[kept]
    design = np.stack([d, -d * np.log(d)], axis=1)
    (alpha, beta), *_ = np.linalg.lstsq(design, reward, rcond=None)
    error = reward - design @ [alpha, beta]
    spread = float(((reward - reward.mean()) ** 2).sum())
    explained = 1 - float((error**2).sum()) / spread if spread else float("nan")
    return Fit(float(alpha), float(beta), explained, float(np.sqrt((error**2).mean())))


def pooled(runs: Sequence[Frontier], reward: str) -> Fit:
    """The fit to the points of several runs."""
    return fit(np.concatenate([run.d for run in runs]), np.concatenate([run.rewards[reward] for run in runs]))


def read(job: Path) -> Frontier:
    """Read a finished run of PPO with a fixed KL coefficient; raises `ValueError` where there is none."""
    result: dict[str, Any] = json.loads((job / "result.json").read_text(encoding="utf-8"))
    run = build(plain(OmegaConf.load(job / "config" / "config.yaml")))  # type: ignore[arg-type]
    if result["status"] != "finished" or not isinstance(run.method, PPO):
        raise ValueError(f"{job}: no finished run of PPO")
    if run.method.kl.target is not None:
        raise ValueError(f"{job}: its KL coefficient was steered, set method.kl.target=null")
    curves = result["curves"]
    if missing := [name for name in (KL, *REWARDS.values()) if name not in curves]:
        raise ValueError(f"{job}: no curve {', '.join(missing)}")
    if curves[KL][0][0] != 0:
        raise ValueError(f"{job}: the start was not evaluated, add ++method.trainer.eval_on_start=true")
    values = {name: np.array([value for _, value in curves[name]]) for name in (KL, *REWARDS.values())}
    return Frontier(
        model=run.model.name,
        coefficient=run.method.kl.coefficient,
        d=np.sqrt(values[KL].clip(0)),  # k1 is unbiased; by chance it can be below 0 near the start
        rewards={name: values[curve] - values[curve][0] for name, curve in REWARDS.items()},
    )


def report(runs: Sequence[Frontier]) -> str:
    """The fits, how stable their peaks are, and each run against the common law, as Markdown."""
    lines = [
        "| | alpha | beta | R^2 | residual (rms) | peak d* | d* without one run | best point measured |",
        "|---|---|---|---|---|---|---|---|",
    ]
    fits = {name: pooled(runs, name) for name in REWARDS}
    for name, law in fits.items():
        others = [pooled([run for run in runs if run is not left], name).peak for left in runs] if runs[1:] else []
        d, reward = max(((x, y) for run in runs for x, y in zip(run.d, run.rewards[name], strict=True)), key=_second)
        lines.append(
            f"| {name} | {law.alpha:.3f} | {law.beta:.3f} | {law.r_squared:.2f} | {law.residual:.3f} | "
            f"{_distance(law.peak)} | {_range(others)} | {reward:+.3f} at d = {d:.2f} |"
        )
    farthest = max(float(run.d.max()) for run in runs)
    lines += ["", f"{sum(len(run.d) - 1 for run in runs)} points of {len(runs)} runs, d up to {farthest:.2f}.", ""]
    lines += [
        "| KL coefficient | d at the end | learned reward | gold reward | gold against the law (mean residual) |",
        "|---|---|---|---|---|",
    ]
    for run in runs:
        d, learned, gold = run.d, *(run.rewards[name] for name in REWARDS)
        off = float((gold[d > 0] - fits["gold reward"](d[d > 0])).mean())
        lines.append(f"| {run.coefficient:g} | {d[-1]:.2f} | {learned[-1]:+.3f} | {gold[-1]:+.3f} | {off:+.3f} |")
    return "\n".join(lines)


def draw(runs: Sequence[Frontier], path: Path) -> None:
    """Draw both rewards against d with the fitted law, and a mark at its peak where that was reached."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.8, 4.6), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    farthest = max(float(run.d.max()) for run in runs)
    for axes, name in zip(figure.subplots(1, 2), REWARDS, strict=True):
        for run, colour in zip(runs, PALETTE * len(runs), strict=False):
            label = f"KL coefficient {run.coefficient:g}"
            axes.plot(run.d, run.rewards[name], "o-", color=colour, label=label, markersize=4, linewidth=0.9, alpha=0.8)
        law, d = pooled(runs, name), np.linspace(1e-3, farthest, 300)
        axes.plot(d, law(d), color=INK, linewidth=2.2, label=r"$d\,(\alpha - \beta \log d)$ fitted to all")
        if law.peak <= farthest:
            axes.axvline(law.peak, color=GREY, linestyle=(0, (4, 3)), linewidth=1.1, zorder=1)
            text = f" d* = {law.peak:.1f}"
            axes.text(law.peak, 0.02, text, color=GREY, fontsize=9, transform=axes.get_xaxis_transform())
        _dress(axes, f"{name}: R² = {law.r_squared:.2f}", UNITS[name])
    figure.suptitle(
        f"{runs[0].model}: PPO on the learned reward, held-out prompts", x=0.012, ha="left", fontweight="bold"
    )
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False, fontsize=9, labelcolor=INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")


def _dress(axes: Axes, title: str, unit: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel("d = √KL(policy || start), KL in nats per response", fontsize=9, color=GREY)
    axes.set_ylabel(unit, fontsize=9, color=GREY)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9, labelcolor=GREY)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#bdbdbd")


def _distance(peak: float) -> str:
    return f"{peak:.2f}" if peak < 1000 else "none"


def _range(peaks: Sequence[float]) -> str:
    return f"{_distance(min(peaks))} to {_distance(max(peaks))}" if peaks else "-"


def _second(point: tuple[float, float]) -> float:
    return point[1]


def main(words: Sequence[str] | None = None) -> None:
    """Read the runs, print the fits, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the sweep (each JOB/result.json is read)")
    parser.add_argument("--plot", type=Path, help="the PNG to write; default: over_optimisation.png in the folder")
    asked = parser.parse_args(words)
    if not any(asked.folder.glob("*/result.json")):
        problem = "holds no JOB/result.json of a finished sweep" if asked.folder.is_dir() else "there is no such folder"
        told = f"over_optimisation: {asked.folder}: {problem}. Give a folder such as multirun/DATE/TIME-ID"
        print(told, file=sys.stderr)
        sys.exit(2)
    try:
        runs = [read(file.parent) for file in asked.folder.glob("*/result.json")]
    except ValueError as error:
        sys.exit(f"over_optimisation: {error}")
    if len({run.model for run in runs}) > 1:
        sys.exit(f"over_optimisation: {asked.folder} holds runs of several models")
    runs.sort(key=lambda run: run.coefficient)
    print(report(runs))
    plot = asked.plot or asked.folder / "over_optimisation.png"
    draw(runs, plot)
    print(f"\nplot     {plot}")


if __name__ == "__main__":
    main()
