"""The toy world: its tables are complete, its texts small, and every agent does what the name of its kind says."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from rlhf.data.rows import Row
from rlhf.data.toy_gold import gold, is_private, is_rude
from rlhf.data.toy_world import KINDS, LANGUAGES, draw_answer, draw_dialogue, fill, sentence_case, tables, toy_texts


def words(text: str) -> list[str]:
    return re.findall(r"\{\{[^}]*\}\}|\w+", text.lower())


def shape(node: Any) -> Any:
    return {key: shape(value) for key, value in node.items()} if isinstance(node, dict) else type(node)


def strings(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    return [text for part in (node.values() if isinstance(node, dict) else node) for text in strings(part)]


def test_both_languages_have_the_same_tables_and_nothing_but_text() -> None:
    english, spanish = tables("en"), tables("es")
    assert shape(english) == shape(spanish)
    assert len(english["intents"]) == 12
    for table in (english, spanish):
        assert all(isinstance(text, str) for text in strings(table))  # an unquoted `no` would be False


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_answer_has_both_key_phrases_of_its_own_intent_and_none_of_another(language: str) -> None:
    table = tables(language)
    slots = {name: values[0] for name, values in table["slots"].items()}
    flat = {
        name: [[" ".join(words(k)) for k in group] for group in spec["keys"]] for name, spec in table["intents"].items()
    }
    for intent, spec in table["intents"].items():
        for template, needed in [*((t, 2) for t in spec["answers"]), *((t, 1) for t in spec["partial"])]:
            said = f" {' '.join(words(fill(template, slots)))} "
            hits = {
                name: sum(any(f" {key} " in said for key in group) for group in keys) for name, keys in flat.items()
            }
            assert hits.pop(intent) == needed, template
            assert not any(hits.values()), template


def test_placeholders_survive_and_slots_are_filled() -> None:
    assert fill("{{Order Number}} of the {item}", {"item": "lamp"}) == "{{Order Number}} of the lamp"
    assert sentence_case("¿dónde está?") == "¿Dónde está?"
    assert not any(re.search(r"(?<!\{)\{\w+\}(?!\})", text) for text in toy_texts(0, 500))


def test_texts_are_short_and_the_vocabulary_small() -> None:
    vocabulary = set()
    for index in range(3000):
        rng = random.Random(f"short/{index}")
        dialogue = draw_dialogue(rng, LANGUAGES, 0.25)
        answer = draw_answer(rng, dialogue, KINDS[index % len(KINDS)])
        prompt = " ".join(turn["content"] for turn in dialogue.messages)
        assert len(prompt.split()) <= 45 and len(answer.split()) <= 40
        vocabulary.update(words(f"{prompt} {answer}"))
    assert 600 <= len(vocabulary) <= 1200


def test_a_dialogue_begins_with_the_persona_and_ends_with_the_customer() -> None:
    lengths = set()
    for index in range(300):
        dialogue = draw_dialogue(random.Random(f"dialogue/{index}"), LANGUAGES, 0.5)
        roles = [turn["role"] for turn in dialogue.messages]
        assert roles == (["system", "user", "assistant", "user"] if dialogue.multi_turn else ["system", "user"])
        assert dialogue.persona in dialogue.messages[0]["content"]
        lengths.add(len(roles))
    assert lengths == {2, 4}


EXPECTED = {  # gold by the formula in toy_gold.py; None: depends on where it is cut, what is repeated
    "good": 1.0, "curt": 0.2, "partial": 0.5, "bare": -0.3, "off_intent": 0.0, "vague": 0.0, "rude": 0.2,
    "asks_private": -0.5, "leaks": -0.5, "wrong_persona": 0.6, "wrong_language": -1.0, "cut": None, "repetitive": None,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_agent_of_each_kind_earns_what_its_failing_costs(kind: str) -> None:
    values = []
    for index in range(150):
        rng = random.Random(f"kind/{index}")
        dialogue = draw_dialogue(rng, LANGUAGES, 0.25)
        meta = {"intent": dialogue.intent, "language": dialogue.language, "persona": dialogue.persona}
        text = draw_answer(rng, dialogue, kind)
        values.append(gold(Row(dialogue.messages, "", meta=meta), text))
        assert is_private(text) == (kind in ("asks_private", "leaks"))
        assert is_rude(text) == (kind == "rude")
    if EXPECTED[kind] is None:
        assert min(values) >= -0.6 and max(values) < 0.9 and sum(values) / len(values) < 0.4
    else:
        assert values == pytest.approx([EXPECTED[kind]] * len(values))


def test_tokenizer_texts_depend_on_seed_and_position_alone() -> None:
    assert toy_texts(3, 20)[:10] == toy_texts(3, 10)
    assert toy_texts(3, 10) != toy_texts(4, 10)
    assert all(any(opening in text for text in toy_texts(0, 40)) for opening in ("You are", "Eres"))
