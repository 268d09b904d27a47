from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.data.personas import persona_sentences
from rlhf.errors import UserError
from rlhf.pairs.degrade import NO_ANSWER, NO_WAY, NOT_SHUFFLED, degrade, truncated
from rlhf.pairs.persona import contradicted, in_place_of_a_sentence
from rlhf.pairs.tables import read_tables, table_of
from rlhf.pairs.texts import words
from tests.pairs.conftest import only, row, spec_of

TABLES = read_tables(None)
PERSONA = "I am a cook.\nI have two dogs.\nMy parents live in Rome."


@pytest.mark.parametrize(
    ("sentence", "opposite"),
    [
        ("I am a stock broker.", "I am not a stock broker."),
        ("i'm not tall", "I am tall."),
        ("I like watching horror movies.", "I cannot stand watching horror movies."),
        ("I hate rain!", "I really like rain."),
        ("I have two dogs.", "I do not have two dogs."),
        ("I have no kids.", "I have kids."),
        ("I have traveled and studied abroad.", "I have never traveled and studied abroad."),
        ("I was born in Puerto Rico.", "I was never born in Puerto Rico."),
        ("I don't drive.", "I do drive."),
        ("I lift weights every weekend.", "I never lift weights every weekend."),
        ("My favorite food is eggplant.", "My favorite food is not eggplant."),
        ("My dog is not big.", "My dog is big."),
        ("My parents live in Australia.", "It is not true: My parents live in Australia."),
        ("You are Mia, a warm agent of {{Company}}.", "I am not Mia, a warm agent of {{Company}}."),
    ],
)
def test_an_english_sentence_is_turned_round(sentence: str, opposite: str) -> None:
    assert contradicted(sentence, TABLES["en"].contradictions) == opposite


@pytest.mark.parametrize(
    ("sentence", "opposite"),
    [
        ("Eres Diego, agente cercano de {{Company}}.", "No soy Diego, agente cercano de {{Company}}."),
        ("Me gustan los perros.", "No me gustan los perros."),
        ("No tengo coche.", "Tengo coche."),
        ("Tengo dos gatos.", "No tengo dos gatos."),
        ("Mi color favorito es el rojo.", "Mi color favorito no es el rojo."),
        ("Ayer llovió.", "No es verdad: Ayer llovió."),
    ],
)
def test_a_spanish_sentence_is_turned_round(sentence: str, opposite: str) -> None:
    assert contradicted(sentence, TABLES["es"].contradictions) == opposite


def test_the_sentence_of_the_most_similar_length_makes_room() -> None:
    answer = "Hello there, nice to meet you! I cook a lot. And you?"
    assert (
        in_place_of_a_sentence(answer, "I am not a cook.") == "Hello there, nice to meet you! I am not a cook. And you?"
    )
    assert in_place_of_a_sentence("Yes", "I am not a cook.") == "I am not a cook."


def test_a_persona_comes_from_meta_or_else_from_the_system_message() -> None:
    assert persona_sentences(row("Hi", "Yo", persona="I am a cook.\nI ski.")) == ["I am a cook.", "I ski."]
    assert persona_sentences(row("Hi", "Yo", persona=["I am a cook.", "I ski."])) == ["I am a cook.", "I ski."]
    assert persona_sentences(row("Hi", "Yo", system="You are Mia. Be kind.", persona="Mia")) == [
        "You are Mia.",
        "Be kind.",
    ]
    assert persona_sentences(row("Hi", "Yo", persona="Mia")) == []


def test_a_truncated_answer_keeps_its_share_of_words() -> None:
    ten = "one two three four five six seven eight nine ten"
    assert truncated(ten, 0.3) == ("one two three", {"words_kept": 3, "words": 10})
    assert truncated(ten, 0.01) == ("one", {"words_kept": 1, "words": 10})
    assert truncated("one two", 0.99) == ("one", {"words_kept": 1, "words": 2})  # never the whole of it
    assert truncated("one", 0.5) is None


def test_a_contradiction_says_which_sentence_it_is_of() -> None:
    spec = spec_of("pairs=degrade", "pairs.shares={generic: 0, truncated: 0, contradiction: 1}")
    pair = only(degrade(row("What do you do?", "I cook.", system="I am a cook.", language="en"), spec, TABLES))
    assert (pair.chosen, pair.rejected, pair.source) == ("I cook.", "I am not a cook.", "contradiction")
    assert pair.parameters == {"trait": "I am a cook.", "statement": "I am not a cook."}


def test_a_generic_answer_is_a_phrase_of_the_rows_language() -> None:
    spec = spec_of("pairs=degrade", "pairs.shares={generic: 1, truncated: 0, contradiction: 0}")
    for language, table in (("en", "en"), ("es", "es"), ("es-MX", "es"), (None, "en")):
        meta = {} if language is None else {"language": language}
        pair = only(degrade(row("Hola", "Tengo una pregunta.", **meta), spec, TABLES))
        assert pair.rejected == TABLES[table].generic[pair.parameters["phrase"]]


