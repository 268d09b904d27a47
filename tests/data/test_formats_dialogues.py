"""Formats of dialogues and demonstrations, rows worked by hand."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest

from rlhf.data import (
    bitext,
    blended_skill_talk,
    crosswoz,
    multiwoz,
    personachat,
    sgd_travel,
    synthetic_persona_chat,
    tourism_pairs,
)
from rlhf.data.placeholders import value
from rlhf.data.rows import Drop, Parts, Row
from rlhf.errors import UserError

ANY_SPEC: Any = None  # these formats take no settings


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def agent(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def system(content: str) -> dict[str, str]:
    return {"role": "system", "content": content}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# --- synthetic_persona_chat

COOK, TEA = "I have a dog.\nI am a cook.", "I like tea. \n\nI sing."


def chat(*lines: str) -> dict[str, str]:
    return {
        "user 1 personas": COOK,
        "user 2 personas": TEA,
        "Best Generated Conversation": "\n".join(lines),
    }


def test_user_2_answers_with_their_persona_as_the_system_message(spec_of) -> None:
    raw = chat("User 1: Hi!", "User 2: Hello, tea?", "User 1: Yes.", "User 2: Good.", "User 1: Bye.")
    made = synthetic_persona_chat.rows(raw, spec_of("synthetic_persona_chat", turns="each"))
    persona = "I like tea.\nI sing."
    meta = {
        "persona": persona,
        "language": "en",
        "links": [digest("i have a dog. i am a cook."), digest("i like tea. i sing.")],
    }
    first = (system(persona), user("Hi!"))
    group = "i like tea. i sing."
    assert made == Parts(
        [
            Row(first, group, completion="Hello, tea?", meta=meta),
            Row((*first, agent("Hello, tea?"), user("Yes.")), group, completion="Good.", meta=meta),
        ],
        {"an answer before anything was asked": 0},
    )
    last = synthetic_persona_chat.rows(raw, spec_of("synthetic_persona_chat", turns="last"))
    assert last.rows == made.rows[1:]


def said(raw: dict[str, str], spec: Any) -> list[tuple[str, str]]:
    """What was asked last, and the answer."""
    return [(row.prompt[-1]["content"], row.completion or "") for row in synthetic_persona_chat.rows(raw, spec).rows]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["User 1: Hi", "", "User 2: Ho", ""], [("Hi", "Ho")]),
        (["* User 1: Hi", "* * User 2: Ho"], [("Hi", "Ho")]),
        (["* * *", "User 1: Hi", "*User 2:Ho", "* * *"], [("Hi", "Ho")]),
        (["User 1: Hi", "[They sit down.]", "User 2: Ho", "(a day later)"], [("Hi", "Ho")]),
        (["User 1: Make it:", "1 egg", "2 cups", "User 2: Ho"], [("Make it:\n1 egg\n2 cups", "Ho")]),
        (["User 1: Hi", "User 1: There", "User 2: Ho", "User 2: Ha"], [("Hi\n\nThere", "Ho\n\nHa")]),
        (["User 1:", "User 1: Hi", "User 2: Ho"], [("Hi", "Ho")]),
        (["User 2: First!", "User 1: Hi", "User 2: Ho"], [("Hi", "Ho")]),
    ],
)
def test_lines_without_a_speaker_follow_the_stated_rule(lines, expected, spec_of) -> None:
    assert said(chat(*lines), spec_of("synthetic_persona_chat")) == expected


def test_what_user_2_says_first_is_counted_as_lost(spec_of) -> None:
    made = synthetic_persona_chat.rows(
        chat("User 2: First!", "User 1: Hi", "User 2: Ho"), spec_of("synthetic_persona_chat")
    )
    assert made.dropped == {"an answer before anything was asked": 1}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (chat("Hi", "Ho"), "text before the first turn"),
        (chat("User 1: Hi"), "nobody answers"),
        (chat(""), "nobody answers"),
        ({**chat("User 1: Hi", "User 2: Ho"), "user 2 personas": " \n"}, "the persona is empty"),
    ],
)
def test_a_dialogue_of_no_use_says_why(raw, reason, spec_of) -> None:
    with pytest.raises(Drop, match=f"^{reason}$"):
        synthetic_persona_chat.rows(raw, spec_of("synthetic_persona_chat"))


# --- blended_skill_talk

BLENDED = {
    "personas": ["i work as an electrician.", "i sleep 8 hours."],
    "additional_context": "Electrician",
    "previous_utterance": ["Is it dangerous?", "Not if you are trained."],
    "context": "wizard_of_wikipedia",
    "free_messages": ["Which level are you?", "Great!"],
    "guided_messages": ["Master.", "It is."],
    "suggestions": {"convai2": ["a", "b"], "empathetic_dialogues": ["a", "b"], "wizard_of_wikipedia": ["a", "b"]},
}


def test_the_guided_speaker_answers_after_the_exchange_that_both_were_shown(spec_of) -> None:
    made = blended_skill_talk.rows(BLENDED, spec_of("blended_skill_talk", turns="each"))
    shown = [user("Is it dangerous?"), agent("Not if you are trained.")]
    persona = "i work as an electrician.\ni sleep 8 hours."
    first = (system(f"{persona}\nTopic: Electrician"), *shown, user("Which level are you?"))
    assert [(row.prompt, row.completion) for row in made.rows] == [
        (first, "Master."),
        ((*first, agent("Master."), user("Great!")), "It is."),
    ]
    assert {row.group for row in made.rows} == {"i work as an electrician. i sleep 8 hours."}
    assert made.rows[0].meta == {"persona": persona, "category": "wizard_of_wikipedia", "language": "en"}
    assert sum(made.dropped.values()) == 0


def test_a_blended_talk_without_topic_or_shown_exchange_begins_with_the_free_speaker(spec_of) -> None:
    raw = {**BLENDED, "additional_context": "", "previous_utterance": []}
    first = blended_skill_talk.rows(raw, spec_of("blended_skill_talk")).rows[0]
    assert first.prompt == (system("i work as an electrician.\ni sleep 8 hours."), user("Which level are you?"))


def test_more_answers_than_messages_are_an_error(spec_of) -> None:
    with pytest.raises(UserError, match="'guided_messages': 2 answers to 1 messages"):
        blended_skill_talk.rows({**BLENDED, "free_messages": ["Hi"]}, spec_of("blended_skill_talk"))


# --- personachat

TURN = {
    "personality": ["I have a dog.", "I am a cook."],
    "candidates": ["I fly planes.", "Soup. "],
    "history": ["Hi, what are you doing?", "I am cooking.", "What?"],
    "conv_id": 0,
    "utterance_idx": 1,
}


def test_the_last_candidate_of_personachat_is_what_was_said() -> None:
    assert personachat.rows(TURN, ANY_SPEC) == Row(
        (
            system("I have a dog.\nI am a cook."),
            user("Hi, what are you doing?"),
            agent("I am cooking."),
            user("What?"),
        ),
        "i have a dog. i am a cook.",
        completion="Soup.",
        meta={"persona": "I have a dog.\nI am a cook.", "language": "en"},
    )


def test_the_side_of_personachat_that_opens_the_dialogue_is_left_out() -> None:
    with pytest.raises(Drop, match="the same dialogue from the side that opens it"):
        personachat.rows({**TURN, "history": ["__ SILENCE __", "Hi.", "Hello."]}, ANY_SPEC)
    with pytest.raises(Drop, match="begin and end with the user"):
        personachat.rows({**TURN, "history": ["Hi.", "Hello."]}, ANY_SPEC)


# --- multiwoz, sgd_travel, crosswoz

LOG = [{"text": text, "metadata": "{}"} for text in ("A hotel ?", "Where ?", "North .", "Booked .")]


def test_even_turns_of_multiwoz_are_the_tourists(spec_of) -> None:
    goal = {
        "hotel": {"info": {}},
        "taxi": {},
        "topic": {"taxi": False},
        "message": ["..."],
        "train": {"reqt": ["price"]},
    }
    raw = {"dialogue_id": "PMUL1", "goal": json.dumps(goal), "log": LOG}
    made = multiwoz.rows(raw, spec_of("multiwoz"))
    meta = {"category": "hotel+train", "language": "en"}
    assert list(made.rows) == [
        Row((user("A hotel ?"),), "a hotel ?", completion="Where ?", meta=meta),
        Row((user("A hotel ?"), agent("Where ?"), user("North .")), "a hotel ?", completion="Booked .", meta=meta),
    ]
    assert multiwoz.rows({**raw, "goal": goal}, spec_of("multiwoz", turns="last")).rows == [made.rows[1]]


def test_the_hubs_columns_of_multiwoz_are_read(spec_of) -> None:
    turns = {"turn_id": ["0", "1"], "speaker": [0, 1], "utterance": ["A hotel?", "Where?"], "dialogue_acts": {"x": []}}
    (row,) = multiwoz.rows({"dialogue_id": "1", "services": ["hotel"], "turns": turns}, spec_of("multiwoz")).rows
    assert (row.prompt, row.completion, row.meta["category"]) == ((user("A hotel?"),), "Where?", "hotel")


def turn(speaker: str, utterance: str, intent: str | None = None) -> dict[str, str]:
    frames = [] if intent is None else [{"state": {"active_intent": intent}}]
    return {"speaker": speaker, "utterance": utterance, "frames": json.dumps(frames)}


def test_a_schema_guided_answer_carries_the_wish_of_its_moment(spec_of) -> None:
    raw = {
        "dialogue_id": "1",
        "services": ["Buses_1", "Hotels_2"],
        "turns": [
            turn("USER", "A bus.", "FindBus"),
            turn("SYSTEM", "Where?"),
            turn("USER", "Thanks.", "NONE"),
            turn("SYSTEM", "Bye."),
        ],
    }
    made = sgd_travel.rows(raw, spec_of("sgd_travel"))
    assert [(row.completion, row.meta["intent"]) for row in made.rows] == [("Where?", "FindBus"), ("Bye.", "NONE")]
    assert made.rows[1].prompt == (user("A bus."), agent("Where?"), user("Thanks."))
    assert (made.rows[1].group, made.rows[1].meta["category"]) == ("a bus.", "Buses_1+Hotels_2")
    hub = {key: [one[key] for one in raw["turns"]] for key in ("speaker", "utterance", "frames")}
    assert sgd_travel.rows({**raw, "turns": hub}, spec_of("sgd_travel")) == made


def test_joined_turns_of_a_schema_guided_dialogue_have_no_intent(spec_of) -> None:
    turns = [turn("USER", "A bus.", "FindBus"), turn("USER", "Now.", "FindBus"), turn("SYSTEM", "Where?")]
    (row,) = sgd_travel.rows({"dialogue_id": "1", "services": [], "turns": turns}, spec_of("sgd_travel")).rows
    assert (row.prompt, "intent" in row.meta) == ((user("A bus.\n\nNow."),), False)


def test_a_chinese_dialogue_is_read_as_it_stands(spec_of) -> None:
    raw = {
        "dialogue_id": "1",
        "type": "单领域",
        "messages": [{"role": "usr", "content": "推荐一个景点。"}, {"role": "sys", "content": "故宫。"}],
    }
    made = crosswoz.rows(raw, spec_of("crosswoz"))
    meta = {"category": "单领域", "language": "zh"}
    assert list(made.rows) == [Row((user("推荐一个景点。"),), "推荐一个景点。", completion="故宫。", meta=meta)]


@pytest.mark.parametrize(
    ("read", "name", "raw", "message"),
    [
        (multiwoz.rows, "multiwoz", {"log": "no"}, "'log': not JSON"),
        (multiwoz.rows, "multiwoz", {"log": [{"metadata": "{}"}], "goal": None}, "'text': there is no such column"),
        (multiwoz.rows, "multiwoz", {"turns": ["x"]}, "'turns': not a list of turns"),
        (sgd_travel.rows, "sgd_travel", {"turns": [{"speaker": "DOG", "utterance": "x"}]}, "unknown speaker 'DOG'"),
        (sgd_travel.rows, "sgd_travel", {"turns": [{"speaker": True, "utterance": "x"}]}, "unknown speaker True"),
        (crosswoz.rows, "crosswoz", {"messages": [{"role": "user", "content": "x"}]}, "unknown role 'user'"),
    ],
)
def test_a_dialogue_of_the_wrong_shape_names_its_column(read, name, raw, message, spec_of) -> None:
    with pytest.raises(UserError, match=message):
        read(raw, spec_of(name))


# --- tourism_pairs


def test_a_spreadsheets_input_is_cut_at_its_speakers() -> None:
    raw = {
        "intent": "FindBus",
        "user_input": "User: A bus for two, please. Chatbot: To where do you go? User: To Rome: now.",
        "chatbot_response": "Chatbot: At 8.",
    }
    links = [digest("a bus for two, please. to where do you go?")]  # of eight words or more
    assert tourism_pairs.rows(raw, ANY_SPEC) == Row(
        (user("A bus for two, please."), agent("To where do you go?"), user("To Rome: now.")),
        "a bus for two, please.",
        completion="At 8.",
        meta={"intent": "FindBus", "language": "en", "links": links},
    )


@pytest.mark.parametrize(
    ("asked", "answered", "expected"),
    [
        ("A bus?", "At 8.", ("A bus?", "At 8.")),
        ("User:A bus?", "  Chatbot:At 8.", ("A bus?", "At 8.")),
        ("SuperUser: hello", "Chatbot: Hi, Chatbot: that is me", ("SuperUser: hello", "Hi, Chatbot: that is me")),
    ],
)
def test_tags_are_whole_words_and_may_be_missing(asked, answered, expected) -> None:
    row = tourism_pairs.rows({"user_input": asked, "chatbot_response": answered}, ANY_SPEC)
    assert (row.prompt[0]["content"], row.completion) == expected


def test_an_input_that_ends_with_the_chatbot_is_dropped() -> None:
    with pytest.raises(Drop, match="begin and end with the user"):
        tourism_pairs.rows({"user_input": "User: Hi Chatbot: Ho", "chatbot_response": "x"}, ANY_SPEC)


# --- bitext's placeholders

SUPPORT = {
    "flags": "B",
    "instruction": "cancel {{Order Number}}",
    "category": "ORDER",
    "intent": "cancel_order",
    "response": "Order {{Order Number}}: see {{Live Chat}} or call {{Customer Support Phone Number}}, {{Client Name}}.",
}


def test_placeholders_stay_unless_they_are_to_be_filled(spec_of) -> None:
    row = bitext.rows(SUPPORT, spec_of("bitext"))
    assert (row.prompt[0]["content"], row.completion) == (SUPPORT["instruction"], SUPPORT["response"])


def test_filled_placeholders_agree_within_a_row_and_company_ones_across_rows(spec_of) -> None:
    spec = spec_of("bitext", placeholders="fill", placeholder_seed=3)
    row = bitext.rows(SUPPORT, spec)
    number = row.prompt[0]["content"].removeprefix("cancel ")
    found = re.fullmatch(r"Order (\d{8}): see Live Chat or call (\(555\) 010-\d{4}), (\w+ \w+)\.", row.completion)
    assert found and found[1] == number
    assert row.group == "cancel {{order number}}"  # filling moves no row to another side
    assert bitext.rows(SUPPORT, spec) == row
    other = bitext.rows({**SUPPORT, "instruction": "stop {{Order Number}}"}, spec)
    assert found[2] in other.completion
    assert number not in other.completion
    again = bitext.rows(SUPPORT, spec_of("bitext", placeholders="fill", placeholder_seed=4))
    assert again.completion != row.completion


def test_names_of_buttons_and_numbers_stay_as_words() -> None:
    kept = ("Live Chat", "Cancel Order", "My Account", "Track Order", "370795561790", "Order History")
    assert [value(name, 0, "row") for name in kept] == list(kept)
    made = [
        value(name, 0, "row") for name in ("Website URL", "Customer Support Email", "Delivery City", "Refund Amount")
    ]
    assert re.fullmatch(r"www\.\w+\.example\.com \w+@example\.com \w+ \$\d+", " ".join(made))
