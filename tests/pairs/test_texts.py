from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf.data.personas import sentences
from rlhf.pairs.texts import alike, capitalised, first_words, placeholders, replaced_sentence, words


def test_a_placeholder_is_one_word() -> None:
    assert words("Order {{Order Number}}, please") == ["Order", "{{Order Number}},", "please"]
    assert first_words("Order {{Order Number}}, please", 2) == "Order {{Order Number}},"


def test_each_character_of_a_script_without_spaces_is_a_word() -> None:
    assert words("我喜欢 tea") == ["我", "喜", "欢", "tea"]
    assert first_words("我喜欢 tea", 2) == "我喜"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi. I am here! Are you?", ["Hi.", "I am here!", "Are you?"]),
        ("Do this:\n1. Open it.\n2. Close it.", ["Do this:", "1. Open it.", "2. Close it."]),
        ("It costs 3.50 in all.", ["It costs 3.50 in all."]),
        ("你好。再见！", ["你好。", "再见！"]),
        ("  ", []),
    ],
)
def test_sentences_end_at_stops_and_lines_and_not_behind_a_number(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_placeholders_come_once_in_their_order() -> None:
    assert placeholders("{{B}} {{A b}} {{B}} {c}") == ["{{B}}", "{{A b}}"]


def test_the_last_such_sentence_is_replaced() -> None:
    assert replaced_sentence("Yes.  No.\nYes.", "Yes.", "Go.") == "Yes.  No.\nGo."


def test_spaces_and_capitals_make_no_difference() -> None:
    assert alike("Good  day", " good day\n")
    assert not alike("Good day", "Good days")


def test_the_first_letter_becomes_a_capital() -> None:
    assert capitalised("¿qué?") == "¿Qué?"
    assert capitalised("123") == "123"


@given(st.text(), st.integers(0, 30))
def test_first_words_is_a_beginning_with_no_more_words(text: str, count: int) -> None:
    cut = first_words(text, count)
    assert text.startswith(cut)
    assert words(cut) == words(text)[:count]
