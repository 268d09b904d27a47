"""The learning curves of a job, stage by stage: its own and those of the stages that it stands on, new or reused."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlhf.report.plots import Curve, Panel, plot_curves

CHANCE, REFERENCE = {"0.5, chance": 0.5}, {"0, the reference": 0.0}
SHARE, IMPLICIT_UNIT = "share of pairs", "beta x nats per response"
SIDES = {"train": "training", "eval": "held out"}
IMPLICIT = {side: f"train/rewards/{side}" for side in ("chosen", "rejected", "margins")}
PPO_PANELS = {  # metric -> title and unit of its panel
    "reward/score": ("training reward (weighted sum)", "score"),
    "reward/gold": ("gold score", "score"),
    "kl/k1_policy_to_reference": ("KL to the reference", "nats per response"),
    "kl/coefficient": ("KL coefficient", "reward per nat"),
    "policy/entropy": ("entropy", "nats per token"),
    "response/tokens": ("response length", "tokens"),
}
ACCURACIES = ("accuracy", "rewards/accuracies")  # of a reward model, and of a policy's implicit reward


@dataclass(frozen=True)
class StageCurves:
    """What one stage logged while it learned."""

    name: str  # its folder: method-model-fingerprint
    method: str
    loss_unit: str
    floor: Mapping[str, float]  # the loss of a model that has learned nothing, by name; empty where there is none
    kl_target: Mapping[str, float]  # the KL that PPO steers to, by name; empty where there is none
    curves: Mapping[str, Curve]  # metric, such as eval/loss -> points

    @property
    def model(self) -> str:
        """The model's name."""
        return self.name.partition("-")[2].rpartition("-")[0]

    @property
    def samples(self) -> bool:
        """Whether it learned from its own samples: its surrogate loss says nothing, its rewards and KL do."""
        return samples(self.curves)

    def of(self, metric: str) -> dict[str, Curve]:
        """The metric in training and on held-out rows, as far as it was logged."""
        return {label: self.curves[f"{s}/{metric}"] for s, label in SIDES.items() if f"{s}/{metric}" in self.curves}

    def accuracy(self) -> dict[str, Curve]:
        """The share of pairs in the right order."""
        return next((found for metric in ACCURACIES if (found := self.of(metric))), {})


def samples(curves: Container[str]) -> bool:
    """Whether who logged these curves learned from its own samples."""
    return "train/reward/score" in curves


def kl_marks(runs: Sequence[tuple[Mapping[str, float], Mapping[str, Curve]]]) -> dict[str, float]:
    """The KLs that runs were steered to, as lines to draw, from the target of each and its curves.

    A target that is still on its ramp, or was lowered by rollbacks, is drawn where it was at the last step.
    """
    marks: dict[str, float] = {}
    for target, curves in runs:
        for name, value in target.items():
            steered = curves.get("train/kl/target")
            last = float(steered[-1][1]) if steered else value
            off = abs(last - value) > 0.005 * value
            marks[f"{name} {last:.2g} at the end (of {value:.2g})" if off else f"{name} {value:.2g}"] = last
    return marks


def draw_job(stages: Sequence[StageCurves], folder: Path) -> list[Path]:
    """Draw a job's stages in the order in which they ran, the job's own last: a panel each of losses and accuracies.

    Returns the PNG files: `loss.png`, `accuracy.png`, `reward.png` of a policy with an implicit reward, and `ppo.png`.
    """
    own = stages[-1]
    shown = [s for s in stages if s.of("loss") and not s.samples]
    losses = {f"{s.method} loss": Panel(s.of("loss"), s.loss_unit, s.floor) for s in shown}
    accuracies = {f"{s.method} accuracy": Panel(s.accuracy(), SHARE, CHANCE) for s in stages if s.accuracy()}
    rewards = {side: own.curves[name] for side, name in IMPLICIT.items() if name in own.curves}
    implicit = {f"{own.method} implicit reward": Panel(rewards, IMPLICIT_UNIT, REFERENCE)} if rewards else {}
    figures = {"loss": losses, "accuracy": accuracies, "reward": implicit, "ppo": sampled_panels(own)}
    return [
        plot_curves(panels, folder / f"{name}.png", f"{own.name}: {name}") for name, panels in figures.items() if panels
    ]


def sampled_panels(stage: StageCurves) -> dict[str, Panel]:
    """What a method that learns from its own samples is watched by; empty for others."""
    panels: dict[str, Panel] = {}
    for metric, (title, unit) in PPO_PANELS.items() if stage.samples else ():
        marks = kl_marks([(stage.kl_target, stage.curves)]) if metric == "kl/k1_policy_to_reference" else {}
        sides = stage.of(metric) if metric != "kl/coefficient" else {"training": stage.curves[f"train/{metric}"]}
        panels |= {title: Panel(sides, unit, marks)} if sides else {}
    return panels


def draw_sweep_stages(jobs: Sequence[Sequence[StageCurves]], path: Path, title: str) -> list[Path]:
    """Draw the stages that the jobs of a sweep stand on, one line per stage however many jobs share it."""
    stages = list({stage.name: stage for job in jobs for stage in job}.values())
    models = [(stage.method, stage.model) for stage in stages]
    panels: dict[str, Panel] = {}
    for stage in stages:
        label = stage.model if models.count((stage.method, stage.model)) == 1 else stage.name.partition("-")[2]
        kinds = (
            ("loss", stage.of("loss"), stage.loss_unit, stage.floor),
            ("accuracy", stage.accuracy(), SHARE, CHANCE),
        )
        for kind, sides, unit, baselines in kinds:
            for side, curve in sides.items():
                panel = panels.setdefault(f"{stage.method} {kind}, {side}", Panel({}, unit, baselines))
                panel.curves[label] = curve
    return [plot_curves(panels, path, title)] if panels else []
