"""The tests behind a comparison: exact p values on few questions, corrected together, whatever the table's form."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from left_by_jobs import BASE, SFT, finished, leave, summarised
from rich.console import Console
from scipy.stats import ttest_1samp

from rlhf.report.best_sheet import best_sheets
from rlhf.report.compared import Beside, beside_start, compare_lines, number_of_tests
from rlhf.report.models import models_sheets
from rlhf.report.outcome import report_rows
from rlhf.report.record import JobRecord, read_record
from rlhf.report.rows import build_lines
from rlhf.report.savings_sheet import savings_sheets
from rlhf.report.spreadsheet import write_spreadsheet
from rlhf.report.table import comparison_table, to_csv, to_markdown

ZEROS = [0.0] * 8
BETTER = [2.0] * 8  # all 8 questions gain: 2 of 2^8 signs are as extreme
P = 2 / 2**8


def line(
    ours: Sequence[float], theirs: Sequence[float] = ZEROS, kind: str = "final/reward", asked: str = "a"
) -> Beside:
    return Beside({kind: list(ours)}, {kind: list(theirs)}, asked)


def interval(name: str, value: float, low: float, high: float) -> dict[str, float]:
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def job(words: Sequence[str], scores: Sequence[float], asked: str = "a", name: str = "dpo-tiny") -> dict[str, Any]:
    """A job whose answers to 8 questions have these gold scores, those of the policy it started from 0."""
    mean = fmean(scores)
    metrics = {"final/reward_gold": mean, **interval("final/reward_gold_difference", mean, mean - 0.1, mean + 0.1)}
    rows = [
        BASE | {"each": {"final/reward_gold": ZEROS}},
        SFT
        | {"each": {"final/reward_gold": ZEROS}, "metrics": interval("final/reward_gold_difference", 0.0, -0.1, 0.1)},
        {"name": name, "role": "policy", "fingerprint": "d0", "metrics": metrics}
        | {"each": {"final/reward_gold": list(scores)}},
    ]
    return finished(words, metrics, rows=rows, asked=asked, questions=8, pairs_judged=0, name=name)


def jobs_of(folder: Path, *outcomes: Mapping[str, Any]) -> list[JobRecord]:
    return list(read_record([leave(folder, outcomes)]).jobs)


def test_gains_are_tested_by_permutations_and_wins_by_the_sign_test() -> None:
    (found,) = compare_lines([[line(BETTER)]])
    gain, won = found["final/reward_difference"], found["final/win_rate"]
    assert (gain.p, gain.test, gain.n) == (P, "paired permutation", 8)
    assert (won.p, won.test) == (pytest.approx(P), "sign test")
    assert (gain.p_holm, won.p_holm) == (
        pytest.approx(2 * P),
        pytest.approx(2 * P),
    )  # two tests, as small as each other


def test_all_lines_of_a_table_are_corrected_together() -> None:
    """By itself 2/256 is clear; among eight lines with two tests each, seven of which show nothing, it is not."""
    (best, *others) = compare_lines([[line(BETTER)], *([line(ZEROS)] for _ in range(7))])
    assert best["final/reward_difference"].p_holm == pytest.approx(16 * P) == 0.125
    assert best["final/reward_difference"].clear is False
    assert {one["final/win_rate"].p_holm for one in others} == {1.0}
    assert number_of_tests([best, *others]) == 16


def test_a_judge_that_is_the_gold_reward_is_tested_once() -> None:
    scores = {"final/reward": BETTER, "final/reward_gold": BETTER}
    (found,) = compare_lines([[Beside(scores, dict.fromkeys(scores, ZEROS), "a")]])
    assert number_of_tests([found]) == 2  # the gain and the win rate
    assert (
        found["final/reward_difference"].p_holm == found["final/reward_gold_difference"].p_holm == pytest.approx(2 * P)
    )


def test_a_reward_model_is_tested_against_chance_and_ties_say_nothing() -> None:
    """9 pairs right, one wrong, one tied: (1 + 10 ) x 2 / 2^10."""
    (found,) = compare_lines([[Beside({"final/accuracy": [1.0] * 9 + [0.0, 0.5]}, {}, "pairs")]])
    assert found["final/accuracy"].p == pytest.approx(22 / 2**10)
    assert found["final/accuracy"].n == 11


@pytest.mark.parametrize(
    "beside",
    [
        Beside({}, {}, ""),
        line([math.nan] * 8),
        line([1.0] * 8, [0.0] * 7),  # of other questions
        line([1.0], [0.0]),  # one question has no spread
        Beside({"final/reward": BETTER}, {}, "a"),  # nothing to compare with
    ],
)
def test_what_can_not_be_tested_is_not(beside: Beside) -> None:
    assert compare_lines([[beside]]) == [{}]


def test_seeds_must_agree_as_well_as_questions() -> None:
    """Each question gains 1, 3 and 8 over three seeds: clear over questions, not over seeds."""
    (found,) = compare_lines([[line([gain] * 8) for gain in (1.0, 3.0, 8.0)]])
    gain = found["final/reward_difference"]
    expected = ttest_1samp([1.0, 3.0, 8.0], 0.0)
    assert gain.p == pytest.approx(expected.pvalue) and gain.p > 0.05
    assert (gain.low, gain.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert gain.test == "paired permutation, t over seeds"


def test_seeds_that_were_asked_different_questions_are_compared_over_seeds_alone() -> None:
    (found,) = compare_lines([[line([gain] * 8, asked=str(gain)) for gain in (1.0, 1.1, 1.2)]])
    assert found["final/reward_difference"].test == "t over seeds"


def test_a_policy_is_compared_with_the_line_before_it_and_the_first_with_none() -> None:
    outcome = job([], BETTER)
    kind = "final/reward_gold"
    assert (beside_start(outcome).ours[kind], beside_start(outcome).theirs[kind]) == (BETTER, ZEROS)
    assert beside_start(outcome, 0).theirs == {}
    assert beside_start(finished([], {})) == Beside({}, {}, "")  # an older job
    judge = finished([], {}, rows=[], each={"final/accuracy": [1.0]}, asked="p")
    assert beside_start(judge) == Beside({"final/accuracy": [1.0]}, {}, "p")


def test_an_interval_without_zero_is_not_clear_where_many_were_tested() -> None:
    """Every interval leaves out 0. One job has a second test beside it, that of its control; eight jobs have nine."""
    alone, many = (report_rows([job([f"method.beta={at}"], BETTER) for at in range(count)]) for count in (1, 8))
    (clear,) = [row for row in alone if row.role == "policy"]
    assert clear.tests["final/reward_gold_difference"].p_holm == pytest.approx(2 * P)
    texts = to_markdown(alone), to_markdown(many)
    assert ["*+2.00 [1.90, 2.10]*" in text for text in texts] == [False, True]
    stream = io.StringIO()
    Console(width=200, file=stream).print(comparison_table(many, "A sweep", 200, []))
    assert "p >= 0.05 by paired permutation and sign test (Holm-corrected for 9)" in stream.getvalue()
    assert "+2.00 [1.90, 2.10]~" in stream.getvalue()


def test_the_csv_has_what_each_comparison_rests_on() -> None:
    found = {row["run"]: row for row in csv.DictReader(io.StringIO(to_csv(report_rows([job([], BETTER)]))))}
    ours, control = found["dpo tiny"], found["sft tiny (control)"]
    assert (ours["n"], ours["gold gain low"], ours["gold gain high"]) == ("8", "1.9", "2.1")
    assert float(ours["gold gain p (Holm)"]) == pytest.approx(2 * P)
    assert control["gold gain p (Holm)"] == "1.0" and found["base tiny (control)"]["gold gain p (Holm)"] == ""


def test_the_page_greys_by_the_same_tests_and_shows_n(tmp_path: Path) -> None:
    outcomes = [job([f"method.beta={at}"], BETTER) for at in range(8)]
    page = summarised(read_record([leave(tmp_path, outcomes)]))
    cells = [row["cells"]["final/reward_gold_difference"] for row in page["rows"] if row["role"] == "policy"]
    assert all(cell["unclear"] for cell in cells)
    assert cells[0]["test"] == "paired permutation on 8, p 0.0078, corrected 0.07"
    assert {row["asked"] for row in page["rows"]} == {8}
    assert any("corrected for all 9 of this table by Holm" in fact for fact in page["facts"])
    lines = build_lines(read_record([tmp_path]).jobs)
    (head, first, *_) = load(write_spreadsheet(lines, [], [], tmp_path / "a.xlsx"))
    told = dict(zip(head, first, strict=True))
    assert (told["n"], told["gold gain p (Holm)"]) == (8, pytest.approx(9 * P))


def load(path: Path) -> list[tuple[Any, ...]]:
    from openpyxl import load_workbook

    return list(load_workbook(path)["comparison"].iter_rows(values_only=True))


def test_over_seeds_the_interval_holds_the_noise_over_questions_too(tmp_path: Path) -> None:
    """Three seeds of means near 1, on questions that scatter between -3 and 5: the wider interval is shown."""
    scatter = [-3.0, 5.0, -2.0, 4.0, -3.0, 5.0, -1.0, 3.0]
    outcomes = [job([f"seed={seed}"], [value + seed / 100 for value in scatter]) for seed in (1, 2, 3)]
    (policy,) = [one for one in build_lines(jobs_of(tmp_path, *outcomes)).lines if one.role == "policy"]
    cell = policy.cells["final/reward_gold_difference"]
    assert cell.low is not None and cell.high is not None
    assert cell.low < 0 < cell.high and cell.kind == "seeds and prompts"
    assert policy.tests["final/reward_gold_difference"].clear is False


@pytest.mark.parametrize(("asked", "best"), [("a", True), ("other", False)])
def test_the_best_is_marked_where_it_beats_every_other_on_the_same_questions(
    asked: str, best: bool, tmp_path: Path
) -> None:
    """Their own intervals overlap by far, yet the second beats the first on all of twelve questions."""
    hard = [float(at) for at in range(12)]
    outcomes = [job(["method.beta=1"], hard), job(["method.beta=2"], [value + 0.5 for value in hard], asked)]
    first, *_ = build_lines(jobs_of(tmp_path, *outcomes)).lines
    assert first.params["method.beta"] == "2"
    assert ("final/reward_gold" in first.best) is best


def test_quality_beside_a_saving_is_tested_on_the_same_questions(tmp_path: Path) -> None:
    """The values alone, of one seed each, would not say whether 0.5 is a difference."""
    full = job(["tuning=full"], [float(at) for at in range(8)])
    ways = [job(["tuning=lora"], [at - 0.5 for at in range(8)]), job(["tuning=ia3"], [float(at) for at in range(8)])]
    (sheet,) = savings_sheets(_with_ways(tmp_path, [full, *ways]))
    rows = {
        row[0].text: dict(zip([one.title for one in sheet.columns[1:]], row[1:], strict=True)) for row in sheet.rows
    }
    assert {way: cell.tone for way, cell in rows["gold"].items()} == {"full": "", "LoRA": "", "ia3": "unclear"}
    assert {cell.text for cell in rows["n"].values()} == {"8"}


def _with_ways(folder: Path, outcomes: Sequence[Mapping[str, Any]]) -> list[JobRecord]:
    leave(folder, outcomes)
    for number, outcome in enumerate(outcomes):
        way = outcome["words"][-1].partition("=")[2]
        config = f"adapter: {{name: {'none' if way == 'full' else way}}}\nquantization: {{name: none}}\nseed: 1\n"
        (folder / str(number) / "config" / "config.yaml").write_text(config, encoding="utf-8")
    return list(read_record([folder]).jobs)


def test_models_side_by_side_have_the_verdicts_of_the_comparison(tmp_path: Path) -> None:
    """The first gains nothing that a test can see, the second beats it on every prompt."""
    noise = [1.0, -1.0] * 4
    outcomes = [
        job(["model=weak"], noise, name="dpo-weak"),
        job(["model=strong"], [value + 3.0 for value in noise], name="dpo-strong"),
    ]
    jobs = jobs_of(tmp_path, *outcomes)
    (sheet,) = models_sheets(jobs, build_lines(jobs), None)
    rows = {
        row[0].text: dict(zip([one.title for one in sheet.columns[1:]], row[1:], strict=True)) for row in sheet.rows
    }
    assert {model: cell.tone for model, cell in rows["gold gain"].items()} == {"weak": "unclear", "strong": "good"}
    assert {model: cell.tone for model, cell in rows["gold"].items()} == {"weak": "", "strong": "good"}
    assert {cell.text for cell in rows["n"].values()} == {"8"}


@pytest.mark.parametrize(("model", "best"), [("tiny", True), ("other", False)])
def test_nll_is_ranked_only_where_all_models_cut_texts_into_the_same_tokens(
    model: str, best: bool, tmp_path: Path
) -> None:
    """Three seeds each, far apart by Welch's t; there are no scores of single prompts for it."""
    values = {"tiny": (1.0, 1.1, 1.2), model + " ": (3.0, 3.1, 3.3)}
    outcomes = [
        finished([f"method.beta={at}", f"seed={seed}"], {"final/nll": nll}, name=f"dpo-{name.strip()}")
        for at, (name, own) in enumerate(values.items())
        for seed, nll in enumerate(own)
    ]
    lines = build_lines(jobs_of(tmp_path, *outcomes)).lines
    assert any("final/nll" in line.best for line in lines) is best


