from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from rich.console import Console

from rlhf.report.cells import ReportRow, comparison_cells, duration, memory
from rlhf.report.table import comparison_table, to_csv, to_markdown


def row(name: str, role: Any, params: dict[str, Any], metrics: dict[str, float], note: str) -> ReportRow:
    """A row of a job that nobody judged and that learned from its data."""
    return ReportRow(name, role, params, metrics, note, judge="", trained_on="", n=0, tests={})


def shown(rows: list[ReportRow], width: int, facts: list[str] | None = None) -> str:
    """The table as it stands in a file."""
    stream = io.StringIO()
    Console(width=width, file=stream).print(comparison_table(rows, "A sweep", width, facts or []))
    return stream.getvalue()


ROWS = [
    row("base", "base", {}, {"final/loss": 4.0, "final/reward": -1.2, "cost/seconds": 3.0}, ""),
    row("sft", "sft", {}, {"final/loss": 1.1, "final/reward": 0.2, "final/kl": 0.0, "cost/usd": 0.0012}, ""),
    row(
        "dpo-1", "policy", {"method.beta": 0.3, "model.name": "tiny_gpt2", "method.trainer.learning_rate": 5e-5},
        {
            "final/loss": 0.6, "final/reward": 0.7, "final/reward_gold": 1.2,
            "final/reward_gold_difference": 0.15, "final/reward_gold_difference_low": -0.1,
            "final/reward_gold_difference_high": 0.4, "final/kl": 1.2, "final/win_rate": 0.52,
            "final/win_rate_low": 0.45,
            "final/win_rate_high": 0.59,
            "cost/seconds": 14100.0, "cost/usd": 3.9, "cost/peak_memory_bytes": 4.4 * 2**30,
        }, "",
    ),
    row(
        "dpo-2", "policy", {"method.beta": 0.1, "model.name": "tiny_gpt2", "method.trainer.learning_rate": 1e-5},
        {
            "final/loss": 0.5, "final/reward": 1.4, "final/reward_gold": 1.6,
            "final/reward_gold_difference": 0.45, "final/reward_gold_difference_low": 0.2,
            "final/reward_gold_difference_high": 0.7, "final/kl": 3.2, "final/win_rate": 0.64,
            "final/win_rate_low": 0.57,
            "final/win_rate_high": 0.71,
            "cost/seconds": 141.0, "cost/usd": 0.0039, "cost/peak_memory_bytes": 440 * 2**20,
        }, "",
    ),
    row("dpo-3", "failed", {"method.beta": 0.01, "model.name": "tiny_gpt2"}, {}, "loss is NaN at step 30"),
]  # fmt: skip


def styles() -> dict[tuple[str, str], str]:
    cells = comparison_cells(ROWS)
    return {
        (line[0].text.split()[0], column): cell.style
        for line in cells.lines
        for column, cell in zip(cells.columns, line, strict=True)
    }


def test_best_reward_first_controls_among_them_failures_last() -> None:
    lines = comparison_cells(ROWS).lines
    assert [line[0].text for line in lines] == ["dpo-2", "dpo-1", "sft (control)", "base (control)", "dpo-3 (failed)"]


def test_only_settings_that_differ_are_shown() -> None:
    columns = comparison_cells(ROWS).columns
    assert columns == (
        "run",
        "beta",
        "learning_rate",
        "loss",
        "reward",
        "gold",
        "gold gain",
        "KL",
        "win rate",
        "USD",
        "time",
        "memory",
    )


def test_settings_with_the_same_last_word_keep_their_whole_name() -> None:
    rows = [row(str(n), "policy", {"a.name": n, "b.name": n, "c.loss": n}, {"final/loss": 1.0}, "") for n in (1, 2)]
    assert comparison_cells(rows).columns == ("run", "a.name", "b.name", "c.loss", "loss")


def test_gold_decides_where_no_judge_scored() -> None:
    rows = [row(str(n), "policy", {}, {"final/reward_gold": float(n)}, "") for n in (1, 3, 2)]
    assert [line[0].text for line in comparison_cells(rows).lines] == ["3", "2", "1"]


def test_a_missing_or_nan_reward_comes_after_the_known_ones() -> None:
    rewards: list[dict[str, float]] = [{}, {"final/reward": float("nan")}, {"final/reward": -5.0}]
    rows = [row(str(n), "policy", {}, metrics, "") for n, metrics in enumerate(rewards)]
    assert [line[0].text for line in comparison_cells(rows).lines][0] == "2"


def test_differences_inside_their_interval_are_grey_and_only_those() -> None:
    style = styles()
    assert style["dpo-1", "gold gain"] == style["dpo-1", "win rate"] == "bright_black"
    assert style["dpo-2", "gold gain"] == style["dpo-2", "win rate"] == style["dpo-1", "loss"] == ""
    assert style["sft", "loss"] == "dim" and style["dpo-3", "beta"] == "red"