def test_what_does_not_fit_is_made_another_way_and_counted() -> None:
    spec = spec_of("pairs=degrade", "pairs.shares={generic: 0, truncated: 1, contradiction: 1e-9}")
    made = degrade(row("Hi", "Hello", system="I am a cook."), spec, TABLES)  # one word cannot be cut
    assert made.pairs[0].source == "contradiction"
    assert made.noted == {"truncated did not fit, contradiction made": 1}


def test_what_fits_in_no_way_is_lost_by_name() -> None:
    spec = spec_of("pairs=degrade", "pairs.shares={generic: 0, truncated: 1, contradiction: 0}")
    assert degrade(row("Hi", "Hello"), spec, TABLES).lost == {NO_WAY: 1}
    assert degrade(row("Hi", " "), spec, TABLES).lost == {NO_ANSWER: 1}
    chinese = spec_of("pairs=degrade", "pairs.shares={generic: 1, truncated: 0, contradiction: 1}", "pairs.language=zh")
    assert degrade(row("你好", "你好"), chinese, TABLES).lost == {NO_WAY: 1}


def test_shares_are_those_of_the_rows_that_each_kind_is_drawn_for() -> None:
    spec = spec_of("pairs=degrade", "pairs.shares={generic: 1, truncated: 3, contradiction: 0}")
    made = [degrade(row(f"question {at}", "a long enough answer"), spec, TABLES) for at in range(1000)]
    found = Counter(only(one).source for one in made)
    assert abs(found["generic"] - 250) < 50  # 3.6 standard deviations of a binomial: 13.7


def test_shuffled_copies_hold_the_same_sentences_in_other_orders() -> None:
    spec = spec_of("pairs=degrade", "pairs.shuffles=5")
    system = f"Your persona:\n{PERSONA}\nStay in it."
    made = degrade(row("Hi", "Hello to you", system=system, persona=PERSONA, language="en"), spec, TABLES)
    first, *copies = made.pairs
    texts = [copy.prompt[0]["content"] for copy in copies]
    assert first.prompt[0]["content"] == system
    assert len(copies) == 5 and made.lost == {}  # three sentences have 3! = 6 orders, one of them the first
    orders = ["\n".join(order) for order in permutations(PERSONA.split("\n"))]
    assert sorted(texts) == sorted(f"Your persona:\n{order}\nStay in it." for order in orders if order != PERSONA)
    assert [copy.meta["persona"] in copy.prompt[0]["content"] for copy in copies] == [True] * 5
    assert {(copy.chosen, copy.rejected, copy.source) for copy in copies} == {
        (first.chosen, first.rejected, first.source)
    }
    assert [copy.parameters["shuffle"] for copy in copies] == [1, 2, 3, 4, 5]


def test_copies_without_another_order_are_counted() -> None:
    spec = spec_of("pairs=degrade", "pairs.shuffles=3")
    two = degrade(row("Hi", "Hello to you", system="I am a cook. I ski a lot."), spec, TABLES)
    assert len(two.pairs) == 2 and two.lost == {NOT_SHUFFLED: 2}
    none = degrade(row("Hi", "Hello to you"), spec, TABLES)
    assert len(none.pairs) == 1 and none.lost == {NOT_SHUFFLED: 3}


@settings(max_examples=60, deadline=None)
@given(st.text(), st.text(), st.text(), st.integers(0, 2**31 - 1))
def test_any_row_gives_the_same_pair_twice_and_never_two_equal_answers(
    question: str, answer: str, system: str, seed: int
) -> None:
    spec = spec_of("pairs=degrade").model_copy(update={"seed": seed, "shuffles": 1})
    one = row(question, answer, system=system)
    made = degrade(one, spec, TABLES)
    assert made == degrade(one, spec, TABLES)
    assert len(made.pairs) + sum(made.lost.values()) == 2  # nothing is lost without a name
    for pair in made.pairs:
        assert pair.rejected and " ".join(pair.rejected.split()).casefold() != " ".join(pair.chosen.split()).casefold()
        if pair.source == "truncated":
            assert len(words(pair.rejected)) < len(words(pair.chosen))


def test_a_language_is_found_by_its_first_part() -> None:
    assert table_of("en_GB", TABLES) is TABLES["en"]
    assert table_of("fr", TABLES) is None


def test_a_table_of_the_users_own_is_checked(tmp_path: Path) -> None:
    own = Path("rlhf/pairs/phrases/en.yaml")
    text = (Path(__file__).resolve().parents[2] / own).read_text(encoding="utf-8")
    for wrong, said in (
        (text.replace("generic:", "generik:"), "generic: Field required"),
        (text.replace("match: '(.+)'", "match: '(no such)'"), "the last rule does not fit every sentence"),
        (text.replace("say: 'I am not \\1'", "say: 'I am not \\4'"), "does not go with match"),
        (text.replace("match: 'I can (.+)'", "match: 'I can (.+'"), "is no regular expression"),
        (text.replace("deal with {about}", "deal with {abuot}"), "has a slot {abuot}; the only one is {about}"),
        ("generic: [", "cannot be read"),
        ("", "Input should be"),
    ):
        (tmp_path / "en.yaml").write_text(wrong, encoding="utf-8")
        with pytest.raises(UserError) as caught:
            read_tables(str(tmp_path))
        assert said in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="is no folder with a phrase table"):
        read_tables(str(tmp_path / "nowhere"))
