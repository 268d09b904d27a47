"""The trials of a search as a table: the front first, what did not finish last and with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from browser import needs_browser, show
from left_by_jobs import finished, leave

from rlhf.report.trials import trials_sheets
from rlhf.report.write import write_report


def trial(number: int, values: list[float] | None, **more: Any) -> dict[str, Any]:
    empty = {"status": "finished" if values else "pruned", "reason": None, "repeats": None, "seconds": 61.0}
    return {"number": number, "values": values, "job": number, "params": {"method.beta": 0.1 * number}, **empty, **more}


def search(**more: Any) -> dict[str, Any]:
    trials = [
        trial(0, [0.2, 9.0]),
        trial(1, None, reason="hopeless at step 20", seconds=None),
        trial(2, [0.9, 5.0]),
        trial(3, [0.9, 5.0], repeats=2, job=None),
        trial(4, [0.5, 1.0]),
    ]
    objectives = [
        {"metric": "text/chrf", "direction": "maximize"},
        {"metric": "final/kl", "direction": "minimize"},
    ]
    return {
        "study": "dpo-1", "objectives": objectives, "params": {"method.beta": {}}, "front": [2, 4], "trials": trials
    } | more  # fmt: skip


def test_the_front_comes_first_and_what_did_not_finish_last() -> None:
    (sheet,) = trials_sheets([search()])
    assert [column.title for column in sheet.columns] == [
        "trial", "job", "text/chrf", "final/kl", "method.beta", "time", "ended",
    ]  # fmt: skip
    assert [row[0].text for row in sheet.rows] == ["3", "5", "4", "1", "2"]
    assert [row[2].tone for row in sheet.rows] == ["good", "good", "", "", "soft"]
    best, last, repeated = sheet.rows[0], sheet.rows[-1], sheet.rows[2]
    assert [cell.text for cell in best] == ["3", "3", "0.900", "5.000", "0.2", "61.0 s", "finished"]
    assert [cell.text for cell in last] == ["2", "2", "–", "–", "0.1", "–", "pruned"]
    assert last[-1].below == "hopeless at step 20"
    assert (repeated[1].text, repeated[-1].text) == ("–", "as trial 3")


def test_a_terminal_has_the_best_and_says_how_many_more_there_are() -> None:
    (sheet,) = trials_sheets([search()], most=2)
    assert [row[0].text for row in sheet.rows] == ["3", "5"]
    assert sheet.notes == ("3 more on the page",)
    assert trials_sheets([search(trials=[])]) == []


def test_one_objective_that_is_minimized_is_ordered_upwards() -> None:
    trials = [trial(0, [3.0]), trial(1, [1.0]), trial(2, [2.0])]
    one = search(objectives=[{"metric": "final/loss", "direction": "minimize"}], front=[1], trials=trials)
    assert [row[0].text for row in trials_sheets([one])[0].rows] == ["2", "3", "1"]


PROBE = """(() => [...document.querySelectorAll("section")].map(
  (one) => [one.id, one.querySelectorAll("tbody tr").length]))()"""


@needs_browser
def test_the_page_of_a_search_has_its_trials_and_says_which_is_best(tmp_path: Path) -> None:
    jobs = [
        finished([f"method.beta={beta}", f"seed={seed}"], {"final/kl": 1.0, "final/reward_gold": beta + seed / 10})
        for beta in (1, 2)
        for seed in (1, 2, 3)
    ]
    leave(tmp_path / "sweep", jobs, id="ab", words=["search=x"], started=1.7e9)
    (tmp_path / "sweep" / "search.json").write_text(json.dumps(search()), encoding="utf-8")
    shown = show(write_report(tmp_path / "sweep")[0], PROBE, tmp_path)
    assert shown.complaints == []
    rows = dict(shown.found)
    assert (rows["trials"], rows["best"]) == (5, 1)
    order = [key for key, _ in shown.found]
    assert order.index("comparison") < order.index("best") < order.index("search") < order.index("trials")