def over_seeds(name: str, metrics: Mapping[str, Sequence[float]], words: Sequence[str] = (), **more: Any) -> list[Any]:
    """A job per seed, with a value of each metric and without scores of single questions."""
    count = len(next(iter(metrics.values())))
    own = [{metric: values[seed] for metric, values in metrics.items()} for seed in range(count)]
    return [finished([*words, f"seed={seed}"], one, name=name, **more) for seed, one in enumerate(own)]


def best_of(folder: Path, *outcomes: Mapping[str, Any]) -> set[str]:
    return set().union(*(line.best for line in build_lines(jobs_of(folder, *outcomes)).lines))


LOW, HIGH = (1.0, 1.1, 1.2), (3.0, 3.1, 3.3)


def test_the_best_needs_enough_seeds_of_both_sides(tmp_path: Path) -> None:
    two = [over_seeds("dpo-tiny", {"cost/seconds": own}, [f"a={own[0]}"]) for own in (LOW, HIGH)]
    assert best_of(tmp_path / "six", *two[0], *two[1]) == {"cost/seconds"}
    assert best_of(tmp_path / "four", *two[0], two[1][0]) == set()


def test_quality_on_other_questions_is_not_ranked_but_cost_is(tmp_path: Path) -> None:
    metrics = [{"final/nll": own, "cost/seconds": own} for own in (LOW, HIGH)]
    outcomes = [
        one for at in (0, 1) for one in over_seeds("dpo-tiny", metrics[at], [f"dataset={at}"], asked=f"prompts {at}")
    ]
    assert best_of(tmp_path, *outcomes) == {"cost/seconds"}


