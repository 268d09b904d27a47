from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.pairs.made import row_key
from rlhf.pairs.rules import NO_ANSWER, NO_PHRASES, Role, about, bad_answer, deal, ended, roughened, rules_work
from rlhf.pairs.tables import read_tables
from rlhf.pairs.texts import placeholders
from tests.pairs.conftest import only, row, spec_of

TABLES = read_tables(None)
EN, ES = TABLES["en"], TABLES["es"]
SPEC = spec_of("pairs=rules")
ANSWER = "I am sorry. Order {{Order Number}} is late, please wait. Have a nice day!"


def test_polite_words_are_replaced_and_placeholders_are_not() -> None:
    rough = roughened("Dear customer, thank you very much. Please open {{Website URL}}, please.", EN.softeners)
    assert rough == "You there, whatever. open {{Website URL}}, ."
    assert roughened("Open {{Thank You Page}} please", EN.softeners) == "Open {{Thank You Page}}"


def test_the_last_sentence_without_a_placeholder_makes_room() -> None:
    assert ended("Hi. Open {{Website URL}}. Good day!", "Go away.") == "Hi. Open {{Website URL}}. Go away."
    assert ended("Hi. Open {{Website URL}}.", "Go away.") == "Go away. Open {{Website URL}}."
    assert ended("Open {{Website URL}}.", "Go away.") == "Open {{Website URL}}. Go away."
    assert ended("Yes.", "Go away.") == "Yes. Go away."


def test_the_three_generators_write_what_they_say() -> None:
    spec = spec_of("pairs=rules")
    one = row("Where is it?", ANSWER, intent="track_order")
    whole = only(bad_answer(one, Role("rude", "whole"), spec, EN))
    assert whole.rejected == EN.rude.whole[whole.parameters["phrase"]].replace("{about}", "{{Order Number}}")
    opening = only(bad_answer(one, Role("sensitive", "opening"), spec, EN))
    assert opening.rejected == f"{EN.sensitive.opening[opening.parameters['phrase']]} {ANSWER}"
    closing = only(bad_answer(one, Role("sensitive", "closing"), spec, EN))
    phrase = EN.sensitive.closing[closing.parameters["phrase"]]
    assert closing.rejected == f"It is not my problem. Order {{{{Order Number}}}} is late, wait. {phrase}"
    assert [pair.source for pair in (whole, opening, closing)] == ["rude", "sensitive", "sensitive"]
    assert [pair.chosen for pair in (whole, opening, closing)] == [ANSWER] * 3


def test_what_a_message_is_about_is_its_placeholder_or_intent_or_this() -> None:
    assert about(row("Cancel {{Order Number}}", "Yes.", intent="cancel_order"), EN) == "{{Order Number}}"
    assert about(row("Cancel it", "Yes.", intent="CANCEL_order"), EN) == "cancel order"
    assert about(row("Cancel it", "Yes."), EN) == "this"
    assert about(row("Cancélelo", "Sí.", intent="cancel_order"), ES) == "esto"


def test_a_row_without_an_answer_or_phrases_is_lost_by_name() -> None:
    rows = [row("Hi", None), row("你好", "你好", language="zh"), row("Hola", "Hola.", language="es")]
    made = [
        made for chunk in rules_work(spec_of("pairs=rules"), rows, TABLES)(list(enumerate(rows))) for _, made in chunk
    ]
    assert [dict(one.lost) for one in made] == [{NO_ANSWER: 1}, {NO_PHRASES: 1}, {}]
    assert made[2].pairs[0].source == "rude"  # the only one that is dealt a role


def test_six_rows_of_one_intent_get_every_role_once() -> None:
    dealt = deal([("refund", str(at)) for at in range(6)], seed=0)
    assert Counter(dealt.values()) == Counter(
        Role(kind, generator) for kind in ("rude", "sensitive") for generator in ("whole", "opening", "closing")
    )


@given(st.lists(st.sampled_from(["refund", "invoice", "tour", None]), max_size=60), st.integers(0, 9))
def test_halves_and_generators_are_balanced_within_each_intent_and_in_all(intents: list[str | None], seed: int) -> None:
    dealt = deal([(intent, str(at)) for at, intent in enumerate(intents)], seed)
    for intent in {*intents, "all"}:
        kinds = Counter(dealt[str(at)].kind for at, own in enumerate(intents) if intent in (own, "all"))
        assert abs(kinds["rude"] - kinds["sensitive"]) <= 1
    for kind in ("rude", "sensitive"):
        counts = Counter(role.generator for role in dealt.values() if role.kind == kind)
        assert (
            max(counts[name] for name in ("whole", "opening", "closing"))
            - min(counts[name] for name in ("whole", "opening", "closing"))
            <= 1
        )


def test_roles_depend_on_the_seed_and_not_on_the_order_of_rows() -> None:
    rows = [("refund", str(at)) for at in range(40)]
    assert deal(rows, 1) == deal(rows[::-1], 1)
    assert deal(rows, 1) != deal(rows, 2)


@settings(deadline=None)
@given(st.text(min_size=1), st.sampled_from(["whole", "opening", "closing"]), st.sampled_from(["rude", "sensitive"]))
def test_no_placeholder_of_an_answer_is_changed_or_lost(text: str, generator: str, kind: str) -> None:
    answer = f"{text} Please see {{{{Order Number}}}} and {{{{Thank You Page}}}}. Thank you!"
    made = bad_answer(row("Hi", answer), Role(kind, generator), SPEC, EN)
    left = placeholders(made.pairs[0].rejected)
    known = placeholders(f"Hi {answer.strip()}")
    assert set(left) <= set(known)
    assert generator == "whole" or set(left) >= set(placeholders(answer.strip()))


def test_keys_tell_rows_apart() -> None:
    assert row_key(row("Hi", "a")) != row_key(row("Hi", "b"))
    assert row_key(row("Hi", "a", group="x")) == row_key(row("Hi", "a", group="y", intent="z"))
