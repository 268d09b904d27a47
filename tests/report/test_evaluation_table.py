"""An evaluation on the terminal, in Markdown and in CSV: the same numbers, marks and sentences."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from evaluation_by_hand import QUESTIONS, evaluation, score, speaker, yes
from rich.console import Console
from rich.style import Style

from rlhf.report.evaluation_cells import suite_tables, written
from rlhf.report.evaluation_notes import facts
from rlhf.report.evaluation_table import evaluation_table, to_csv, to_markdown


def printed(data: dict[str, Any], width: int) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(evaluation_table(data, width))
    return console.export_text()


def spans(data: dict[str, Any], word: str) -> set[tuple[bool, bool]]:
    """Whether a cell of this text is bold, and whether it is grey."""
    console = Console(width=140, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    found = set()
    for segments in console.render_lines(evaluation_table(data, 140)):
        styles = [segment.style or Style() for segment in segments if segment.text.strip() == word]
        found |= {(bool(style.bold), "bright_black" in str(style.color)) for style in styles}
    return found


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_tables_fit_the_screen_and_cut_no_number(width: int) -> None:
    """12 metrics of six letters and more need several tables side by side at 80 columns, and none is left out."""
    data = evaluation()
    many = {f"made/metric_{place}": data["metrics"]["final/accuracy"] for place in range(12)}
    data["metrics"] |= many
    data["suites"]["many"] = {"metrics": list(many), "tables": {}, "notes": []}
    text = printed(data, width)
    assert max(map(len, text.splitlines())) <= width
    own = text[text.index("\nmany") :]
    assert own.count("0.850–1.050") == 12
    assert "…" not in text
    assert ("(2 of" in own) == (width < 140 or "(1 of" in own)


def test_lines_stand_in_the_order_of_reading() -> None:
    text = printed(evaluation(), 100)
    places = [
        text.index(f"\n {name}")
        for name in ("reference answers (control)", "base model", "sft", "dpo beta=0.1", "ppo", "controls: nonsense")
    ]
    assert places == sorted(places)
    after = text[text.index("controls: nonsense") :]
    assert all(name in after for name in ("echo of the question", "one polite answer", "random tokens"))
    numbers = [line.split() for line in after.splitlines() if line.startswith(" n ")]
    assert numbers == [["n", "40", "40"], ["n", "900", "3"]]


def test_what_is_clear_is_bold_and_what_is_not_is_grey_and_marked() -> None:
    """dpo answers 20 questions more than base, ppo and sft 2 more."""
    data = evaluation()
    text = printed(data, 100)
    assert "~0.300" in text and "~0.750" not in text and "~0.250" not in text
    assert spans(data, "0.750") == {(True, False)}
    assert spans(data, "0.400") == {(False, False)}  # as clear, but nonsense scores better still
    assert spans(data, "~0.300") == {(False, True)}
    assert "no clear difference from base model" in " ".join(text.split())
    assert "6 comparisons with base model, corrected together." in text
    assert " ".join(text.split()).count("Holm's correction over the table") == 1


def test_flags_are_footnotes() -> None:
    text = printed(evaluation(), 140)
    assert "repetition ↓¹" in text and "accuracy ↑ " in text
    assert "\n¹ response/repetition: random tokens score 0.0198, references 0.0997: it can't tell answers" in text


def test_what_was_not_tested_or_failed_is_said() -> None:
    text = " ".join(printed(evaluation(), 140).split())
    assert "Not tested, no values to compare in pairs: final/distinct_2." in text
    assert "no encoder is given: embeddings are left out" in text
    assert "a note of all" in text and "safety failed: out of memory" in text


def drawn(value: float, questions: int) -> dict[str, Any]:
    """A metric of a set of `questions` answers; 400 resamples of it wobble by a hundredth."""
    draws = [value + 0.01 * (place % 2) for place in range(400)]
    return {"value": value, "n": 900, "low": None, "high": None, "draws": draws, "questions": questions}


def test_what_has_too_few_questions_is_neither_tested_nor_held_against_nonsense() -> None:
    data = evaluation()
    data["metrics"]["final/distinct_2"] = {
        name: drawn(0.1 * place, 7) for place, name in enumerate(("reference", "base", "dpo", "random"))
    }
    whole = suite_tables(data)[1]
    assert facts(whole)[:2] == [
        "Not tested, too few questions (fewer than 8): final/distinct_2.",
        "Not held against nonsense, fewer than 8 questions: final/distinct_2.",
    ]
    assert (whole.compared, whole.held, whole.flags) == (0, False, ())
    assert not any(cell is not None and (cell.best or cell.unclear) for _, cells in whole.lines for cell in cells)


def test_resamples_that_are_too_few_for_so_many_comparisons_are_said_to_be() -> None:
    """400 resamples can't tell a p value below 1/401: of 21 metrics of two speakers none can be below 0.05."""
    data = evaluation() | {"suites": {}}
    names = [f"made/metric_{place}" for place in range(21)]
    data["metrics"] = {name: {"base": drawn(0.1, 40), "dpo": drawn(0.9, 40)} for name in names}
    data["suites"] = {"many": {"metrics": names, "tables": {}, "notes": []}}
    told = "evaluation.bootstrap is too small for so many: it takes 420 resamples "
    (many,) = suite_tables(data)
    assert any(fact.startswith(told) for fact in facts(many))
    assert {one.difference.clear for _, cells in many.lines for one in cells if one and one.difference} == {False}
    data["suites"]["many"]["metrics"] = names[:20]
    (fewer,) = suite_tables(data)
    assert not any("evaluation.bootstrap" in fact for fact in facts(fewer))
    assert {one.difference.clear for _, cells in fewer.lines for one in cells if one and one.difference} == {True}


