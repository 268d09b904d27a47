"""Which language a text is in: clear sentences, short and empty ones, and what is no language."""

from __future__ import annotations

from collections import Counter

import pytest

from rlhf.data.detect.language import language, language_mix

CLEAR = [
    ("en", "Where is my order? I have been waiting for two weeks."),
    ("en", "How do I get a refund for my purchase?"),
    ("es", "¿Dónde está mi pedido? Llevo dos semanas esperando."),
    ("es", "Quiero cancelar la reserva del hotel, por favor."),
    ("zh", "我想取消我的订单，请帮帮我。"),
    ("zh", "北京有什么好玩的景点？"),
    ("de", "Wo ist meine Bestellung? Ich warte seit zwei Wochen."),
    ("de", "Ich möchte mein Geld zurück."),
    ("fr", "Où est ma commande ? J'attends depuis deux semaines."),
    ("fr", "Je voudrais annuler ma réservation."),
]


@pytest.mark.parametrize(("code", "text"), CLEAR)
def test_clear_sentences(code: str, text: str) -> None:
    found, probability = language(text)
    assert found == code
    assert 0.7 < probability <= 1.0


NO_WORDS = ["12345 67890 12345", "{{Order Number}} {{Name}}", "https://example.com/where/is/it", "😀😀😀"]


@pytest.mark.parametrize("text", ["", "ok", "Thanks!", "你好", *NO_WORDS])
def test_too_short_to_tell(text: str) -> None:
    assert language(text) == ("unknown", 0.0)


def test_placeholders_and_addresses_do_not_speak() -> None:
    text = "Quiero cancelar el pedido {{Order Number}} https://www.the-english-shop.com/where/is/the/order"
    assert language(text)[0] == "es"
    assert language(text)[1] > 0.95


def test_the_mix_counts_texts() -> None:
    assert language_mix([text for _, text in CLEAR]) == Counter(en=2, es=2, zh=2, de=2, fr=2)
    assert language_mix(["ok", CLEAR[0][1]]) == Counter(unknown=1, en=1)
    assert language_mix([]) == Counter()
