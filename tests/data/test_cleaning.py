"""Each cleaning step on texts worked by hand, and the chain."""

from __future__ import annotations

import json

import pytest

from rlhf.data.cleaning import STEPS, clean_text
from rlhf.data.cleaning.spelling import correction
from rlhf.data.cleaning.tally import MOST, Tally, examples, loaded
from rlhf.sources import closure, stage_files

WORKED = {
    "lowercase": [
        ("Hello WORLD, ÑANDÚ", "hello world, ñandú"),
        ("Cancel {{Order Number}} NOW", "cancel {{Order Number}} now"),
        ("你好 OK", "你好 ok"),
    ],
    "punctuation": [
        ("Hello, world! (Really?)", "Hello world Really"),
        ("Don't pay $3.50, or 50%!", "Don't pay $3.50 or 50%"),
        ("e-mail a@b.com at 10:30 on 2024-05-12...", "e-mail a@b.com at 10:30 on 2024-05-12"),
        ("it is -5 or #12, and 1,000", "it is -5 or #12 and 1,000"),
        ("¿Qué? ¡No! «sí»", "Qué No sí"),
        ("你好，世界。", "你好 世界"),
        ("{{Order Number}}, please; {{Name}}!", "{{Order Number}} please {{Name}}"),
        ("well—no", "well no"),
        ("press 1️⃣ or #️⃣", "press 1️⃣ or #️⃣"),
        ("one.\ntwo.\n", "one\ntwo"),
    ],
    "urls": [
        ("See https://x.com/a(b)?q=1. Thanks", "See. Thanks"),
        ("go to www.shop.com now", "go to now"),
        ("(http://a.b/c) and <http://d.e>!", "and!"),
        ("[our site](https://x.com/a_(b)) helps", "our site helps"),
        ("请访问https://example.com查看", "请访问 查看"),
        ("https://x.com/{{Order Number}}/b", "{{Order Number}}/b"),
        ("write to a@www-mail.com", "write to a@www-mail.com"),
        ("no address: http, https:// and example.com", "no address: http, https:// and example.com"),
    ],
    "html": [
        ("<p>Hi <b>there</b></p>", "Hi there"),
        ("one<br/>two<BR>three", "one\ntwo\nthree"),
        ("Tom &amp; Jerry &lt;3 &#39;x&#39; &eacute;", "Tom & Jerry <3 'x' é"),
        ("<!-- no --><script>alert(1)</script>yes<style>p {}</style>", "yes"),
        ("if x<y and y>z then List<String>", "if x<y and y>z then List<String>"),
        ("I <3 you, a < b", "I <3 you, a < b"),
        ('<a href="{{Website URL}}">here</a>', "{{Website URL}} here"),
        ("<script>never closed", "never closed"),
        ("<!-- never closed", "<!-- never closed"),
        ("{{a &amp; b}}", "{{a &amp; b}}"),
        ("&amp;lt; is one level", "&lt; is one level"),
    ],
    "emoticons": [
        ("Thanks :)", "Thanks slightly smiling face"),
        ("thanks:) bye", "thanks slightly smiling face bye"),
        ("so sad :-(.", "so sad slightly frowning face."),
        ("(great :D)", "(great grinning face with big eyes)"),
        ("at 10:30, see (note: a), http://x and C:/D", "at 10:30, see (note: a), http://x and C:/D"),
    ],
    "emojis": [
        ("Great 😀", "Great grinning face"),
        ("Great😀👍🏽!", "Great grinning face thumbs up medium skin tone!"),
        ("{{Name}}😀ok", "{{Name}} grinning face ok"),
        ("Acme™ © 2024", "Acme™ © 2024"),
        ("🇪🇸", "Spain"),
    ],
    "emojis_es": [("¡Hola 😀!", "¡Hola cara sonriendo!")],
    "emojis_zh": [("好的😀", "好的 嘿嘿")],
    "emoticons_es": [("Gracias :)", "Gracias cara sonriendo ligeramente")],
    "mojibake": [
        ("cafÃ© con leche", "café con leche"),
        ("donâ€™t", "don’t"),
        ("“quotes” ＡＢ， ﬁ &amp;", "“quotes” ＡＢ， ﬁ &amp;"),
        ("{{cafÃ©}} schÃ¶n", "{{cafÃ©}} schön"),
        ("cafe\u0301", "café"),
        ("我想取消订单。", "我想取消订单。"),
    ],
    "whitespace": [
        ("a\u00a0 b\t c ", "a b c"),
        ("one \n two\n\n\n\nthree", "one\n two\n\nthree"),
        ("def f():\n    return  1", "def f():\n    return 1"),
        ("zero\u200bwidth \ufeffhere", "zerowidth here"),
        ("{{A  B}}  c", "{{A  B}} c"),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
    "spelling": [
        ("i wnat to cancle my order", "i want to cancel my order"),
        ("please chagne teh shiping adress", "please change the shipping address"),
        ("i dont have acess to my acount", "i don't have access to my account"),
        ("Zappso and Bitext are names, wifi and app are words", "Zappso and Bitext are names, wifi and app are words"),
        ("i recieve {{Ordr Nmuber}} at wnat@mail.com", "i receive {{Ordr Nmuber}} at wnat@mail.com"),
    ],
    "spelling_es": [("quiero cancelar mi pdeido de ayer", "quiero cancelar mi pedido de ayer")],
}
CASES = [(step, before, after) for step, cases in WORKED.items() for before, after in cases]


@pytest.mark.parametrize(("step", "before", "after"), CASES)
def test_a_step_on_a_text_worked_by_hand(step: str, before: str, after: str) -> None:
    assert clean_text(before, [step]) == after


def test_every_kind_of_step_is_tried() -> None:
    assert {step.partition("_")[0] for step in STEPS} <= set(WORKED)


FOREIGN = [
    "quiero hacer un pedido para mi cuenta y no puedo pagar con la tarjeta",
    "hola, ¿dónde está mi paquete? todavía no ha llegado",
    "es para tres amigos",
    "ich möchte meine bestellung stornieren, weil sie noch nicht da ist",
    "je voudrais annuler ma commande de la semaine dernière",
    "我想取消我的订单，谢谢",
    "vorrei annullare il mio ordine di ieri",
]


@pytest.mark.parametrize("text", FOREIGN)
@pytest.mark.parametrize("step", [step for step in STEPS if step.startswith("spelling")])
def test_spelling_of_another_language_changes_nothing(step: str, text: str) -> None:
    assert clean_text(text, [step]) == text


def test_spelling_of_two_languages_mends_each_text_in_its_own() -> None:
    steps = ["spelling", "spelling_es"]
    assert clean_text("i wnat to cancel my order", steps) == "i want to cancel my order"
    assert clean_text("quiero cancelar mi pdeido de ayer", steps) == "quiero cancelar mi pedido de ayer"


def test_each_word_is_looked_up_once() -> None:
    correction.cache_clear()
    for _ in range(50):
        clean_text("i wnat to cancle my order", ["spelling"])
    assert correction.cache_info().misses == 6


def test_a_chain_goes_in_order_and_no_steps_change_nothing() -> None:
    text = "  <b>GREAT</b> 😀 :) visit https://x.com, {{Order Number}}!  "
    assert clean_text(text, []) == text
    steps = ["html", "urls", "emojis", "emoticons", "lowercase", "punctuation"]
    assert clean_text(text, steps) == "great grinning face slightly smiling face visit {{Order Number}}"


def test_a_tally_counts_texts_and_changes_by_step() -> None:
    tally = Tally()
    steps = ["lowercase", "punctuation"]
    assert [tally.clean(text, steps) for text in ("Hi!", "hi", "Ho", "ho.")] == ["hi", "hi", "ho", "ho"]
    assert tally.table(steps) == [["lowercase", 2, 4], ["punctuation", 2, 4]]
    assert sorted(tally.examples(9)) == [("Hi!", "hi"), ("Ho", "ho"), ("ho.", "ho")]
    lines = tally.lines(steps, 2)
    assert lines[0] == "cleaning of 4 texts, changed by lowercase 2, punctuation 2"
    assert len(lines) == 5


def test_tallies_of_parts_add_up_to_the_whole_in_any_order() -> None:
    texts = [f"Text {number}" for number in range(3 * 10 * MOST)]
    whole, one, two = Tally(), Tally(), Tally()
    for text in texts:
        whole.clean(text, ["lowercase"])
    for text in reversed(texts):
        (one if text.endswith("7") else two).clean(text, ["lowercase"])
    two.add(one)
    assert two.texts == len(texts)
    assert two.changed == whole.changed
    assert two.examples(5) == whole.examples(5)
    again = loaded(json.loads(json.dumps(two.dump())))
    assert (again.texts, again.changed, again.examples(5)) == (two.texts, two.changed, two.examples(5))


def test_examples_are_texts_that_changed_chosen_whatever_their_order() -> None:
    texts = [(f"A{number}", f"a{number}" if number % 2 else f"A{number}") for number in range(100)]
    chosen = examples(texts, 4)
    assert len(chosen) == 4
    assert all(before != after for before, after in chosen)
    assert examples(reversed(texts), 4) == chosen
    assert [
        number for number in range(4) if (f"A{2 * number + 1}", f"a{2 * number + 1}") not in chosen
    ]  # not the first
    assert len(examples(texts, 500)) == 50


def test_kept_rows_follow_the_code_and_word_lists_of_cleaning_and_stages_follow_the_rows_alone() -> None:
    cleaners = {"tables.yaml", "spelling.py", "language.py"}
    assert cleaners <= {file.name for file in closure(("rlhf.data.stream",))}
    for stage in ("sft", "reward", "dpo", "ppo"):
        assert not cleaners & {file.name for file in stage_files(stage)}