@pytest.mark.parametrize(
    ("words", "ranked"),
    [
        (("method.trainer.learning_rate=1", "method.trainer.learning_rate=2"), {"final/loss", "final/margin"}),
        (("method.beta=0.1", "method.beta=1"), set()),
        (("method.loss_type=sigmoid", "method.loss_type=ipo"), set()),
    ],
)
def test_losses_of_other_objectives_are_not_ranked(words: Sequence[str], ranked: set[str], tmp_path: Path) -> None:
    metrics = [{"final/loss": own, "final/margin": own} for own in (LOW, HIGH)]
    outcomes = [one for at in (0, 1) for one in over_seeds("dpo-tiny", metrics[at], [words[at]])]
    assert best_of(tmp_path / "a", *outcomes) == ranked
    page = summarised(read_record([tmp_path / "a"]))
    assert any("so none is called best: loss" in fact for fact in page["facts"]) is not bool(ranked)


def test_a_reward_model_beside_policies_does_not_hide_which_of_them_is_best(tmp_path: Path) -> None:
    judge = finished(["method=reward"], {"final/accuracy": 0.9}, name="reward-tiny", rows=[], asked="pairs")
    hard = [float(at) for at in range(12)]
    outcomes = [job(["method.beta=1"], hard), job(["method.beta=2"], [value + 0.5 for value in hard]), judge]
    assert "final/reward_gold" in best_of(tmp_path, *outcomes)


