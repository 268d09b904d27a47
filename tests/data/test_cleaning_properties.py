"""What holds for every text and every chain of cleaning steps."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.data.cleaning import STEPS, clean_text

FAST = settings(max_examples=100, deadline=None)
NAMES = "Order Number|Website URL|a &amp; b|Ordr Nmuber|:) 😀|HTTP://x.com|  |cafÃ©|1.2,3"
PLACEHOLDERS = st.sampled_from(NAMES.split("|")).map(lambda name: "{{" + name + "}}")
# text in which every step finds something: tags, addresses, faces, marks, slips, scripts, mojibake, odd spaces
SCRAPS = (
    "<b>|</b>|<a href=' '>|<script>|<!--|-->|&amp;|&lt;|<|>|https://x.com/|www.a.de|[x](https://y.z)|(|)|:)|:-(|XD|<3|😀|👍🏽|©"
    "|,|.|!|'|-|%|#|wnat|teh|don't|adress|quiero|pedido|订单|你好，|Ñandú|Ã©|â€™|12|3.50| |\n|\t|\u00a0|\u200b"
)
ANYTHING = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]), max_size=5)
PIECES = st.one_of(st.sampled_from(SCRAPS.split("|")), ANYTHING)
CHAINS = st.lists(st.sampled_from(sorted(STEPS)), max_size=6)
WITHOUT_PLACEHOLDERS = st.lists(PIECES, max_size=25).map("".join)
TEXTS = st.lists(st.one_of(PIECES, PLACEHOLDERS), max_size=25).map("".join)


@FAST
@given(TEXTS, CHAINS)
def test_placeholders_survive_byte_for_byte_in_any_chain(text: str, steps: list[str]) -> None:
    wanted = re.findall(r"\{\{[^{}]*\}\}", text)
    assert re.findall(r"\{\{[^{}]*\}\}", clean_text(text, steps)) == wanted


@FAST
@given(st.lists(PLACEHOLDERS, min_size=1, max_size=6), st.sampled_from(sorted(STEPS)))
def test_text_of_placeholders_alone_is_left_alone(placeholders: list[str], step: str) -> None:
    text = " ".join(placeholders)
    assert clean_text(text, [step]) == text


@FAST
@given(TEXTS, CHAINS)
def test_what_comes_out_can_be_written_as_utf_8(text: str, steps: list[str]) -> None:
    assert clean_text(text, steps).encode("utf-8").decode("utf-8") is not None


# `html` undoes one level of escaping each time, as it should: &amp;lt; is the text &lt;
IDEMPOTENT = sorted(set(STEPS) - {"html"})


@FAST
@given(TEXTS, st.sampled_from(IDEMPOTENT))
def test_a_second_time_changes_nothing(text: str, step: str) -> None:
    once = clean_text(text, [step])
    assert clean_text(once, [step]) == once


@FAST
@given(st.text(st.characters(exclude_characters="&<{}", exclude_categories=["Cs"]), max_size=60))
def test_html_changes_no_text_that_is_none(text: str) -> None:
    assert clean_text(text, ["html"]) == text.strip()


CHINESE = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1, max_size=40)
WORDS = st.sampled_from(["quiero", "pedido", "dónde", "está", "mañana", "también", "año", "gracias", "qué", "niño"])
SPANISH = st.lists(WORDS, min_size=3, max_size=12)


@FAST
@given(CHINESE, CHAINS)
def test_chinese_is_not_touched(text: str, steps: list[str]) -> None:
    assert clean_text(text, steps) == text


@FAST
@given(SPANISH, CHAINS)
def test_spanish_words_are_not_touched(words: list[str], steps: list[str]) -> None:
    assert clean_text(" ".join(words), steps) == " ".join(words)


@FAST
@given(TEXTS, CHAINS)
def test_a_chain_is_its_steps_one_after_the_other(text: str, steps: list[str]) -> None:
    one_by_one = text
    for step in steps:
        one_by_one = clean_text(one_by_one, [step])
    assert clean_text(text, steps) == one_by_one


def test_the_strategies_reach_every_step() -> None:
    """Each step changes some of the scraps, so that the properties above are about something."""
    scraps = "<b>x</b> &amp; https://x.com/ :) 😀 , Wnat to wnat teh don't Ã© \u00a0 x"
    for step in ("html", "urls", "emoticons", "emojis", "punctuation", "lowercase", "mojibake", "whitespace"):
        assert clean_text(scraps, [step]) != scraps.strip()
    assert all(one != two for one, two in pairwise(sorted(STEPS)))
