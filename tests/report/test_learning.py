"""A job's plots show every stage that it stands on; a sweep's show each of them once."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlhf.report import learning
from rlhf.report.learning import StageCurves, draw_job, draw_sweep_stages
from rlhf.report.plots import Panel

LN2 = {"ln 2": 0.693}
LOSS = {"train/loss": [(1, 2.0), (2, 1.0)], "eval/loss": [(2, 1.5)]}
SFT = StageCurves("sft-tiny_gpt2-aa", "sft", "nats per token", {}, {}, LOSS)
OTHER = StageCurves("sft-tiny_mt5-bb", "sft", "nats per token", {}, {}, LOSS)
REWARD = StageCurves("reward-tiny_gpt2-cc", "reward", "nats per pair", LN2, {}, LOSS | {"eval/accuracy": [(2, 0.7)]})
IMPLICIT = {f"train/rewards/{side}": [(1, 0.1)] for side in ("chosen", "rejected", "margins", "accuracies")}
DPO = StageCurves("dpo-tiny_gpt2-dd", "dpo", "nats per pair", LN2, {}, LOSS | IMPLICIT)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Panel]]:
    """File name -> what is drawn in it."""
    found: dict[str, dict[str, Panel]] = {}

    def keep(panels: dict[str, Panel], path: Path, title: str) -> Path:
        found[path.name] = dict(panels)
        return path

    monkeypatch.setattr(learning, "plot_curves", keep)
    return found


def test_every_stage_has_its_panel_in_the_order_of_the_pipeline(drawn, tmp_path: Path) -> None:
    files = draw_job([SFT, REWARD, DPO], tmp_path)
    assert [file.name for file in files] == list(drawn) == ["loss.png", "accuracy.png", "reward.png"]
    loss = drawn["loss.png"]
    assert list(loss) == ["sft loss", "reward loss", "dpo loss"]
    assert all(
        panel.curves == {"training": LOSS["train/loss"], "held out": LOSS["eval/loss"]} for panel in loss.values()
    )
    assert [panel.unit for panel in loss.values()] == ["nats per token", "nats per pair", "nats per pair"]
    assert [panel.baselines for panel in loss.values()] == [{}, LN2, LN2]
    assert {name: list(panel.curves) for name, panel in drawn["accuracy.png"].items()} == {
        "reward accuracy": ["held out"],
        "dpo accuracy": ["training"],
    }
    (implicit,) = drawn["reward.png"].values()
    assert list(implicit.curves) == ["chosen", "rejected", "margins"]


def test_a_stage_alone_has_its_own_loss_alone(drawn, tmp_path: Path) -> None:
    assert [file.name for file in draw_job([SFT], tmp_path)] == ["loss.png"]
    assert list(drawn["loss.png"]) == ["sft loss"]


def test_a_sweep_shows_a_shared_stage_once_and_tells_stages_of_one_model_apart(drawn, tmp_path: Path) -> None:
    draw_sweep_stages([[SFT, REWARD], [SFT, REWARD], [OTHER], []], tmp_path / "a.png", "sweep")
    panels = drawn["a.png"]
    assert list(panels) == [
        "sft loss, training",
        "sft loss, held out",
        "reward loss, training",
        "reward loss, held out",
        "reward accuracy, held out",
    ]
    assert list(panels["sft loss, training"].curves) == ["tiny_gpt2", "tiny_mt5"]
    again = StageCurves("sft-tiny_gpt2-ee", "sft", "nats per token", {}, {}, LOSS)
    draw_sweep_stages([[SFT], [again]], tmp_path / "b.png", "sweep")
    assert list(drawn["b.png"]["sft loss, held out"].curves) == ["tiny_gpt2-aa", "tiny_gpt2-ee"]
    assert draw_sweep_stages([[], []], tmp_path / "c.png", "sweep") == []


def test_real_files_are_drawn(tmp_path: Path) -> None:
    assert all(file.stat().st_size > 10_000 for file in draw_job([SFT, REWARD, DPO], tmp_path / "plots"))