def test_a_value_that_is_no_number_is_neither_best_nor_clear(tmp_path: Path) -> None:
    broken = job(["method.beta=1"], [math.nan] * 8)
    assert best_of(tmp_path / "a", broken, job(["method.beta=2"], BETTER)) == set()
    full = job(["tuning=full"], BETTER)
    (sheet,) = savings_sheets(_with_ways(tmp_path / "b", [full, broken | {"words": ["method=dpo", "tuning=lora"]}]))
    (gold,) = [row for row in sheet.rows if row[0].text == "gold"]
    assert (gold[2].text, gold[2].below, gold[2].tone) == ("NaN", "not tested", "unclear")


def test_rewards_of_other_judges_are_no_quality_of_a_saving(tmp_path: Path) -> None:
    judged = [
        finished(
            [f"tuning={way}"],
            {"final/reward": reward, "final/nll": 1.0},
            upstream=[{"name": f"reward-{way}", "method": "reward"}],
        )
        for way, reward in (("full", 3.5), ("lora", 40.0))
    ]
    (sheet,) = savings_sheets(_with_ways(tmp_path, judged))
    assert "reward" not in [row[0].text for row in sheet.rows]
    assert any("different judges" in note for note in sheet.notes)


def test_a_control_that_older_jobs_share_is_compared_by_the_job_that_left_its_scores(tmp_path: Path) -> None:
    newer = job(["method.beta=1"], BETTER)
    old = [{name: value for name, value in row.items() if name != "each"} for row in newer["rows"]]
    older = {name: value for name, value in newer.items() if name not in ("questions", "asked")} | {"rows": old}
    older["words"] = ["method=dpo", "method.beta=2"]
    rows = report_rows([older, newer])
    (control,) = [row for row in rows if row.role == "sft"]
    assert control.n == 8 and "final/reward_gold_difference" in control.tests
    stream = io.StringIO()
    Console(width=200, file=stream).print(comparison_table(rows, "Both", 200, []))
    assert "1 more by the interval alone, not tested" in stream.getvalue()
    page = summarised(read_record([leave(tmp_path, [older, newer])]))
    assert "Told by their interval alone, as no scores of single prompts are left: 1." in page["facts"]
    (shown,) = [row for row in page["rows"] if row["role"] == "sft"]
    assert shown["asked"] == 8


