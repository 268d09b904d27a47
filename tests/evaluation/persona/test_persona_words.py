"""Study S1's formulas and words said back, worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf.evaluation.persona.words import Engagement, copied, engagement, keyword_consistency, keywords, same_text
from tests.evaluation.persona.persona_world import evaluation

PERSONA = [
    "I am a stock broker.",
    "My dogs name is charlie.",
]  # keywords: stock broker dogs charlie ("name" is a stop word)
SPEC = evaluation().persona.engagement


def test_keywords_are_long_enough_words_that_are_no_stop_words() -> None:
    assert keywords("I am the OX, and my dog's Charlie barks", 3) == {"dog's", "charlie", "barks"}
    assert keywords("an ox", 2) == {"ox"}


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("I am a stock broker. My dogs name is charlie.", 1.0),
        ("Charlie is well!", 1 / 4),
        ("I am no STOCK broker, and I have no dogs.", 3 / 4),  # a denial has the same words
        ("What do you do?", 0.0),
        ("", 0.0),
    ],
)
def test_keyword_consistency_by_hand(answer: str, share: float) -> None:
    assert keywords(" ".join(PERSONA), 3) - {"name"} == {"stock", "broker", "dogs", "charlie"}
    assert keyword_consistency(PERSONA, answer, 3) == pytest.approx(share)


def test_a_persona_of_stop_words_alone_has_no_score() -> None:
    assert keyword_consistency(["I am."], "I am.", 3) is None
    assert keyword_consistency([], "Hello", 3) is None


def test_engagement_by_hand() -> None:
    """5 words, 4 of them different; a question; the markers sorry and happy: 0.3 + 0.3 + 0.2 x 5/20 + 0.2 x 4/5."""
    found = engagement("Sorry, are you you happy?", SPEC)
    assert (found.questions, found.empathy, found.length, found.variety) == (1.0, 1.0, 0.25, 0.8)
    assert found.score == pytest.approx(0.3 + 0.3 + 0.05 + 0.16)


def test_one_marker_earns_half_and_a_marker_may_be_several_words() -> None:
    assert engagement("I understand", SPEC).empathy == 0.5
    spoken = SPEC.model_copy(update={"empathy_markers": ["I see"]})
    assert engagement("Well, I see. I see!", spoken).empathy == 1.0
    assert engagement("I am, see", spoken).empathy == 0.0


def test_an_answer_without_words_engages_nobody() -> None:
    assert engagement(" ?! ", SPEC) == engagement("", SPEC) == Engagement(0.0, 0.0, 0.0, 0.0, 0.0)


def test_weights_must_add_up_to_one() -> None:
    with pytest.raises(Exception, match="add up to 1"):
        evaluation("evaluation.persona.engagement.weights.length=0.5")


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("I am a stock broker.", 1.0),
        ("Hello! I am a stock broker, too, yes", 5 / 8),  # of hello i am a stock broker too yes
        ("I am a stock trader", 4 / 5),
        ("I am a broker", 0.0),
        ("stock broker my dogs", 0.0),  # across two sentences
        ("", 0.0),
    ],
)
def test_copied_words_lie_within_four_in_a_row_of_a_sentence(answer: str, share: float) -> None:
    assert copied(PERSONA, answer) == pytest.approx(share)


def test_small_letters_and_marks_make_no_difference_between_answers() -> None:
    assert same_text("Me  too!") == same_text("me, too") != same_text("me two")


@given(st.text(), st.lists(st.text(), max_size=3))
def test_every_score_stays_between_0_and_1(answer: str, persona: list[str]) -> None:
    share = keyword_consistency(persona, answer, 3)
    found = engagement(answer, SPEC)
    for value in (share or 0.0, copied(persona, answer), *vars(found).values()):
        assert 0 <= value <= 1 + 1e-9


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_the_persona_said_back_scores_the_most_there_is(persona: list[str]) -> None:
    assert keyword_consistency(persona, "\n".join(persona), 3) in (1.0, None)
