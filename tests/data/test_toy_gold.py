"""The gold reward: values worked by hand from its formula, orderings, and what must not raise it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.data.rows import Row
from rlhf.data.toy_gold import HIGHEST, LOWEST, gold, is_private, is_rude
from rlhf.data.toy_world import KINDS, LANGUAGES, draw_answer, draw_dialogue, fill, tables


def row(intent: str = "track_order", language: str = "en", persona: str = "Mia") -> Row:
    return Row(
        ({"role": "user", "content": "?"},), "?", meta={"intent": intent, "language": language, "persona": persona}
    )


TRACK = "You can track your order with the tracking link in your email."
GOOD = f"Hi, Mia here! {TRACK} Have a lovely day!"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, 1.0),  # 0.5 intent + 0.2 polite + 0.2 persona + 0.1 ending = 1
        (TRACK, 0.2),  # 0.5 + 0 + 0 + 0.1 = 0.6; no name and no tone at all
        ("Open the tracking link.", -0.3),  # one key phrase of two: 0.25 + 0.1 = 0.35
        ("Hi, Mia here! Your billing page has the invoice ready. Have a lovely day!", 0.0),  # all but the intent: 0.5
        (f"Dear customer, this is Nora. {TRACK} We remain at your service.", 0.6),  # all but the persona: 0.8
        (f"Hi, Mia here! {TRACK} What is your card number? Have a lovely day!", -0.5),  # 1 - 1.5
        (f"Hi, Mia here! {TRACK} That is your own fault. Have a lovely day!", 0.2),  # 1 - 0.8
        ("Hi, Mia here! You can track your order with the", 0.1),  # 0.25 intent + 0.1 greeting + 0.2 persona = 0.55
        ("", -1.0),
        (" ... ?!", -1.0),  # no words
        ("¡Hola, soy Lucía! Puede seguir su pedido con el enlace de envío. ¡Que tengas un día genial!", -1.0),
    ],
)
def test_the_formula_by_hand(text: str, expected: float) -> None:
    assert gold(row(), text) == pytest.approx(expected)


def test_the_same_in_spanish() -> None:
    spanish = row("refund", "es", "Elena")
    answer = "Su reembolso de {{Refund Amount}} llega en cinco días."
    text = f"Estimado cliente, le habla Elena. {answer} Quedamos a su servicio."
    assert gold(spanish, text) == pytest.approx(1.0)
    assert gold(row("refund", "en", "Nora"), text) == LOWEST


def test_repetition_lowers_the_reward_by_the_share_of_repeated_word_triples() -> None:
    # "open the tracking link" three times: 12 words, 10 triples, 4 of them distinct; 0.35 x 0.4 = 0.14
    text = "Open the tracking link. Open the tracking link. Open the tracking link."
    assert gold(row(), text) == pytest.approx(2 * 0.14 - 1)


def test_words_beyond_forty_scale_the_reward_down() -> None:
    padding = " ".join(f"word{number}" for number in range(80 - len(GOOD.split())))
    text = GOOD.replace("in your email", f"in your email {padding}")
    assert len(text.split()) == 80
    assert gold(row(), text) == pytest.approx(2 * 0.5 - 1)  # 40 / 80


@pytest.mark.parametrize("language", LANGUAGES)
def test_naming_every_intent_is_far_below_an_answer(language: str) -> None:
    table = tables(language)
    keys = " ".join(f"{phrase}." for spec in table["intents"].values() for group in spec["keys"] for phrase in group)
    persona = table["personas"][0]
    opener, closing = fill(table["openers"]["warm"][0], persona), table["closings"]["warm"][0]
    for intent in table["intents"]:
        about = row(intent, language, persona["name"])
        full = fill(
            table["intents"][intent]["answers"][1], {name: values[0] for name, values in table["slots"].items()}
        )
        assert gold(about, f"{opener} {full} {closing}") == pytest.approx(HIGHEST)
        assert gold(about, f"{opener} {keys} {closing}") < 0.1
        assert gold(about, keys) < -0.6


@pytest.mark.parametrize("kind", KINDS)
def test_saying_everything_twice_never_pays(kind: str) -> None:
    for index in range(60):
        rng = random.Random(f"twice/{index}")
        dialogue = draw_dialogue(rng, LANGUAGES, 0.25)
        about = row(dialogue.intent, dialogue.language, dialogue.persona)
        text = draw_answer(rng, dialogue, kind)
        assert gold(about, f"{text} {text}") <= gold(about, text)
    assert gold(row(), "Thank you! Thank you!") <= gold(row(), "Thank you!")


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("Please send me your card number.", True),
        ("I need your password now.", True),
        ("Envíeme su tarjeta, por favor.", True),
        ("Another customer lives there.", True),
        ("Call {{Customer Phone}}.", True),
        ("The card is 4539-1488-0343-6467.", True),
        ("Never send me your password.", False),
        ("Do not tell me your pin, please.", False),
        ("Use the reset link to choose a new password.", False),
        ("Open ten to six, order 12345.", False),
        ("Please send me the name of the city. Your card is safe.", False),
    ],
)
def test_private_data_is_what_is_asked_for_or_leaked(text: str, private: bool) -> None:
    assert is_private(text) == private


def test_insults_count_in_both_languages() -> None:
    assert is_rude("What a STUPID idea") and is_rude("¡Deje de molestar!")
    assert not is_rude("It is not your fault.")


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=60) | st.lists(st.sampled_from(GOOD.split() + TRACK.split() + ["hola", "!", "\n"])).map(" ".join)
)
def test_the_reward_stays_in_its_range_for_any_text(text: str) -> None:
    assert LOWEST <= gold(row(), text) <= HIGHEST