def test_files_without_colour_call_a_comparison_by_its_name(tmp_path: Path) -> None:
    outcomes = [job([f"method.beta={at}"], BETTER) for at in range(8)]
    told = [row["gold gain is"] for row in csv.DictReader(io.StringIO(to_csv(report_rows(outcomes))))]
    assert told.count("no clear difference") == 9 and told.count("") == 1  # the base is compared with nothing
    (alone,) = [
        row for row in csv.DictReader(io.StringIO(to_csv(report_rows(outcomes[:1])))) if row["run"] == "dpo tiny"
    ]
    assert alone["gold gain is"] == "clear difference"
    (head, first, *_) = load(
        write_spreadsheet(build_lines(jobs_of(tmp_path, *outcomes[:1])), [], [], tmp_path / "a.xlsx")
    )
    assert dict(zip(head, first, strict=True))["gold gain is"] == "clear difference"


def test_three_seeds_that_say_the_same_on_other_questions_are_not_tested() -> None:
    assert compare_lines([[line([1.0] * 8, asked=str(seed)) for seed in range(3)]]) == [{}]


def test_which_is_best_is_told_beside_the_rival_that_is_hardest_to_tell_from_it(tmp_path: Path) -> None:
    """Of three lines the second one is ahead of the first on each of twelve prompts, of the third on half of them."""
    hard = [float(at) for at in range(12)]
    near = [value + (0.9 if at % 2 else 0.05) for at, value in enumerate(hard)]
    scores = {"1": hard, "2": [value + 0.5 for value in hard], "3": near}
    jobs = jobs_of(tmp_path, *(job([f"method.beta={beta}"], own) for beta, own in scores.items()))
    (sheet,) = best_sheets(build_lines(jobs))
    gold, gain = sheet.rows  # the judge is nobody, and no cost was measured
    assert [cell.text for cell in gold] == ["gold", "beta=2", "beta=3", "0.025", "1", "no clear difference"]
    assert gold[4].below == "paired permutation" and gain[0].text == "gold gain"
    two = jobs_of(tmp_path / "two", *(job([f"method.beta={beta}"], scores[beta]) for beta in "12"))
    told = [cell.text for cell in best_sheets(build_lines(two))[0].rows[0]]
    assert told == ["gold", "beta=2", "beta=1", "0.500", f"{2 * 2 / 2**12:.2g}", "clearly best"]


