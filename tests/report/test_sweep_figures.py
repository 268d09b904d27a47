"""The curves of a sweep as a PNG: losses of two kinds apart, each with its own line, and the KL with its target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from rlhf import sweep
from rlhf.compose import jobs, parse_words
from rlhf.report.plots import Panel

POINTS = [[1, 0.5], [2, 0.4]]
OF_PPO = {"train/loss": POINTS, "eval/kl/k1_policy_to_reference": POINTS, "train/kl/target": [[1, 1.0], [2, 2.0]]}


def panels(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> tuple[dict[str, Panel], Mapping[str, int]]:
    """What is drawn for a sweep whose jobs logged the same few curves, and the places of its colours."""
    found: list[tuple[dict[str, Panel], Mapping[str, int]]] = []

    def keep(drawn: dict[str, Panel], path: Path, title: str, places: Mapping[str, int]) -> Path:
        found.append((drawn, places))
        return path

    monkeypatch.setattr(sweep, "plot_curves", keep)
    swept = sweep.Sweep.__new__(sweep.Sweep)  # without a tracker: only its figures are asked for
    swept.jobs, swept.folder, swept.id = jobs(parse_words(["-m", *words])), folder, "ab"
    outcomes = []
    for own, run in swept.jobs:
        logged = OF_PPO if run.method.learns_from_samples else {"train/loss": POINTS}
        target = {"KL target": 2.0} if run.method.learns_from_samples else {}
        outcomes.append({"name": run.method.name, "words": list(own), "curves": logged, "kl_target": target})
    swept._figures(outcomes)
    return found[0]


def test_losses_of_two_kinds_are_two_panels_and_ln_2_is_a_line_of_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn, _ = panels(monkeypatch, tmp_path, "method=dpo", "method.loss_type=sigmoid,ipo")
    assert {title: list(panel.baselines) for title, panel in drawn.items()} == {
        "training loss (dpo sigmoid)": ["ln 2, nothing learned"], "training loss (dpo ipo)": [],
    }  # fmt: skip


def test_dpo_beside_ppo_has_ln_2_at_its_loss_and_the_target_at_the_kl(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn, places = panels(monkeypatch, tmp_path, "method=ppo,dpo")
    assert {title: dict(panel.baselines) for title, panel in drawn.items()} == {
        "training loss": {"ln 2, nothing learned": pytest.approx(0.6931, abs=1e-4)},
        "KL to the reference, held out": {"KL target 2": 2.0},
    }  # fmt: skip
    assert places == {"1: method=ppo": 0, "2: method=dpo": 1}  # the order of jobs, though DPO's panel is drawn first
