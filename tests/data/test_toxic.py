"""The detector of rude words: whole words through simple disguises, and nothing that only contains one."""

from __future__ import annotations

import re

import pytest

from rlhf.data.detect.toxic import _words, find, known_languages, share

RUDE = [
    ("en", "You are an idiot."),
    ("en", "IDIOTS, all of you"),
    ("en", "what a 1d10t"),
    ("en", "how $tupid is this"),
    ("en", "that's stuuuupid"),
    ("en", "go f**k yourself"),
    ("en", "this is sh*t"),
    ("en", "you s t u p i d bot"),
    ("en", "m.o.r.o.n"),
    ("en", "oh shut up"),
    ("en", "the asshole's answer"),
    ("es", "eres un imbécil"),
    ("es", "Vete a la mierda"),
    ("es", "¡GILIPOLLAS!"),
    ("de", "So ein Trottel!"),
    ("de", "verdammter Laden"),
    ("de", "Halt die Klappe"),
    ("de", "Scheiße, das geht nicht"),
]
POLITE = """
Thank you so much, have a great day!
The class assessed the grass in Scunthorpe and Essex.
I pass the glass to my assistant and analyse the password.
The mist over Sussex, a cocktail, a shiitake dish, Mishit Patel
Please cancel order 1d10 and 455 of 2024
It costs $5 *only* today, **bold** and f*x
a b c d e f g
Jerky and a jerkin, the closer and the dumbbell
El puerto y la computadora de la diputada
Die Spinnerei und der Deppenapostroph im Museum
Kann ich die Bestellung stornieren?
¿Puedo cambiar la reserva del hotel?
我想取消我的订单
""".strip().splitlines()


@pytest.mark.parametrize(("language", "text"), RUDE)
def test_rude_words_are_found_in_their_language(language: str, text: str) -> None:
    assert [one.kind for one in find(text, [language])][:1] == [language]
    assert find(text)


@pytest.mark.parametrize("text", POLITE)
def test_words_that_only_contain_one_are_not(text: str) -> None:
    assert find(text) == []


def test_a_word_of_two_languages_is_found_once_and_at_its_place() -> None:
    text = "Du bist ein Idiot"
    (found,) = find(text)
    assert text[found.start : found.end] == "Idiot"


def test_share_counts_texts_not_words() -> None:
    counted = share(["damn damn", "fine", "you moron", ""])
    assert (counted.texts, counted.hits, counted.share) == (4, 2, 0.5)
    assert share([]).share == 0.0
    assert share(["eres un imbécil"], ["en"]).hits == 0


def test_the_lists_are_small_letters_and_hold_whole_words() -> None:
    assert set(known_languages()) == {"en", "es", "de"}
    for language in known_languages():
        assert len(_words((language,))) > 25
        assert all(re.fullmatch(r"[^\W\d_]{4,}", word) and word == word.lower() for word in _words((language,)))