def test_a_win_rate_lead_is_told_in_shares(tmp_path: Path) -> None:
    outcomes = []
    for beta, won in (("1", 9), ("2", 3)):
        each = [1.0] * won + [-1.0] * (12 - won)
        rate = interval("final/win_rate", won / 12, 0.1, 0.9) | {"final/reward": fmean(each)}
        rows = [SFT | {"each": {"final/reward": [0.0] * 12}}]
        rows += [{"name": "p", "role": "policy", "fingerprint": beta, "metrics": rate, "each": {"final/reward": each}}]
        outcomes.append(finished([f"method.beta={beta}"], rate, rows=rows, asked="a", questions=12))
    (sheet,) = best_sheets(build_lines(jobs_of(tmp_path, *outcomes)))
    (won,) = [row for row in sheet.rows if row[0].text == "win rate"]
    assert (won[1].text, won[3].text) == ("beta=1", "0.500")  # 9/12 - 3/12
    low, high = (float(end) for end in won[3].below.split(" to "))
    assert 0 < low < 0.5 < high < 1


def test_what_the_table_does_not_show_is_none_of_its_tests() -> None:
    """The accuracy on pairs gives way to a win rate, in the table, its tests and its file."""
    right = [1.0] * 9 + [0.0]
    rate = interval("final/win_rate", 1.0, 0.6, 1.0) | interval("final/accuracy", 0.9, 0.6, 1.0)
    rows = [SFT | {"each": {"final/reward": ZEROS}}]
    own = {"name": "p", "role": "policy", "fingerprint": "p", "metrics": rate}
    rows += [own | {"each": {"final/reward": BETTER, "final/accuracy": right}}]
    (_, policy) = report_rows([finished([], rate, rows=rows, asked="a", questions=8)])
    assert set(policy.tests) == {"final/win_rate", "final/reward_difference"}
    head = next(csv.reader(io.StringIO(to_csv([policy]))))
    assert "win rate n" in head and not [title for title in head if title.startswith("accuracy")]


def test_controls_of_several_seeds_are_told_apart_by_their_seed() -> None:
    outcomes = []
    for seed in (1, 2):
        one = job([f"seed={seed}"], BETTER)
        one["rows"][1] = one["rows"][1] | {"fingerprint": f"5f{seed}"}
        outcomes.append(one | {"settings": {"seed": seed}})
    told = to_markdown(report_rows(outcomes))
    assert "sft tiny (control, seed 1)" in told and "sft tiny (control, seed 2)" in told
    assert "base tiny (control)" in told  # which is one and the same
