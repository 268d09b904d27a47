"""The preference suite on one speaker's answers and between any two, by a score of known values and a chat model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlhf.data.rows import Row
from rlhf.errors import UserError
from rlhf.evaluation.preference import metrics as names
from rlhf.evaluation.suites import preference
from rlhf.evaluation_spec import PreferenceSpec
from tests.bench import run_of, user
from tests.evaluation.preference.test_best_of_n import tools
from tests.evaluation.preference.test_judges import honest, spec_of
from tests.pairs.server import ChatServer

ROWS = [Row(user(f"Question {at}?"), str(at), completion=text) for at, text in enumerate(["aa", "bb", "cc", ""])]


SETTINGS = run_of().evaluation.preference.model_dump()


def longest(pairs: Any) -> list[float]:
    return [float(len(text)) for _, text in pairs]


def settings(**values: Any) -> PreferenceSpec:
    return PreferenceSpec(**(SETTINGS | values))


def test_a_speaker_is_scored_and_set_against_the_answers_of_the_data() -> None:
    """Lengths 3, 2, 0, 1 against 2, 2, 2 and a question without an answer: a win, a tie, a loss."""
    found = preference.build(settings(), tools(longest))(ROWS, ["xxx", "yy", "", "z"])
    assert found.scores[names.SCORE.name].each == (3.0, 2.0, 0.0, 1.0)
    rate = found.scores[names.WIN_RATE.name]
    assert (rate.value, rate.n, rate.each) == (0.5, 3, (1.0, 0.5, 0.0, None))
    assert found.scores[names.TIE_RATE.name].value == pytest.approx(1 / 3)
    assert found.scores[names.SIGN_TEST.name].value == 1.0
    assert found.notes == ("The win rate leaves out 1 of 4 questions, to which the data has no answer.",)
    assert not {names.FIRST_SHARE.name, names.UNCLEAR.name} & found.scores.keys()


def test_without_a_judge_or_answers_what_is_missing_is_said() -> None:
    assert preference.build(settings(), tools(None))(ROWS, ["x"] * 4).scores == {}
    alone = preference.build(settings(), tools(longest))(ROWS[3:], ["x"])
    assert alone.scores.keys() == {names.SCORE.name} and "no answers of the data" in alone.notes[0]


def test_the_judge_may_be_a_finished_reward_stage(tmp_path: Path) -> None:
    seen: list[Path] = []

    def load(folder: Path) -> Any:
        seen.append(folder)
        return lambda pairs: [-score for score in longest(pairs)]

    given = replace(tools(longest), judge_in=load)
    found = preference.build(settings(judge=str(tmp_path)), given)(ROWS, ["xxx", "yy", "", "z"])
    assert seen == [tmp_path] and found.scores[names.SCORE.name].value == -1.5
    with pytest.raises(UserError, match="evaluation.preference.judge"):
        preference.build(settings(judge=str(tmp_path)), tools(longest))


def test_a_chat_model_is_asked_about_the_first_questions_alone(tmp_path: Path) -> None:
    rows = [Row(user(f"Question {at}?"), str(at), completion="bad") for at in range(4)]
    with ChatServer(honest) as server:
        spec = settings(judge="endpoint", endpoint=spec_of(server, questions=2).model_dump())
        given = replace(tools(longest), store=tmp_path)
        found = preference.build(spec, given)(rows, ["good"] * 4)
        assert len(server.requests) == 4
        tables = preference.compare(spec, given, rows, {"x": ["good"] * 4, "y": ["bad"] * 4})
        assert len(server.requests) == 4  # the same answers were compared before
    assert found.scores[names.WIN_RATE.name].each == (1.0, 1.0, None, None)
    assert found.scores[names.CONSISTENCY.name].value == 1.0
    assert names.SCORE.name not in found.scores
    assert found.notes == ("The chat model was asked about the first 2 of 4 questions.",)
    assert tables["x"][preference.WINS].rows[0][:2] == ("y", 1.0)


def test_any_two_models_are_compared_once() -> None:
    """x is longer than y everywhere, z as long as x on half of the questions and shorter on the others."""
    texts = {"x": ["xx"] * 4, "y": [""] * 4, "z": ["zz", "zz", "z", "z"]}
    found = preference.compare(settings(), tools(longest), ROWS, texts)
    rates = {name: {row[0]: row[1] for row in tables[preference.WINS].rows} for name, tables in found.items()}
    assert rates == {"x": {"y": 1.0, "z": 0.75}, "y": {"x": 0.0, "z": 0.0}, "z": {"x": 0.25, "y": 1.0}}
    counted = dict(zip(found["z"][preference.WINS].columns, found["z"][preference.WINS].rows[0], strict=True))
    assert (counted["wins"], counted["ties"], counted["losses"]) == (0, 2, 2)
    assert preference.compare(settings(), tools(longest), ROWS, {"x": ["x"] * 4}) == {}
    assert preference.compare(settings(), tools(None), ROWS, texts) == {}


def test_an_instruction_that_hides_an_answer_is_refused() -> None:
    with pytest.raises(UserError, match=r"preference\.endpoint\.instruction: does not say where \{second\}"):
        run_of("evaluation.preference.endpoint.instruction='{conversation} {first}'")


def test_what_could_not_be_read_is_told(tmp_path: Path) -> None:
    def mute(messages: Any, request: Any) -> str:
        return "Who knows?" if "Question 1?" in messages[-1]["content"] else "Final verdict: tie"

    with ChatServer(mute) as server:
        given = replace(tools(None), store=tmp_path)
        spec = settings(judge="endpoint", endpoint=spec_of(server).model_dump())
        found = preference.build(spec, given)(ROWS[:3], ["x", "y", "z"])
        (file,) = (tmp_path / "judged").glob("*.jsonl")
        with file.open("ab") as stream:
            stream.write(b"no reply\n")
        again = preference.build(spec, given)(ROWS[:3], ["x", "y", "z"])
    rate = found.scores[names.WIN_RATE.name]
    assert (rate.value, rate.n, rate.each) == (0.5, 2, (0.5, None, 0.5))
    assert found.notes == ("The win rate leaves out 1 of 3 questions, on which a vote can't be read.",)
    assert again.notes[1].startswith("Damaged lines of ") and again.scores == found.scores
