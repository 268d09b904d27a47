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
    assert "p >= 0.05 by paired tests (9, Holm-corrected)" in stream.getvalue()
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
    assert cell.low < 0 < cell.high and cell.kind == "seeds"
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
