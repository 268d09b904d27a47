"""The scripts around PPO: those that judge finished sweeps, on numbers worked by hand, and our side of benchmarks."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
STEPS = 12


@cache
def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def leave_job(folder: Path, result: dict[str, Any], *words: str) -> None:
    """Write a job's folder as a run leaves it: the composed configuration and its result."""
    from omegaconf import OmegaConf

    from rlhf.compose import composed, parse_words

    ((_, config),) = composed(parse_words(["experiment=toy_ppo_seeds", *words]))
    (folder / "config").mkdir(parents=True)
    OmegaConf.save(config, folder / "config" / "config.yaml")
    (folder / "result.json").write_text(json.dumps({"status": "finished", **result}), encoding="utf-8")


def seed_result(**changed: float) -> dict[str, Any]:
    """A run that went well: gain 0.2 [0.1, 0.3], KL 1.8 at a target of 2, nothing moves in its curves."""
    from rlhf.evaluation.ppo.metrics import PPO_METRICS

    levels = {metric.name: 1.0 for metric in PPO_METRICS} | {"response/repetition": 0.0, "policy/clip_fraction": 0.1}
    levels["policy/log_ratio_size"] = 0.0
    levels["kl/target"] = 2.0
    curves = {f"train/{name}": [[step, value] for step in range(1, STEPS + 1)] for name, value in levels.items()}
    if (distinct := changed.pop("distinct_2_at_the_end", None)) is not None:
        for point in curves["train/response/distinct_2"][-2:]:
            point[1] = distinct
    metrics = {"final/reward_gold_difference": 0.2, "final/reward_gold_difference_low": 0.1, "final/kl": 1.8}
    metrics |= {"final/reward_gold_difference_high": 0.3, "final/distinct_2": 0.4}
    rows = [{"metrics": {}}, {"metrics": {"final/distinct_2": 0.5}}, {"metrics": {}}]
    return {"metrics": metrics | changed, "curves": curves, "rows": rows}


