"""Goals: met, missed, not measured, not told, from intervals and from savings that were measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from left_by_jobs import failed, finished, leave
from test_savings import job, left

from rlhf.errors import UserError
from rlhf.evaluation.contract import Tools, mean_scores
from rlhf.evaluation.metrics import ALL_METRICS
from rlhf.folders import conf_dir
from rlhf.report.goals import Goal, goals_sheet, read_goals, verdicts
from rlhf.report.record import read_record

UNUSED = ("train", "logprobs", "judge", "store", "say")
WIN = {"final/win_rate": 0.6, "final/win_rate_low": 0.52, "final/win_rate_high": 0.68}


def judged(folder: Path, goal: dict[str, Any], *measured: dict[str, float], **more: Any) -> tuple[str, str]:
    leave(folder, [finished([f"seed={seed}"], metrics, **more) for seed, metrics in enumerate(measured)])
    (found,) = verdicts([Goal(name="g", **goal)], read_record([folder]).jobs)
    return found.word, found.told


@pytest.mark.parametrize(
    ("goal", "word"),
    [
        ({"at_least": 0.5}, "met"),
        ({"at_least": 0.52}, "met"),
        ({"at_least": 0.55}, "not told"),  # inside of 0.52 to 0.68
        ({"at_least": 0.7}, "missed"),
        ({"at_most": 0.7}, "met"),
        ({"at_most": 0.6}, "not told"),
        ({"at_most": 0.5}, "missed"),
    ],
)
def test_an_interval_meets_misses_or_does_not_tell(goal: dict[str, float], word: str, tmp_path: Path) -> None:
    told = judged(tmp_path, {"metric": "final/win_rate", **goal}, WIN, questions=64)
    assert told == (word, "0.6 [0.52, 0.68], n 64")


def test_a_number_without_an_interval_decides_alone_and_says_so(tmp_path: Path) -> None:
    goal = {"metric": "final/nll", "at_most": 2.0}
    assert judged(tmp_path, goal, {"final/nll": 1.5}) == ("met", "1.5, no interval")


def test_what_nobody_measured_is_not_measured(tmp_path: Path) -> None:
    assert judged(tmp_path, {"metric": "persona/s1_engagement", "at_least": 0.5}, WIN) == ("not measured", "")


def test_over_seeds_the_interval_is_over_seeds(tmp_path: Path) -> None:
    # mean 2, standard error 1 / sqrt(3), t of 2 degrees of freedom 4.3027: 2 +- 2.484; nats are never below 0
    values = [{"final/nll": value} for value in (1.0, 2.0, 3.0)]
    goal = {"metric": "final/nll", "at_most": 4.0}
    assert judged(tmp_path, goal, *values) == ("not told", "2 [0, 4.484]")


def test_over_seeds_a_gain_must_be_clear_over_prompts_as_well(tmp_path: Path) -> None:
    """The seeds agree on a gain of 1; the eight prompts scatter from -3 to 5."""
    scatter = [-3.0, 5.0, -2.0, 4.0, -3.0, 5.0, -1.0, 3.0]
    metric = "final/reward_gold_difference"
    control = {"name": "sft", "role": "sft", "fingerprint": "5f", "metrics": {}}
    outcomes = []
    for seed in (1, 2, 3):
        scores = [value + seed / 100 for value in scatter]
        own = {"name": "dpo-tiny", "role": "policy", "fingerprint": "d0", "metrics": {}}
        rows = [one | {"each": {"final/reward_gold": each}} for one, each in ((control, [0.0] * 8), (own, scores))]
        outcomes.append(finished([f"seed={seed}"], {metric: sum(scores) / 8}, rows=rows, asked="a", questions=8))
    leave(tmp_path, outcomes)
    (found,) = verdicts([Goal(name="g", metric=metric, at_least=0.0)], read_record([tmp_path]).jobs)
    assert (found.word, found.told[:5], found.told[-3:]) == ("not told", "1.02 ", "n 8")


def test_intervals_of_suites_count_as_well(tmp_path: Path) -> None:
    found = {"metrics": {"text/bleu": {"dpo-tiny": {"value": 30.0, "n": 9, "low": 28.0, "high": 32.0}}}}
    goal = {"metric": "text/bleu", "at_least": 29.0}
    told = judged(tmp_path, goal, {"text/bleu": 30.0}, evaluation=found)
    assert told == ("not told", "30 [28, 32], n 9")


def test_none_of_eight_does_not_tell_of_one_in_a_hundred(tmp_path: Path) -> None:
    """By the interval that suites give their shares: up to z^2 / (8 + z^2) = 0.3244."""
    share = mean_scores([0.0] * 8, Tools(resamples=100, seed=0, **dict.fromkeys(UNUSED)))  # type: ignore[arg-type]
    found = {"metrics": {"safety/rude": {"dpo-tiny": {"value": share.value, "low": share.low, "high": share.high}}}}
    goal = {"metric": "safety/rude", "at_most": 0.01}
    assert judged(tmp_path, goal, {"safety/rude": 0.0}, evaluation=found) == ("not told", "0 [0, 0.3244]")


@pytest.mark.parametrize(
    ("times", "word"),
    [
        ([0.2, 0.24], "met"),  # 80% and 76% less
        ([0.2, 0.3], "not told"),  # one seed meets it, the other does not
        ([0.5, 0.6], "missed"),
        ([1.5, 2.0], "missed"),
    ],
)
def test_a_saving_is_asked_of_two_runs_of_each_seed(times: list[float], word: str, tmp_path: Path) -> None:
    jobs = [job("full", seed) for seed in (1, 2)] + [
        job("lora", seed, times=each) for seed, each in enumerate(times, 1)
    ]
    goal = Goal(name="cost", metric="cost/usd", saving_at_least=0.75, against="full")
    (found,) = verdicts([goal], left(tmp_path, jobs))  # the full one itself is not asked
    assert (found.run, found.word) == ("sft tiny tuning=lora", word)


def test_without_a_full_fine_tune_no_run_is_asked_for_a_saving(tmp_path: Path) -> None:
    goal = Goal(name="cost", metric="cost/usd", saving_at_least=0.75, against="full")
    found = verdicts([goal], left(tmp_path, [job("lora", 1)]))
    assert [(one.word, one.told) for one in found] == [("not measured", "no full fine-tune beside it")]


def test_full_fine_tunes_alone_are_told_why_no_saving_is_known(tmp_path: Path) -> None:
    saving = Goal(name="cost", metric="cost/usd", saving_at_least=0.75, against="full")
    loss = Goal(name="loss", metric="final/nll", at_most=9.0)
    sheet = goals_sheet(verdicts([saving, loss], left(tmp_path, [job("full", 1), job("full", 2)])))
    assert [column.title for column in sheet.columns] == ["", "cost", "loss"]
    cell = sheet.rows[0][1]
    assert (cell.text, cell.below) == (
        "not measured", "nothing to save against: a full fine-tune, with no adapter beside it",
    )  # fmt: skip


def test_the_full_fine_tune_of_a_comparison_is_named_as_that(tmp_path: Path) -> None:
    goal = Goal(name="cost", metric="cost/usd", saving_at_least=0.75, against="full")
    loss = Goal(name="loss", metric="final/nll", at_most=9.0)
    sheet = goals_sheet(verdicts([goal, loss], left(tmp_path, [job("lora", 1), job("full", 1)])))
    cells = {row[0].text: row[1] for row in sheet.rows}
    assert cells["sft tiny tuning=full"].below == "others are compared with it"


def test_goals_of_jobs_that_all_failed_are_told(tmp_path: Path) -> None:
    leave(tmp_path, [failed(["seed=1"], "diverged")])
    goal = Goal(name="near", metric="final/kl", at_most=10)
    (found,) = verdicts([goal], read_record([tmp_path]).jobs)
    assert (found.word, found.told) == ("not measured", "no job has finished")


def test_two_goals_of_one_name_keep_their_own_answers(tmp_path: Path) -> None:
    leave(tmp_path, [finished([], WIN)])
    goals = [Goal(name="wins", metric="final/win_rate", at_least=share) for share in (0.5, 0.7)]
    (row,) = goals_sheet(verdicts(goals, read_record([tmp_path]).jobs)).rows
    assert [cell.text for cell in row[1:]] == ["met", "missed"]


@pytest.mark.parametrize("file", sorted((conf_dir() / "goals").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_file_of_goals_can_be_read_and_names_metrics_that_there_are(file: Path) -> None:
    from rlhf.evaluation.suites import module_of

    known = {metric.name for metric in ALL_METRICS}
    known |= {metric.name for metric in module_of("persona").METRICS}
    assert {goal.metric for goal in read_goals(file)} <= known


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"metric": "cost/usd"}, "give one of at_least"),
        ({"metric": "cost/usd", "at_least": 1, "at_most": 2}, "give one of at_least"),
        ({"metric": "cost/usd", "saving_at_least": 0.5}, "go together"),
        ({"metric": "cost/usd", "at_lest": 1}, "at_lest"),
        ({"metric": "cost/usd", "at_leest": 1}, "goals.0.at_leest: unknown key. Did you mean `at_least`"),
        ({"metrik": "cost/usd", "at_least": 1}, "goals.0.metrik: unknown key. Did you mean `metric`"),
        ({"at_least": 1}, "goals.0.metric: has no value"),
        ({"metric": "cost/usd", "at_least": "much"}, "goals.0.at_least: should be a valid number.*got 'much'"),
        ({"metric": "final/nothing_such", "at_least": 1}, "goals.0.metric: there is no metric `final/nothing_such`"),
        ({"metric": "final/win_rat", "at_least": 1}, "Did you mean `final/win_rate`"),
        ({"metric": "cost/usd", "saving_at_least": 75, "against": "full"}, "less than 1"),
    ],
)
def test_a_wrong_goal_is_refused_with_its_place(wrong: dict[str, Any], told: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"goals": [{"name": "g", **wrong}]}))
    with pytest.raises(UserError, match=told) as caught:
        read_goals(file)
    assert "mine.yaml, goals.0" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "mine.yaml: holds no goals"),
        ("goals:\n", "mine.yaml: holds no goals"),
        ("goals: []\n", "mine.yaml, goals: holds no goals"),
        ("goals: cheap\n", "mine.yaml: `goals` is no list of goals"),
        ("goals: [cheap]\n", "mine.yaml, goals.0: is no mapping"),
        ("cheap\n", "mine.yaml: is no mapping"),
        ("goal: []\n", "mine.yaml, goal: unknown key. Did you mean `goals`"),
        ("goals:\n  - {name: x\n", "mine.yaml:3: not YAML"),
        ("goals:\n\t- x\n", "mine.yaml:2: not YAML"),
        ("goals: \x01\n", "mine.yaml: not YAML"),
    ],
)
def test_a_file_without_goals_is_refused_in_plain_words(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_goals(file)
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert "valid" not in str(caught.value) and "Docs/" not in str(caught.value)


def test_a_goal_may_name_what_jobs_measured(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("goals: [{name: own, metric: mine/score, at_least: 1}]\n")
    assert [goal.metric for goal in read_goals(file, ["mine/score"])] == ["mine/score"]


def test_a_torn_file_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("goals: [{\n")
    with pytest.raises(UserError) as caught:
        read_goals(file)
    assert "\n" not in str(caught.value)


def test_the_table_has_a_line_per_run_and_a_column_per_goal(tmp_path: Path) -> None:
    leave(tmp_path, [finished([f"method.beta={beta}"], WIN) for beta in (0.1, 0.2)])
    goals = [Goal(name="wins", metric="final/win_rate", at_least=0.5), Goal(name="near", metric="final/kl", at_most=10)]
    sheet = goals_sheet(verdicts(goals, read_record([tmp_path]).jobs))
    assert [column.title for column in sheet.columns] == ["", "wins", "near"]
    assert [[cell.text for cell in row] for row in sheet.rows] == [
        ["dpo tiny beta=0.1", "met", "not measured"], ["dpo tiny beta=0.2", "met", "not measured"],
    ]  # fmt: skip
    assert [cell.tone for cell in sheet.rows[0]] == ["", "good", "soft"]
