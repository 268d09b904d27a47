"""Formats of preferences and judgements, rows worked by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rlhf.data import dpo_mix, feedback, feedback_export, kto_mix, oasst, pairs, qa_feedback, taskmaster_reward
from rlhf.data.rows import Drop, Parts, Row
from rlhf.errors import UserError

ANY_SPEC: Any = None  # these formats take no settings


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def agent(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def system(content: str) -> dict[str, str]:
    return {"role": "system", "content": content}


# --- oasst

RANKED = {
    "instruction": "And in feet?",
    "input": "",
    "output": ["28,251.", "Many.", "Many. ", "No."],
    "history": [["How tall  is K2?", "8,611 m."]],
}
ASKED = (user("How tall  is K2?"), agent("8,611 m."), user("And in feet?"))


def ranked(better: str, worse: str, margin: int) -> Row:
    return Row(ASKED, "how tall is k2?", chosen=better, rejected=worse, meta={"margin": margin})


def test_all_pairs_of_a_ranking_and_those_of_equal_text_are_named(spec_of) -> None:
    made = oasst.rows(RANKED, spec_of("oasst", comparisons="all"))
    assert made == Parts(
        [
            ranked("28,251.", "Many.", 1),
            ranked("28,251.", "Many.", 2),
            ranked("28,251.", "No.", 3),
            ranked("Many.", "No.", 2),
            ranked("Many.", "No.", 1),
        ],
        {"answers are equal": 1},
    )


def test_neighbours_of_a_ranking_are_one_fewer_than_its_answers(spec_of) -> None:
    made = oasst.rows(RANKED, spec_of("oasst", comparisons="adjacent"))
    assert made == Parts([ranked("28,251.", "Many.", 1), ranked("Many.", "No.", 1)], {"answers are equal": 1})


def test_the_input_of_a_ranked_question_follows_its_instruction(spec_of) -> None:
    (row,) = oasst.rows(
        {"instruction": "Translate.", "input": "Hola", "output": ["Hello", "Bye"], "history": []}, spec_of("oasst")
    ).rows
    assert row.prompt == (user("Translate.\nHola"),)


def test_one_answer_makes_no_pair(spec_of) -> None:
    with pytest.raises(Drop, match="fewer than two answers"):
        oasst.rows({**RANKED, "output": ["only"]}, spec_of("oasst"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": "text"}, "'output': not JSON"),
        ({"output": [1, 2]}, "'output': not a list of text"),
        ({"output": {"a": 1}}, "'output': not a list of text"),
        ({"history": ["x"]}, "'history': not a list of lists"),
        ({"history": [["x"]]}, r"'history': not a list of \[question, answer\]"),
        ({"history": [["x", None]]}, r"'history': not a list of \[question, answer\]"),
    ],
)
def test_a_ranking_of_the_wrong_shape_names_its_column(change, message, spec_of) -> None:
    with pytest.raises(UserError, match=message):
        oasst.rows({**RANKED, **change}, spec_of("oasst"))


# --- dpo_mix

MIXED = {
    "conversations": [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Name a prime."},
        {"from": "gpt", "value": "Two."},
        {"from": "human", "value": "Another."},
    ],
    "chosen": {"from": "gpt", "value": " Seven. "},
    "rejected": {"from": "gpt", "value": "Nine."},
}


def test_a_mixed_conversation_is_grouped_by_its_first_question() -> None:
    assert dpo_mix.rows(MIXED, ANY_SPEC) == Row(
        (system("Be brief."), user("Name a prime."), agent("Two."), user("Another.")),
        "name a prime.",
        chosen="Seven.",
        rejected="Nine.",
    )


def test_what_no_assistant_says_is_no_answer() -> None:
    with pytest.raises(Drop, match="an answer is empty"):
        dpo_mix.rows({**MIXED, "rejected": {"from": "human", "value": "Nine."}}, ANY_SPEC)
    with pytest.raises(UserError, match="'rejected': unknown role 'bot'"):
        dpo_mix.rows({**MIXED, "rejected": {"from": "bot", "value": "Nine."}}, ANY_SPEC)


# --- kto_mix


def test_judgements_are_read_in_text_and_in_messages_alike() -> None:
    text = {"instruction": "Name a  prime.", "output": "Nine.", "tag": False}
    lists = {"prompt": [user("Name a  prime.")], "completion": [agent("Nine.")], "label": False}
    expected = Row((user("Name a  prime."),), "name a prime.", completion="Nine.", label=False)
    assert kto_mix.rows(text, ANY_SPEC) == kto_mix.rows(lists, ANY_SPEC) == expected
    assert kto_mix.rows({**text, "tag": True}, ANY_SPEC).label is True
    with pytest.raises(UserError, match="'tag': 'perhaps' is no label"):
        kto_mix.rows({**text, "tag": "perhaps"}, ANY_SPEC)


# --- qa_feedback

QUESTION = {
    "question": "What is brine? ",
    "passages": [
        ["Brine", "Brine\n\nBrine is salty water.", "It is used on roads."],
        ["Salt", "Salt\n\nSalt is NaCl."],
    ],
    "gold": "Salty water.",
    "prediction 1": "Water.",
    "prediction 2": "Salty water.",
    "prediction 3": "Salt.",
    "prediction 4": "Salt. ",
    "feedback": "{}",
    "preference": [2, 1, 0, 1, 1, 2],
}


def test_each_comparison_of_four_predictions_is_a_pair_but_ties_and_equal_texts() -> None:
    prompt = (
        user("Brine\nBrine is salty water. It is used on roads.\n\nSalt\nSalt is NaCl.\n\nQuestion: What is brine?"),
    )
    expected = [  # 1v2 -> 2; 1v3 -> 1; 1v4 tie; 2v3 -> 2; 2v4 -> 2; 3v4 -> the same text
        ("Salty water.", "Water."),
        ("Water.", "Salt."),
        ("Salty water.", "Salt."),
        ("Salty water.", "Salt."),
    ]
    made = qa_feedback.rows(QUESTION, ANY_SPEC)
    assert made.dropped == {"tie": 1, "answers are equal": 1}
    assert made.rows == [Row(prompt, "what is brine?", chosen=better, rejected=worse) for better, worse in expected]


def test_a_question_without_passages_stands_alone() -> None:
    made = qa_feedback.rows({**QUESTION, "passages": []}, ANY_SPEC)
    assert made.rows[0].prompt == (user("Question: What is brine?"),)
    with pytest.raises(Drop, match="the prompt is empty"):
        qa_feedback.rows({**QUESTION, "question": " "}, ANY_SPEC)


@pytest.mark.parametrize("votes", [[1, 2], [1, 2, 1, 2, 1, 3], [1, 2, 1, 2, 1, None], "[1"])
def test_votes_that_are_not_six_of_0_1_2_are_an_error(votes) -> None:
    with pytest.raises(UserError, match="column 'preference'"):
        qa_feedback.rows({**QUESTION, "preference": votes}, ANY_SPEC)


# --- taskmaster_reward

STEPS = [
    {"role": "agent", "text": "Welcome."},
    {"role": "user", "text": "A latte."},
    {"role": "agent", "api": {"get_menu_items": {"query": "café"}}},
    {"role": "api", "response": {"get_menu_items": {"items": []}}},
]


def step(context: list[Any], generation: dict[str, Any], reward: Any) -> dict[str, Any]:
    written = {"context": json.dumps(context), "generation": json.dumps(generation)}
    return {"conversation_id": "dlg-1", "reward": reward, **written}


def test_a_judged_step_has_the_greeting_as_system_and_api_results_from_the_user(spec_of) -> None:
    raw = step(STEPS, {"role": "agent", "text": "We have none. "}, 1.0)
    row = taskmaster_reward.rows(raw, spec_of("taskmaster_reward"))
    assert row.prompt == (
        system("Welcome."),
        user("A latte."),
        agent('API call: {"get_menu_items": {"query": "café"}}'),
        user('API result: {"get_menu_items": {"items": []}}'),
    )
    assert (row.completion, row.label, row.meta["api"]) == ("We have none.", True, False)
    assert taskmaster_reward.rows({**raw, "reward": 0.0}, spec_of("taskmaster_reward")).label is False


def test_a_step_that_calls_an_api_is_named_or_kept(spec_of) -> None:
    raw = step(STEPS[:2], {"role": "agent", "api": {"show_menu": {}}}, 0)
    with pytest.raises(Drop, match="the step calls an API"):
        taskmaster_reward.rows(raw, spec_of("taskmaster_reward", api_calls="drop"))
    row = taskmaster_reward.rows(raw, spec_of("taskmaster_reward", api_calls="keep"))
    assert (row.completion, row.label, row.meta["api"]) == ('API call: {"show_menu": {}}', False, True)


@pytest.mark.parametrize(
    ("raw", "error", "message"),
    [
        (step([], {"role": "agent", "text": "Hi"}, 1), Drop, "the prompt is empty"),
        (step(STEPS[:2], {"role": "agent", "text": ""}, 1), Drop, "the answer is empty"),
        (step(STEPS[:2], {"role": "agent", "text": "Hi"}, 0.5), UserError, "'reward': 0.5 is no label"),
        (step([{"role": "dog"}], {"role": "agent", "text": "Hi"}, 1), UserError, "'context': unknown role 'dog'"),
        ({**step([], {}, 1), "context": "["}, UserError, "'context': not JSON"),
        ({**step(STEPS, {}, 1), "generation": "[]"}, UserError, "'generation': not an object"),
    ],
)
def test_a_step_of_no_use_says_why(raw, error, message, spec_of) -> None:
    with pytest.raises(error, match=message):
        taskmaster_reward.rows(raw, spec_of("taskmaster_reward", api_calls="keep"))


# --- feedback_export

NESTED = {
    "prompt": "Hi",
    "responses": {"response1": "Hello!", "response2": "Yes?", "selected": "Response 2"},
    "ratings": {"overall_quality": 4, "response_speed": 5, "assessment": {"hallucination": False}},
    "metadata": {"model": "mt5"},
    "timestamp": "2025-03-01T00:00:00",
}


def exported(quality: int | None) -> Row:
    meta = {"selected": 2, "rating": quality, "time": "2025-03-01T00:00:00"}
    return Row((user("Hi"),), "hi", chosen="Yes?", rejected="Hello!", meta=meta)


def test_an_exported_vote_is_read_in_its_three_layouts() -> None:
    assert feedback_export.rows(NESTED, ANY_SPEC) == exported(4)
    older = {**NESTED, "ratings": {"response_speed": 5}, "overall_quality": 2}
    assert feedback_export.rows(older, ANY_SPEC) == exported(2)
    flat = {"prompt": "Hi", **NESTED["responses"], "overall_quality": 3, "timestamp": NESTED["timestamp"]}
    assert feedback_export.rows(flat, ANY_SPEC) == exported(3)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"selected": "Response None"}, Drop, "neither answer was selected"),
        ({"selected": "Response 3"}, UserError, "'selected': 'Response 3' is no choice"),
        ({"response2": "Hello! "}, Drop, "answers are equal"),
        ({"response1": None}, Drop, "an answer is empty"),
    ],
)
def test_an_exported_vote_of_no_use_says_why(change, error, message) -> None:
    with pytest.raises(error, match=message):
        feedback_export.rows({**NESTED, "responses": {**NESTED["responses"], **change}}, ANY_SPEC)


def test_responses_that_are_no_object_are_an_error() -> None:
    with pytest.raises(UserError, match="'responses': a list where an object"):
        feedback_export.rows({**NESTED, "responses": []}, ANY_SPEC)


# --- feedback

VOTE = {
    "id": "7f3c",
    "time": "2026-11-21T12:00:00+00:00",
    "prompt": [system("Be kind."), user("Hi")],
    "answers": [{"text": "Hello!", "sampling": {"temperature": 0.7}}, {"text": "Yes?"}],
    "shown_first": 1,
    "choice": 0,
    "ratings": {"quality": 4},
}


def test_a_vote_of_ours_knows_whether_the_chosen_answer_stood_first() -> None:
    meta = {"vote": "7f3c", "rating": {"quality": 4}, "chosen_shown_first": False, "time": "2026-11-21T12:00:00+00:00"}
    expected = Row((system("Be kind."), user("Hi")), "hi", chosen="Hello!", rejected="Yes?", meta=meta)
    assert feedback.rows(VOTE, ANY_SPEC) == expected
    second = feedback.rows({**VOTE, "choice": 1}, ANY_SPEC)
    assert (second.chosen, second.rejected, second.meta["chosen_shown_first"]) == ("Yes?", "Hello!", True)


def test_a_vote_from_a_database_has_its_nested_columns_as_json() -> None:
    flat = {key: json.dumps(content) if isinstance(content, list | dict) else content for key, content in VOTE.items()}
    assert feedback.rows({**flat, "choice": "0", "shown_first": 1}, ANY_SPEC) == feedback.rows(VOTE, ANY_SPEC)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"choice": "tie"}, Drop, "^tie$"),
        ({"choice": "none"}, Drop, "neither answer was selected"),
        ({"choice": 2}, UserError, "'choice': 2 is not 0, 1, tie or none"),
        ({"choice": True}, UserError, "'choice': True is not"),
        ({"shown_first": None}, UserError, "'shown_first': None is not 0 or 1"),
        ({"shown_first": "tie"}, UserError, "'shown_first': 'tie' is not 0 or 1"),
        ({"answers": [{"text": "one"}]}, UserError, "1 answers where two were expected"),
        ({"ratings": [1]}, UserError, "'ratings': a list where an object"),
        ({"prompt": []}, Drop, "the prompt is empty"),
    ],
)
def test_a_vote_of_no_use_says_why(change, error, message) -> None:
    with pytest.raises(error, match=message):
        feedback.rows({**VOTE, **change}, ANY_SPEC)


# --- pairs


def test_made_pairs_keep_their_meta_and_the_group_that_they_were_made_in() -> None:
    raw = {"prompt": [user("Hi")], "chosen": "Hello!", "rejected": "Go away.", "meta": {"source": "rude", "n": 1}}
    expected = Row((user("Hi"),), "hi", chosen="Hello!", rejected="Go away.", meta={"source": "rude", "n": 1})
    assert pairs.rows(raw, ANY_SPEC) == expected
    assert pairs.rows({**raw, "meta": {"group": "persona 7"}}, ANY_SPEC).group == "persona 7"
    assert pairs.rows({**raw, "meta": None}, ANY_SPEC).meta == {}
    with pytest.raises(UserError, match="'links': not a list of text"):
        pairs.rows({**raw, "meta": {"links": [1]}}, ANY_SPEC)
    with pytest.raises(UserError, match="'meta': a list where an object"):
        pairs.rows({**raw, "meta": []}, ANY_SPEC)