def test_a_suites_own_tables_are_those_of_the_policy() -> None:
    text = printed(evaluation(), 80)
    own = text[text.index("confusion of dpo beta=0.1") :].splitlines()
    assert own[2].split() == ["asked", "for", "pay", "cancel"]
    assert [line.split() for line in own[4:6]] == [["pay", "5", "1"], ["cancel", "1", "5"]]


def test_a_histogram_is_one_line() -> None:
    """Bars of 0, 4 and 8: nothing, half and the whole height."""
    data = evaluation()
    rows = [[0.0, 0.5, 0], [0.5, 1.0, 4], [1.0, 1.5, 8]]
    columns = ["from seconds", "to seconds", "answers"]
    data["suites"]["answers"]["tables"] = {"latency": {"ppo": {"columns": columns, "rows": rows}}}
    assert " 0.000  ▅█ 1.500 seconds, n 12\n" in printed(data, 80)


def test_long_texts_are_left_to_the_page() -> None:
    data = evaluation()
    rows = [["a question", "an answer " * 20]]
    data["suites"]["answers"]["tables"] = {"pairs": {"ppo": {"columns": ["question", "answer"], "rows": rows}}}
    text = printed(data, 80)
    assert "pairs: texts too long for a table here; the page shows them" in text and "an answer" not in text


def test_flags_that_say_the_same_are_told_together() -> None:
    data = evaluation()
    again = {f"final/{name}": data["metrics"]["final/distinct_2"] for name in ("eos_share", "win_rate")}
    data["metrics"] |= again
    data["suites"]["whole"]["metrics"] += list(again)
    told = " ".join(printed(data, 140).split())
    shared = "random tokens do as well as references or better: it can't tell answers from nonsense"
    assert f"final/distinct_2¹, final/eos_share², final/win_rate³: {shared}" in told


def test_a_long_label_is_cut_where_the_rest_still_tells_speakers_apart() -> None:
    data = evaluation()
    data["speakers"][3]["label"] = "dpo " + "x" * 60
    assert "| dpo " + "x" * 35 + "… |" in to_markdown(data, suite_tables(data))
    data["speakers"][4]["label"] = "dpo " + "x" * 61
    assert "| dpo " + "x" * 60 + " |" in to_markdown(data, suite_tables(data))


