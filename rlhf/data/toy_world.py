"""The toy world: customers of a shop and a travel desk, agents of mixed quality, two languages, all from one seed.

The words live in `toy_en.yaml` and `toy_es.yaml`; `toy_gold.py` judges answers; `support_toy.py` makes rows of them.
Every random choice comes from a `random.Random` seeded with text, so that two processes always agree.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from rlhf.data.rows import Message

LANGUAGES = ("en", "es")
# What an agent may do; `good` is right in every respect, every other kind fails in the one that its name says.
KINDS = (
    "good",  # opens, answers in full, closes, on persona
    "curt",  # the full answer and nothing else
    "partial",  # polite, but half of the answer
    "bare",  # half of the answer and nothing else
    "off_intent",  # polite, but answers another question
    "vague",  # polite, but answers nothing
    "rude",  # the full answer with an insult
    "asks_private",  # the full answer, but asks for a card, a password, ...
    "leaks",  # the full answer, but tells about another customer
    "wrong_persona",  # another agent's name and tone
    "wrong_language",  # the right answer in the other language
    "cut",  # ends in the middle of a sentence
    "repetitive",  # says half of the answer three times
)


@dataclass(frozen=True)
class Dialogue:
    """A conversation that waits for the agent's answer."""

    messages: tuple[Message, ...]  # system, then user and assistant in turn, a user message last
    intent: str
    language: str
    persona: str
    tone: str
    multi_turn: bool
    slots: Mapping[str, str]  # what the customer spoke of: item, city, day, ...


@cache
def tables(language: str) -> Mapping[str, Any]:
    """Phrases of one language, as written in its YAML file."""
    import yaml

    text = files("rlhf.data").joinpath(f"toy_{language}.yaml").read_text(encoding="utf-8")
    loaded: Mapping[str, Any] = yaml.safe_load(text)
    return loaded


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values into `{slot}`; placeholders such as `{{Order Number}}` stay as they are."""
    return re.sub(r"(?<!\{)\{(\w+)\}(?!\})", lambda slot: values[slot[1]], template)


def sentence_case(text: str) -> str:
    """First letter upper case, Spanish opening marks skipped."""
    return re.sub(r"^([¿¡]?)(\w)", lambda m: m[1] + m[2].upper(), text)


def draw_dialogue(rng: random.Random, languages: Sequence[str], multi_turn_share: float) -> Dialogue:
    """Draw a customer with a wish; multi-turn ones add a detail, or turn to a second wish, which then is the intent."""
    language = rng.choice(list(languages))
    words = tables(language)
    slots = {name: rng.choice(values) for name, values in words["slots"].items()}
    persona = rng.choice(words["personas"])
    intents = list(words["intents"])
    intent = rng.choice(intents)
    turns = [("system", fill(words["system"][persona["tone"]], persona))]
    multi_turn = rng.random() < multi_turn_share
    if multi_turn and rng.random() < 0.5:
        turns += [("user", _ask(rng, words, intent, slots)), ("assistant", rng.choice(words["clarify"]))]
        turns += [("user", fill(rng.choice(words["details"]), slots))]
    elif multi_turn:
        first = rng.choice([name for name in intents if name != intent])
        reply = fill(rng.choice(words["intents"][first]["partial"]), slots)
        wishes = [fill(rng.choice(words["intents"][wish]["asks"]), slots) for wish in (first, intent)]
        turns += [("user", sentence_case(wishes[0])), ("assistant", reply)]
        turns += [("user", f"{rng.choice(words['switches'])} {wishes[1]}")]
    else:
        turns += [("user", _ask(rng, words, intent, slots))]
    messages = tuple({"role": role, "content": content} for role, content in turns)
    return Dialogue(messages, intent, language, persona["name"], persona["tone"], multi_turn, slots)


def _ask(rng: random.Random, words: Mapping[str, Any], intent: str, slots: Mapping[str, str]) -> str:
    parts = [rng.choice(words["user_openings"]), fill(rng.choice(words["intents"][intent]["asks"]), slots)]
    return sentence_case(" ".join(part for part in [*parts, rng.choice(words["user_tails"])] if part))


def draw_answer(rng: random.Random, dialogue: Dialogue, kind: str) -> str:
    """Say what an agent of the named kind (one of `KINDS`) says; its gold reward is `toy_gold.gold`'s to tell."""
    if kind == "wrong_language":
        dialogue = _translated(rng, dialogue)
    words = tables(dialogue.language)
    name, tone = dialogue.persona, dialogue.tone
    if kind == "wrong_persona":
        name, tone = rng.choice([(p["name"], p["tone"]) for p in words["personas"] if p["tone"] != tone])
    intent = dialogue.intent
    if kind == "off_intent":
        intent = rng.choice([other for other in words["intents"] if other != intent])
    answer = fill(rng.choice(words["intents"][intent]["answers"]), dialogue.slots)
    if kind in ("partial", "bare", "repetitive"):
        answer = fill(rng.choice(words["intents"][intent]["partial"]), dialogue.slots)
    if kind == "vague":
        answer = rng.choice(words["vague"])
    body = [answer]
    if kind in ("rude", "asks_private", "leaks"):
        body.insert(rng.randrange(2), rng.choice(words[kind]))
    elif kind == "repetitive":
        body *= 3
    elif rng.random() < _EXTRA_SHARE[kind]:
        body.append(rng.choice(words["extras"]))
    if kind in ("curt", "bare"):
        return " ".join(body)
    opener = fill(rng.choice(words["openers"][tone]), {"name": name})
    text = " ".join([opener, *body, rng.choice(words["closings"][tone])])
    if kind == "cut":
        said = text.split()
        text = " ".join(said[: rng.randrange(len(said) // 3, len(said) - 2)]).rstrip(".,!?")
    return text


# Short faulty answers get a needless extra sentence most often, so that length does not give quality away.
_EXTRA_SHARE = dict.fromkeys(KINDS, 0.25) | {"good": 0.3, "curt": 0.6, "bare": 0.6}


def _translated(rng: random.Random, dialogue: Dialogue) -> Dialogue:
    other = next(language for language in LANGUAGES if language != dialogue.language)
    words = tables(other)
    slots = {name: rng.choice(values) for name, values in words["slots"].items()}
    persona = next(p["name"] for p in words["personas"] if p["tone"] == dialogue.tone)
    return Dialogue(dialogue.messages, dialogue.intent, other, persona, dialogue.tone, dialogue.multi_turn, slots)


def toy_texts(seed: int, rows: int) -> list[str]:
    """Return `rows` texts of the toy world for training a tokenizer: prompts and all kinds of answers, both languages.

    Text `i` depends on `seed` and `i` alone.
    """
    texts = []
    for index in range(rows):
        rng = random.Random(f"toy/text/{seed}/{index}")
        dialogue = draw_dialogue(rng, LANGUAGES, multi_turn_share=0.25)
        answer = draw_answer(rng, dialogue, KINDS[index % len(KINDS)])
        texts.append("\n".join([*(message["content"] for message in dialogue.messages), answer]))
    return texts
