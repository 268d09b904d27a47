"""`rlhf report`: from the newest sweep, from folders, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from commandline import Here
from filelock import FileLock
from openpyxl import load_workbook

sys.path.append(str(Path(__file__).resolve().parents[1] / "report"))
from left_by_jobs import failed, finished, leave  # noqa: E402


def sweep(folder: Path, clock: str) -> Path:
    jobs = [finished([f"method.beta={beta}"], {"final/reward": beta}) for beta in (0.1, 0.2)]
    return leave(folder / "multirun" / "2026-01-02" / clock, [*jobs, failed(["method.beta=9"], "diverged")], id=clock)


def test_the_newest_sweep_is_reported(here: Here, tmp_path: Path) -> None:
    sweep(tmp_path, "09-00-00-old")
    newest = sweep(tmp_path, "10-00-00-new")
    done = here("report", folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "DPO sweep 10-00-00-new" in done.out
    assert "diverged" in done.out
    for name in ("report.html", "comparison.xlsx", "comparison.csv", "comparison.md"):
        assert (newest / name).is_file(), name
        assert f"2026-01-02/10-00-00-new/{name}" in done.out
    assert not list((tmp_path / "multirun" / "2026-01-02" / "09-00-00-old").glob("*.html"))


def test_two_sweeps_make_one_page(here: Here, tmp_path: Path) -> None:
    folders = [str(sweep(tmp_path, clock)) for clock in ("09-00-00-a", "10-00-00-b")]
    done = here("report", *folders, "--output", "both.html", folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "09-00-00-a + 10-00-00-b" in (tmp_path / "both.html").read_text(encoding="utf-8")
    assert (tmp_path / "both.xlsx").is_file()


def test_a_single_run_is_reported(here: Here, tmp_path: Path) -> None:
    home = tmp_path / "outputs" / "runs" / "2026-01-02" / "10-00-00"
    home.mkdir(parents=True)
    (home / "result.json").write_text(json.dumps(finished([], {"final/reward": 1.0})), encoding="utf-8")
    assert here("report", str(home), folder=tmp_path).code == 0
    assert "DPO run 10-00-00" in (home / "report.html").read_text(encoding="utf-8")


def test_the_same_files_twice_are_the_same_but_for_the_clock(here: Here, tmp_path: Path) -> None:
    home = sweep(tmp_path, "10-00-00")
    here("report", folder=tmp_path)
    first = (home / "comparison.csv").read_text(encoding="utf-8")
    here("report", folder=tmp_path)
    assert (home / "comparison.csv").read_text(encoding="utf-8") == first
    assert not list(home.glob("*.new"))


def test_refusals_name_place_and_remedy(here: Here, tmp_path: Path) -> None:
    here("report", folder=tmp_path).refused(2, "multirun", "holds no sweep", "rlhf -m")
    one, other = (str(sweep(tmp_path, clock)) for clock in ("09-00-00", "10-00-00"))
    here("report", "nowhere", folder=tmp_path).refused(
        2, "nowhere: there is no such folder", "Name a folder such as multirun/2026-01-02/10-00-00"
    )
    here("report", "multirun/2026-01-02/10-00-0", folder=tmp_path).refused(
        2, "there is no such folder", "Did you mean `multirun/2026-01-02/10-00-00`?"
    )
    here("report", "multirun", folder=tmp_path).refused(2, "multirun: holds no job of a sweep or run. Name a folder")
    here("report", one, other, folder=tmp_path).refused(2, "--output", "several folders", "FILE.html")
    here("report", one, "--output", "page.txt", folder=tmp_path).refused(2, "page.txt", ".html")


@pytest.mark.parametrize("ending", [".html", ".xlsx", ".md", ".csv"])
def test_a_file_that_no_report_wrote_is_not_replaced(ending: str, here: Here, tmp_path: Path) -> None:
    home = str(sweep(tmp_path, "10-00-00"))
    mine = tmp_path / f"z{ending}"
    mine.write_text("my own", encoding="utf-8")
    refused = here("report", home, "--output", "z.html", folder=tmp_path)
    refused.refused(2, f"z{ending}", "is there already", "another --output", "move the file away")
    assert [file.name for file in tmp_path.glob("z.*")] == [mine.name]
    assert mine.read_text(encoding="utf-8") == "my own"
    mine.unlink()
    for _ in range(2):  # what a report wrote, the next one may replace
        assert here("report", home, "--output", "z.html", folder=tmp_path).code == 0
    assert sorted(file.name for file in tmp_path.glob("z.*")) == ["z.csv", "z.html", "z.md", "z.xlsx"]


def test_a_sweeps_own_tables_without_a_page_are_replaced(here: Here, tmp_path: Path) -> None:
    home = sweep(tmp_path, "10-00-00")
    (home / "comparison.csv").write_text("of a sweep that was killed", encoding="utf-8")
    assert here("report", folder=tmp_path).code == 0
    assert here("report", str(home), "--output", str(home / "report.html"), folder=tmp_path).code == 0


def test_a_sweep_without_jobs_yet_is_named_beside_the_one_that_is_shown(here: Here, tmp_path: Path) -> None:
    begun = tmp_path / "multirun" / "2026-01-02" / "11-00-00-c"
    begun.mkdir(parents=True)
    (begun / "sweep.json").write_text('{"id": "c"}', encoding="utf-8")
    here("report", folder=tmp_path).refused(2, "11-00-00-c", "has no job yet", "rlhf resume")
    sweep(tmp_path, "10-00-00-b")
    done = here("report", folder=tmp_path)
    told = "shown is multirun/2026-01-02/10-00-00-b: the newer sweep multirun/2026-01-02/11-00-00-c has no job yet"
    assert (done.code, told in done.out) == (0, True)


def test_a_live_sweep_is_told_so_in_whole_lines_and_a_torn_file_ends_with_code_1(here: Here, tmp_path: Path) -> None:
    home = leave(tmp_path / "multirun" / "2026-01-02" / "10-00-00", [None])
    done = here("report", folder=tmp_path)
    assert (done.code, "dpo tiny (running or killed)" in done.out, "failed" in done.out) == (0, True, False)
    (home / "0" / "result.json").write_text('{"status": "fin', encoding="utf-8")
    done = here("report", folder=tmp_path)
    assert done.code == 1
    assert "dpo tiny damaged: multirun/2026-01-02/10-00-00/0/result.json is damaged: delete it" in done.out


def test_an_interrupted_sweep_is_told_whole_and_how_to_go_on(here: Here, tmp_path: Path) -> None:
    jobs = [finished(["method.beta=1"], {"final/reward": 1.0}), failed(["method.beta=2"], "")]
    jobs[1]["status"] = "interrupted"
    planned = [{"name": "dpo-tiny", "words": ["method=dpo", f"method.beta={beta}"]} for beta in (1, 2, 3)]
    record = {"id": "ab12", "words": ["-m"], "started": 1.7e9, "summary_run": "", "jobs": 3, "composed": ""}
    home = tmp_path / "multirun" / "2026-01-02" / "10-00-00"
    leave(home, jobs, **record, reported=True, planned=planned)
    done = here("report", folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "dpo tiny (interrupted)" in done.out and "dpo tiny (not started)" in done.out
    assert "go on    rlhf resume ab12  # runs what is missing: 2 of 3 jobs" in done.out
    assert "not started" in (home / "comparison.csv").read_text(encoding="utf-8")
    lock = FileLock(home / "sweep.lock")
    with lock:  # somebody runs it
        assert "go on" not in here("report", folder=tmp_path).out
    for number, job in enumerate(jobs):
        (home / str(number) / "result.json").write_text(json.dumps(job | {"status": "finished"}), encoding="utf-8")
    (home / "sweep.json").write_text(json.dumps(record | {"reported": True, "jobs": 2}), encoding="utf-8")
    assert "go on" not in here("report", folder=tmp_path).out


def test_help_shows_examples(here: Here, tmp_path: Path) -> None:
    done = here("report", "--help", folder=tmp_path)
    assert done.code == 0
    assert "rlhf report --open" in done.out


GOALS = (
    "goals:\n  - {name: wins, metric: final/win_rate, at_least: 0.5}\n  - {name: near, metric: final/kl, at_most: 9}\n"
)
WON = {"final/win_rate": 0.7, "final/win_rate_low": 0.6, "final/win_rate_high": 0.8, "final/kl": 5.0}


def test_goals_are_told_per_run_in_the_terminal_and_on_the_page(here: Here, tmp_path: Path) -> None:
    home = leave(tmp_path / "multirun" / "2026-01-02" / "10-00-00", [finished([], WON)], id="x")
    (tmp_path / "mine.yaml").write_text(GOALS, encoding="utf-8")
    done = here("report", "--goals", "mine.yaml", "--strict", folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "Goals" in done.out and "met" in done.out and "0.7 [0.6, 0.8]" in done.out
    assert "near: final/kl at most 9" in done.out
    assert '"key":"goals"' in (home / "report.html").read_text(encoding="utf-8")
    assert "## Goals" in (home / "comparison.md").read_text(encoding="utf-8")


def test_a_goal_that_is_not_met_ends_with_code_1_only_if_strict(here: Here, tmp_path: Path) -> None:
    leave(tmp_path / "multirun" / "2026-01-02" / "10-00-00", [finished([], {"final/kl": 12.0})], id="x")
    (tmp_path / "mine.yaml").write_text(GOALS, encoding="utf-8")
    done = here("report", "--goals", "mine.yaml", folder=tmp_path)
    assert (done.code, "missed" in done.out, "not measured" in done.out) == (0, True, True)
    assert here("report", "--goals", "mine.yaml", "--strict", folder=tmp_path).code == 1


def test_a_saving_that_nothing_stands_against_is_told_everywhere(here: Here, tmp_path: Path) -> None:
    home = leave(tmp_path / "multirun" / "2026-01-02" / "10-00-00", [finished([], WON)], id="x")
    goal = "goals:\n  - {name: cheap, metric: cost/usd, saving_at_least: 0.5, against: full}\n"
    (tmp_path / "mine.yaml").write_text(goal, encoding="utf-8")
    done = here("report", "--goals", "mine.yaml", "--strict", folder=tmp_path)
    assert done.code == 1 and "Goals" in done.out
    files = [(home / name).read_text(encoding="utf-8") for name in ("report.html", "comparison.md")]
    assert all("nothing to save against" in text for text in [done.out, *files])
    head, line = load_workbook(home / "comparison.xlsx")["goals"].iter_rows(values_only=True)
    assert head == ("run", "goal", "metric", "wanted", "answer", "told by")
    assert line[1:5] == ("cheap", "cost/usd", "at least 50% less than full", "not measured")
    assert str(line[5]).startswith("nothing to save against")


def test_goals_by_name_and_names_that_are_none(here: Here, tmp_path: Path) -> None:
    leave(tmp_path / "multirun" / "2026-01-02" / "10-00-00", [finished([], WON)], id="x")
    assert here("report", "--goals", "s1", folder=tmp_path).code == 0
    here("report", "--goals", "s2", folder=tmp_path).refused(2, "--goals s2", "conf/goals", "s1")
    (tmp_path / "torn.yaml").write_text("goals: []\n", encoding="utf-8")
    here("report", "--goals", "torn.yaml", folder=tmp_path).refused(2, "torn.yaml, goals", "at least 1 item")
    here("report", "--strict", folder=tmp_path).refused(2, "--strict", "--goals")
