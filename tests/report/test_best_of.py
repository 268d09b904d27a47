"""Best-of-n in the report: whose curve it is, and what the page draws of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser import needs_browser, show
from left_by_jobs import SFT, finished, leave

from rlhf.report.best_of import best_of_curves
from rlhf.report.record import read_record
from rlhf.report.write import write_report

COLUMNS = ["n", "kl", "reward", "low", "high", "gold"]
OF_SFT = [[4, 0.636, 1.5, 1.3, 1.7, 0.5], [1, 0.0, 0.5, 0.4, 0.6, 0.7]]
OF_BASE = [[1, 0.0, -1.0, -1.1, -0.9, -1.0]]


def job(words: list[str], reward: float, tables: dict[str, Any] | None = None) -> dict[str, Any]:
    metrics = {"final/kl": 2.0, "final/reward": reward, "final/reward_gold": 0.1, "cost/pipeline_seconds": 1.0}
    told = {name: {"columns": COLUMNS, "rows": rows} for name, rows in (tables or {}).items()}
    evaluation = {"suites": {"best_of_n": {"metrics": [], "notes": [], "tables": {"best of n": told}}}} if told else {}
    return finished(words, metrics, evaluation=evaluation)


def test_a_curve_is_that_of_the_model_that_the_kl_is_measured_to_and_is_told_once(tmp_path: Path) -> None:
    tables = {SFT["name"]: OF_SFT, "base-tiny": OF_BASE}
    jobs = [job([f"method.beta={at}"], float(at), tables) for at in range(2)]
    record = read_record([leave(tmp_path / "a", [*jobs, job(["method.beta=3"], 3.0)])])
    (curve,) = best_of_curves(record.jobs)
    assert curve["label"] == "best of n answers of sft tiny"
    assert [point["n"] for point in curve["points"]] == [1, 4]
    assert curve["points"][1] == {"n": 4, "kl": 0.636, "reward": 1.5, "low": 1.3, "high": 1.7, "gold": 0.5}
    without = read_record([leave(tmp_path / "b", [job([], 0.0), job(["seed=1"], 0.0, {"base-tiny": OF_BASE})])])
    assert best_of_curves(without.jobs) == []


PROBE = """(() => {
  const host = document.getElementById("trade-off");
  const drawn = () => ({ lines: host.querySelectorAll("path.best-of").length,
    points: [...host.querySelectorAll(".best-of-point")].map((node) => node.getAttribute("aria-label")) });
  const choose = (at, value) => {
    const box = host.querySelectorAll("select")[at];
    box.value = value;
    box.dispatchEvent(new Event("change"));
  };
  const first = drawn(), told = host.querySelector(".best-of-told").textContent;
  choose(0, "final/reward_gold");
  const gold = drawn();
  choose(1, "cost/pipeline_seconds");
  return { first, told, gold, cost: drawn() };
})()"""


@needs_browser
def test_the_page_draws_it_where_reward_stands_over_kl(tmp_path: Path) -> None:
    jobs = [job([f"method.beta={at}"], float(at), {SFT["name"]: OF_SFT}) for at in range(2)]
    shown = show(write_report(leave(tmp_path / "sweep", jobs, id="a", words=["-m"], started=1.7e9))[0], PROBE, tmp_path)
    assert shown.complaints == []
    first, gold = shown.found["first"], shown.found["gold"]
    assert first["lines"] == gold["lines"] == 1 and shown.found["cost"]["lines"] == 0
    assert first["points"] == [
        "best of n answers of sft tiny, n = 1, KL 0, at most, reward 0.5 [0.4, 0.6]",
        "best of n answers of sft tiny, n = 4, KL 0.636, at most, reward 1.5 [1.3, 1.7]",
    ]
    assert gold["points"][1] == "best of n answers of sft tiny, n = 4, KL 0.636, at most, gold 0.5"
    assert "n = 1, 4, chosen by the same judge" in shown.found["told"] and "upper bound" in shown.found["told"]