@pytest.mark.parametrize("width", [120, 140])
def test_it_is_readable_in_120_columns(width: int) -> None:
    text = shown(ROWS, width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for whole in (
        "dpo-2",
        "0.64 [.57, .71]",
        "+0.45 [.20, .70]",
        "0.0039",
        "440 MiB",
        "4.4 GiB",
        "3.9 h",
        "-1.200",
    ):
        assert whole in text
    assert "dpo-3 failed: loss is NaN at step 30" in text


def test_what_may_be_no_difference_is_marked_without_colour_too() -> None:
    lines = shown(ROWS, 140).splitlines()
    (second,) = [line for line in lines if line.strip().startswith("dpo-1")]
    assert "+0.15 [-.10, .40]~" in second and "0.52 [.45, .59]~" in second
    (first,) = [line for line in lines if line.strip().startswith("dpo-2")]
    assert "~" not in first
    assert first.index(".70]") == second.index(".40]"), "numbers still stand below one another"
    assert "~: the 95% interval includes no difference; not tested" in "".join(lines)
    assert "grey" not in "".join(lines)
    assert "~" not in shown([ROWS[1], ROWS[3]], 140)


def test_a_control_that_may_be_no_different_is_marked_as_well() -> None:
    difference = {"final/reward": 0.3, "final/reward_difference_low": -0.1, "final/reward_difference_high": 0.2}
    clear = {"final/reward": 0.2, "final/reward_difference_low": 0.1, "final/reward_difference_high": 0.3}
    rows = [row("sft", "sft", {}, difference, ""), row("start", "start", {}, clear, ""), ROWS[3]]
    lines = shown(rows, 140).splitlines()
    marked = [line.split()[0] for line in lines if "~" in line]
    assert marked == ["sft", "~:"]
    assert "*0.300*" in to_markdown(rows) and "*0.200*" not in to_markdown(rows)


def test_facts_stand_below_the_table() -> None:
    text = shown(ROWS, 140, ["trained on: judge (reward stage) x 1.0"])
    assert text.index("dpo-3") < text.index("trained on: judge (reward stage) x 1.0")


def test_the_csv_says_what_a_run_was_trained_on_and_who_judged_it() -> None:
    taught = "judge (reward stage) x 1.0"
    ppo = ReportRow("ppo-1", "policy", {}, {"final/reward": 1.0}, "", "the gold reward", taught, 0, {})
    failed = ReportRow("ppo-2", "failed", {}, {}, "NaN", "", taught, 0, {})
    lines = list(csv.DictReader(io.StringIO(to_csv([ppo, failed, ROWS[0]]))))
    assert [(line["run"], line["judge"], line["trained on"], line["failure"]) for line in lines] == [
        ("ppo-1", "the gold reward", "judge (reward stage) x 1.0", ""),
        ("base (control)", "", "", ""),
        ("ppo-2 (failed)", "", "judge (reward stage) x 1.0", "NaN"),
    ]
    assert not {"judge", "trained on"} & set(next(csv.reader(io.StringIO(to_csv(ROWS)))))


def test_a_mapping_of_rewards_goes_on_in_the_next_line_and_is_not_cut() -> None:
    rewards = "{short:{kind:function,weight:0.02,name:rlhf.ppo.builtin:length_penalty}}"
    rows = [row("a", "policy", {"r": rewards}, {"final/kl": 1.0}, ""), row("b", "policy", {"r": "x"}, {}, "")]
    text = shown(rows, 80)
    assert "1.000" in text
    (place,) = {line.index("{") for line in text.splitlines() if "{short" in line}
    assert rewards in "".join(line[place:].split(" ")[0] for line in text.splitlines()[4:] if len(line) > place)


@pytest.mark.parametrize("width", [72, 80, 100])
def test_a_narrow_screen_leaves_whole_columns_out_and_says_which(width: int) -> None:
    text = shown(ROWS, width)
    for whole in ("dpo-2", "base (control)", "0.64 [.57, .71]", "+0.45 [.20, .70]"):
        assert whole in text
    gone = text.partition("a wider screen also shows ")[2].split("\n")[0].rstrip().split(", ")
    [heading] = [line for line in text.splitlines() if "gold gain" in line and "win rate" in line]
    assert gone[0] == "loss" and not {"loss", *gone} & set(heading.replace("gold gain", "").split())


def test_csv_has_full_numbers_and_the_reason() -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(ROWS))))
    assert lines[1]["time"] == "14100.0" and float(lines[1]["memory"]) == 4.4 * 2**30
    assert lines[4]["failure"] == "loss is NaN at step 30" and lines[4]["loss"] == ""


def test_each_failed_job_has_its_own_reason_in_the_csv() -> None:
    failed = [row(f"dpo-{name}", "failed", {}, {}, f"reason {name}") for name in "abc"]
    lines = csv.DictReader(io.StringIO(to_csv([failed[0], ROWS[2], failed[1], ROWS[0], failed[2]])))
    assert {line["run"]: line["failure"] for line in lines} == {
        "dpo-1": "",
        "base (control)": "",
        "dpo-a (failed)": "reason a",
        "dpo-b (failed)": "reason b",
        "dpo-c (failed)": "reason c",
    }


def test_markdown_marks_unclear_differences_and_escapes_bars() -> None:
    text = to_markdown([*ROWS, row("a|b", "policy", {}, {"final/reward": 0.0}, "")])
    assert "| *0.52 [.45, .59]* |" in text and "a\\|b" in text
    assert text.endswith("- dpo-3 failed: loss is NaN at step 30\n")


def test_durations_and_sizes_read_well() -> None:
    assert [duration(x) for x in (8.24, 141, 9000)] == ["8.2 s", "2 min", "2.5 h"]
    assert [memory(x) for x in (512 * 2**20, 3.2 * 2**30)] == ["512 MiB", "3.2 GiB"]


def test_no_runs_make_an_empty_table() -> None:
    assert comparison_cells([]).lines == ()
    assert shown([], 80).split()[:3] == ["A", "sweep", "run"]