def test_a_wide_matrix_has_numbers_for_its_names() -> None:
    data = evaluation()
    names = [f"a_very_long_intent_number_{place}" for place in range(9)]
    rows = [[name, *(int(name == other) for other in names)] for name in names]
    data["suites"]["answers"]["tables"] = {"confusion": {"ppo": {"columns": ["asked for", *names], "rows": rows}}}
    text = printed(data, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "9 a_very_long_intent_number_8" in text
    assert "asked for 1 2 3 4 5 6 7 8 9" in " ".join(text.split())


def test_seeds_are_one_line_with_their_number() -> None:
    data = evaluation()
    kept = [one for one in data["speakers"] if one["name"] not in ("dpo", "ppo")]
    seeds = [speaker("dpo", "dpo", group="g", seed=1), speaker("ppo", "dpo", group="g", seed=2)]
    data["speakers"] = [*kept, *seeds]
    text = printed(data, 100)
    assert "dpo (2 seeds)" in text
    assert "0.300..0.750" in text  # the accuracies of both
    assert "Seeds: their mean" in text


def test_markdown_holds_the_same() -> None:
    text = to_markdown(evaluation(), suite_tables(evaluation()))
    assert "| dpo beta=0.1 | **0.750 [0.650–0.850]** | 0.400 [0.380–0.420] |" in text
    assert "| ppo | *~0.300 [0.200–0.400]* | *~0.500 [0.480–0.520]* |" in text
    assert "|  | final/accuracy ↑ (share) | response/repetition ↓¹ (share) |" in text
    assert "| n | 40 | 40 |" in text and "| n | 900 | 3 |" in text
    assert "- ¹ response/repetition: random tokens" in text
    assert "- safety failed: out of memory" in text


def test_csv_has_full_precision_and_every_comparison() -> None:
    """dpo wins 20 of 40 questions against base and loses none: p = 2^-19, of 6 comparisons the smallest."""
    records = list(csv.DictReader(io.StringIO(to_csv(suite_tables(evaluation())))))
    assert len(records) == 9 + 9 + 9 + 1
    found = {(one["metric"], one["label"]): one for one in records}
    dpo = found["final/accuracy", "dpo beta=0.1"]
    assert (dpo["value"], dpo["n"], dpo["baseline"], dpo["difference"]) == ("0.75", "40", "base", "0.5")
    assert float(dpo["p"]) == pytest.approx(2**-19)
    assert float(dpo["p_holm"]) == pytest.approx(6 * 2**-19)
    assert (dpo["test"], dpo["verdict"], dpo["n_compared"]) == ("sign test", "clear difference", "40")
    assert found["final/accuracy", "ppo"]["verdict"] == "no clear difference"
    assert found["final/distinct_2", "ppo"]["verdict"] == "not tested"
    assert found["final/accuracy", "random tokens"]["p"] == ""
    repeated = "nonsense_that_is_not_clearly_worse"
    assert found["response/repetition", "ppo"][repeated] == "random echo polite shuffled"
    assert found["final/accuracy", "ppo"][repeated] == ""
    assert found["made/unknown", "dpo beta=0.1"]["value"] == "12345.678"


def test_the_baseline_may_be_chosen() -> None:
    data = evaluation() | {"baseline": "dpo"}
    found = {(one["metric"], one["label"]): one for one in csv.DictReader(io.StringIO(to_csv(suite_tables(data))))}
    base = found["final/accuracy", "base model"]
    assert (base["baseline"], base["difference"], base["verdict"]) == ("dpo", "-0.5", "clear difference")


def test_a_speaker_without_a_number_has_a_dash() -> None:
    data = evaluation()
    data["metrics"]["final/accuracy"].pop("sft")
    data["metrics"]["final/accuracy"]["ppo"] = score([None, *yes(12)[1:]])
    assert "| sft | - | *~0.500" in to_markdown(data, suite_tables(data))
    assert f"| n | {QUESTIONS - 1} to {QUESTIONS} | 40 |" in to_markdown(data, suite_tables(data))


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((0.00312,), ["0.00312"]),  # seconds per token
        ((0.00312, 0.0029, 0.00335), ["0.00312", "0.00290", "0.00335"]),
        ((-0.0421,), ["-0.0421"]),
        ((0.75, 0.65, 0.85), ["0.750", "0.650", "0.850"]),  # as everywhere
        ((0.0, 0.0, 0.3244), ["0.000", "0.000", "0.324"]),
        ((5.2, 5.1996, 5.2004), ["5.20000", "5.19960", "5.20040"]),  # a width of 0.0008
        ((25.34, 25.1, 25.6), ["25.34", "25.10", "25.60"]),
        ((25.34, 20.0, 30.0), ["25.3", "20.0", "30.0"]),
        ((2.5e-9, 2e-9, 3e-9), ["2.5e-09", "2e-09", "3e-09"]),
        ((12345.678, 12000.0, 13000.0), ["1.23e+04", "1.2e+04", "1.3e+04"]),
        ((float("inf"), 1.0, float("inf")), ["infinite", "1.000", "infinite"]),
        ((0.0,), ["0.000"]),
    ],
)
def test_small_numbers_and_narrow_intervals_have_the_digits_they_need(
    numbers: tuple[float, ...], told: list[str]
) -> None:
    assert written(*numbers) == told


def test_seconds_of_a_token_are_told_apart_in_every_form() -> None:
    data = evaluation() | {"failures": {}}
    data["metrics"] = {
        "latency/seconds_per_token": {
            "base": {"value": 0.00312, "n": 90, "low": 0.0029, "high": 0.00335},
            "dpo": {"value": 0.00287, "n": 90, "low": 0.0027, "high": 0.0031},
        }
    }
    data["suites"] = {"latency": {"metrics": ["latency/seconds_per_token"], "tables": {}, "notes": []}}
    for text in (printed(data, 100), to_markdown(data, suite_tables(data))):
        assert "0.00312" in text and "0.00290–0.00335" in text and "0.00287" in text