def test_seeds_that_went_well_are_a_line_each_and_exit_with_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (2, 1):
        leave_job(tmp_path / str(seed), seed_result(), f"seed={seed}")
    with pytest.raises(SystemExit) as ending:
        script("check_ppo_seeds").main([str(tmp_path)])
    assert ending.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    well = "+0.200 [0.100, 0.300] | 1.80 / 2 | 1.000 | 100% of the start's | 80% of the start's | none | well |"
    assert lines[2:4] == [f"| tiny_gpt2 | 1 | {well}", f"| tiny_gpt2 | 2 | {well}"]
    assert lines[-1] == "2 of 2 runs went well"


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"final/reward_gold_difference_low": 0.0}, "no clear gain"),
        ({"final/kl": 2.61}, "KL off its target"),
        ({"final/kl": 1.39}, "KL off its target"),
        ({"distinct_2_at_the_end": 0.5}, "collapsed"),
    ],
)
def test_one_seed_that_went_wrong_fails_all(
    changed: dict[str, float], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_job(tmp_path / "0", seed_result(), "seed=1")
    leave_job(tmp_path / "1", seed_result(**changed), "seed=2")
    with pytest.raises(SystemExit) as ending:
        script("check_ppo_seeds").main([str(tmp_path)])
    assert ending.value.code == f"tiny_gpt2, seed 2: {fault}"
    said = capsys.readouterr().out
    assert "1 of 2 runs went well" in said
    assert ("distinct_2 at step 12" in said) == (fault == "collapsed")


def test_a_failed_job_fails(tmp_path: Path) -> None:
    leave_job(tmp_path / "0", {"status": "failed", "error": "the disk is full"})
    with pytest.raises(SystemExit, match="0 failed: the disk is full"):
        script("check_ppo_seeds").main([str(tmp_path)])


def test_a_folder_that_is_missing_or_empty_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_job(tmp_path / "whole" / "0", seed_result(), "seed=1")
    (tmp_path / "empty").mkdir()
    for name, problem in (("empty", "holds no JOB/result.json"), ("missing", "there is no such folder")):
        with pytest.raises(SystemExit) as ending:
            script("check_ppo_seeds").main([str(tmp_path / "whole"), str(tmp_path / name)])
        out, err = capsys.readouterr()
        assert (ending.value.code, out) == (2, "")
        (line,) = err.splitlines()
        assert line.startswith(f"check_ppo_seeds: {tmp_path / name}: {problem}") and "multirun/DATE/TIME-ID" in line


@pytest.mark.parametrize("name", ["check_ppo_seeds", "over_optimisation"])
def test_a_folder_is_looked_at_before_torch_is_imported(name: str, tmp_path: Path) -> None:
    """Where importing torch fails, a wrong folder is still told in one line."""
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    shared = os.environ | {"PYTHONPATH": f"{tmp_path}:{SCRIPTS.parent}"}
    words = [sys.executable, str(SCRIPTS / f"{name}.py"), "nowhere"]
    done = subprocess.run(words, cwd=tmp_path, env=shared, capture_output=True, text=True, timeout=60)
    told = f"{name}: nowhere: there is no such folder. Give "
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith(told)
    assert len(done.stderr.splitlines()) == 1


def test_over_optimisation_tells_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        script("over_optimisation").main([str(tmp_path)])
    (line,) = capsys.readouterr().err.splitlines()
    assert ending.value.code == 2 and line.startswith(f"over_optimisation: {tmp_path}: holds no JOB/result.json")


def test_a_kl_is_held_against_the_target_that_the_last_step_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two rollbacks by 2 leave 0.5 of a target of 2: a KL of 0.6 is within 30% of it, one of 1.8 is not."""
    for job, kl in enumerate((0.6, 1.8)):
        result = seed_result(**{"final/kl": kl, "final/rollbacks": 2.0})
        result["curves"]["train/kl/target"] = [[step, 2.0 if step < 5 else 0.5] for step in range(1, STEPS + 1)]
        leave_job(tmp_path / str(job), result, f"seed={job}")
    with pytest.raises(SystemExit) as ending:
        script("check_ppo_seeds").main([str(tmp_path)])
    assert ending.value.code == "tiny_gpt2, seed 0: collapsed\ntiny_gpt2, seed 1: collapsed, KL off its target"
    assert "| 0.60 / 0.5 |" in capsys.readouterr().out


def test_the_law_is_found_again_and_peaks_where_its_slope_is_0() -> None:
    """alpha = 2, beta = 1: R(1) = 2, R(e) = e (2 - 1) = e; slope alpha - beta - beta log d = 0 at d* = e."""
    law = script("over_optimisation").fit(np.array([0.0, 1.0, math.e]), np.array([0.0, 2.0, math.e]))
    assert law.alpha == pytest.approx(2) and law.beta == pytest.approx(1)
    assert law.peak == pytest.approx(math.e)
    assert law.r_squared == pytest.approx(1) and law.residual == pytest.approx(0, abs=1e-12)


def test_a_reward_that_only_rises_has_no_peak() -> None:
    d = np.array([1.0, 2.0, 3.0])
    assert script("over_optimisation").fit(d, d * (0.5 + 0.1 * np.log(d))).peak == math.inf


def test_least_squares_of_points_off_the_law() -> None:
    """At d = 1 only alpha counts: two points there at 1 and 3 give alpha = 2, residual 1; beta from R(e) = 2 e: 0."""
    law = script("over_optimisation").fit(np.array([1.0, 1.0, math.e]), np.array([1.0, 3.0, 2 * math.e]))
    assert law.alpha == pytest.approx(2) and law.beta == pytest.approx(0, abs=1e-12)
    assert law.residual == pytest.approx(math.sqrt(2 / 3))
    mean = (1 + 3 + 2 * math.e) / 3
    spread = (1 - mean) ** 2 + (3 - mean) ** 2 + (2 * math.e - mean) ** 2
    assert law.r_squared == pytest.approx(1 - 2 / spread)


def frontier(d: np.ndarray, start: int = 0) -> dict[str, Any]:
    """Curves of a run whose learned reward is -1 + 2 d and whose gold reward is -1 + d (2 - log d)."""
    gold = [-1.0 + (x * (2 - math.log(x)) if x else 0.0) for x in d.tolist()]
    values = {"kl/k1_policy_to_reference": (d**2).tolist(), "reward/score": (-1 + 2 * d).tolist(), "reward/gold": gold}
    curves = {f"eval/{name}": [[start + i, v] for i, v in enumerate(points)] for name, points in values.items()}
    return {"curves": curves}


def test_over_optimisation_reads_runs_prints_fits_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for coefficient, reach in (("0.2", 2.0), ("0.01", 4.0)):
        words = ("method.kl.target=null", f"method.kl.coefficient={coefficient}")
        leave_job(tmp_path / coefficient, frontier(np.linspace(0, reach, 6)), *words)
    script("over_optimisation").main([str(tmp_path)])
    said = capsys.readouterr().out
    assert "| learned reward | 2.000 | 0.000 | 1.00 | 0.000 | none |" in said.replace("-0.000", "0.000")
    assert "| gold reward | 2.000 | 1.000 | 1.00 | 0.000 | 2.72 | 2.72 to 2.72 |" in said
    assert "10 points of 2 runs, d up to 4.00." in said
    assert "| 0.01 | 4.00 | +8.000 | +2.455 | +0.000 |" in said.replace("-0.000 |", "+0.000 |")
    assert (tmp_path / "over_optimisation.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("words", "start", "told"),
    [
        ((), 0, "its KL coefficient was steered"),
        (("method.kl.target=null",), 1, "the start was not evaluated"),
        (("method=dpo",), 0, "no finished run of PPO"),
    ],
)
def test_over_optimisation_refuses_runs_that_it_cannot_use(
    words: tuple[str, ...], start: int, told: str, tmp_path: Path
) -> None:
    leave_job(tmp_path / "0", frontier(np.linspace(0, 1, 3), start), *words)
    with pytest.raises(SystemExit, match=told):
        script("over_optimisation").main([str(tmp_path)])


def quickstart_result(name: str, low: float = 0.1, sft: str = "sft-1") -> dict[str, Any]:
    metrics = {"final/reward_gold_difference": 0.2, "final/reward_gold_difference_low": low}
    return {"name": name, "status": "finished", "metrics": metrics, "upstream": [{"name": sft, "method": "sft"}]}


def test_the_quickstart_check_wants_every_job_clear_gains_and_one_sft_stage_per_model() -> None:
    check = script("check_quickstart")
    whole = [quickstart_result(name, sft=f"sft-{name[4:]}-1") for name in sorted(check.JOBS)]
    assert [result["name"] for result in whole] == ["dpo-tiny_gpt2", "dpo-tiny_mt5", "ppo-tiny_gpt2", "ppo-tiny_mt5"]
    assert list(check.problems_of(whole)) == []
    assert list(check.problems_of(whole[:3])) == ["ppo-tiny_mt5: no finished job"]
    assert list(check.problems_of([*whole[:3], quickstart_result("ppo-tiny_mt5", 0.0, "sft-tiny_mt5-2")])) == [
        "ppo-tiny_mt5: the gain's interval holds 0",
        "tiny_mt5: its methods started from different SFT stages: sft-tiny_mt5-1, sft-tiny_mt5-2",
    ]


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts import one another, as they do when started as such; the benchmark leaves its clock in the sampling."""
    from rlhf.ppo import rollout

    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr(rollout, "sample_ids", rollout.sample_ids)


@pytest.mark.parametrize("reward", ["model", "rule"])
def test_our_side_of_the_benchmark_measures_phases_tokens_and_memory(
    reward: str, tmp_path: Path, beside: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = {"batch": 2, "prompt": 4, "response": 6, "epochs": 1, "warmup": 0, "steps": 1, "lora": True}
    file = tmp_path / "result.json"
    monkeypatch.setattr(sys, "argv", ["bench_ppo_ours.py", json.dumps(task | {"reward": reward}), str(file)])
    script("bench_ppo_ours").main()
    found = json.loads(file.read_text())
    assert task.items() <= found["task"].items()
    [step] = found["steps"]
    for clock in ("wall", "cpu"):
        assert set(step[clock]) == {"generate", "score", "update", "gc", "rest"}
        assert all(step[clock][phase] > 0 for phase in ("generate", "score", "update")) and step[clock]["gc"] == 0
    assert step["kl"] == pytest.approx(0, abs=1e-3) and math.isfinite(step["score"])
    assert set(found["memory"]) == {"imports", "models", "peak"} and min(found["memory"].values()) > 100
    # LoRA of rank 8 on four layers of width 256 (c_attn 256 to 768, c_proj 256 to 256, c_proj 1024 to 256), value head
    assert found["trained_parameters"] == 4 * 8 * (256 + 768 + 256 + 256 + 1024 + 256) + 257
    assert set(found["judged"] or {}) == ({"score", "kl", "objective"} if reward == "rule" else set())
    script("bench_ppo_report").print_speed({"ours": [found], "trl": [found]}, threads=1)
    rate = 2 * 6 / sum(step["wall"].values())
    assert f"{rate:.0f}" in next(line for line in capsys.readouterr().out.splitlines() if "tokens" in line)


def test_our_side_of_the_optimum_comes_nearer_in_a_few_steps(beside: None) -> None:
    found = script("bench_ppo_optimum").run_ours(seed=0, steps=6)
    assert 0 < found["end"] < found["start"] and found["kl"] > 0
