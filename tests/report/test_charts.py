"""The view of a sweep in MLflow's UI: what it draws, what jobs are called there, and that the real page shows it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from browser import CHROMIUM, needs_browser

from rlhf.report.charts import COMPARISON, LEARNING, sweep_view, varied_params
from rlhf.report.words import told_apart
from rlhf.tracking.store import VIEW
from tests.tracking.real import closed_port, database, make_spec, open_real
from tests.ui_server import serving

MEASURED = {"final/reward": 0.1, "final/kl": 2.0, "cost/seconds": 9.0, "final/eos_share": 1.0}
JOBS = [
    {
        "words": ["method=dpo", f"model={model}", f"method.beta={beta}"],
        "metrics": MEASURED,
        "curves": {"train/loss": []},
    }
    for model in ("tiny_gpt2", "tiny_mt5")
    for beta in (0.05, 0.2)
]


def test_only_what_was_measured_is_drawn_and_trade_offs_come_first() -> None:
    view = sweep_view("abc", [*JOBS, {"words": ["method=dpo", "model=tiny_gpt2", "method.beta=7"]}])
    charts = [
        (card["type"], card["metricSectionId"], card.get("metricKey") or card.get("selectedMetrics") or card["xaxis"])
        for card in view["compareRunCharts"]
    ]
    assert charts == [
        ("SCATTER", COMPARISON, {"key": "final/kl", "type": "METRIC"}),
        ("SCATTER", COMPARISON, {"key": "cost/seconds", "type": "METRIC"}),
        ("PARALLEL", COMPARISON, ["final/reward", "final/kl", "cost/seconds"]),
        ("BAR", COMPARISON, "final/reward"),
        ("BAR", COMPARISON, "final/kl"),
        ("BAR", COMPARISON, "cost/seconds"),
        ("LINE", LEARNING, "train/loss"),
    ]
    assert len({card["uuid"] for card in view["compareRunCharts"]}) == len(charts)
    assert view["searchFilter"] == "tags.sweep_id = 'abc' and tags.role = 'job'"
    assert view["selectedColumns"][:2] == ["params.`model.name`", "params.`method.beta`"]


def test_params_that_vary_are_named_as_they_are_tracked() -> None:
    jobs = [["model=a", "seed=1", "+method.x=1", "experiment=e"], ["model=b", "seed=2", "+method.x=2", "experiment=f"]]
    assert varied_params(jobs) == ["model.name", "seed", "method.x"]


def test_a_job_is_called_by_what_its_sweep_varies() -> None:
    sweep = ["-m", "method=dpo", "model=a,b", "method.beta=0.05,0.2", "evaluation.prompts=8"]
    job = ["method=dpo", "model=a", "method.beta=0.05", "evaluation.prompts=8", "hydra.sweep.dir=here"]
    assert told_apart(job, sweep) == "beta=0.05"
    assert told_apart(["method=dpo", "model=a"], sweep) == ""


def test_a_sweep_without_results_has_a_view_without_charts() -> None:
    assert sweep_view("abc", [{"words": []}])["compareRunCharts"] == []


@pytest.mark.slow
@needs_browser
def test_the_real_page_opens_on_the_sweeps_jobs_with_these_charts(tmp_path: Path) -> None:
    tracker = open_real(make_spec(database(tmp_path)), tmp_path)
    for sweep, name in (("abc", "dpo one"), ("abc", "dpo two"), ("xyz", "of another sweep")):
        run = tracker.start_run(name, role="job", tags={"sweep_id": sweep}, params={})
        run.metrics(MEASURED, None)
        run.end("FINISHED")
    url = tracker.compare_url([], "sweep-abc", sweep_view("abc", JOBS))
    experiment = tracker.store.connect().get_experiment(tracker.store.experiment_id)
    assert json.loads(experiment.tags[f"{VIEW}sweep-abc"])["runsHiddenMode"] == "SHOW_ALL"
    assert CHROMIUM is not None
    with serving(tmp_path) as page:
        words = [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=1366,2400", "--virtual-time-budget=30000", "--dump-dom",
            url.replace("http://127.0.0.1:5000", page),
        ]  # fmt: skip
        dom = subprocess.run(words, capture_output=True, text=True, timeout=120).stdout
    assert "dpo one" in dom and "dpo two" in dom and "of another sweep" not in dom
    assert "sweep abc" in dom and "share key" not in dom


def test_a_store_that_is_down_leaves_the_plain_comparison(tmp_path: Path) -> None:
    tracker = open_real(make_spec(f"http://127.0.0.1:{closed_port()}"), tmp_path)
    assert "/#/compare-runs?" in tracker.compare_url(["r"], "sweep-abc", sweep_view("abc", JOBS))
