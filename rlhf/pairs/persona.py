"""What is made of the persona that a prompt gives: a contradiction of it, its sentences in another order."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from rlhf.data.personas import persona_sentences, sentences
from rlhf.data.rows import Message, Row
from rlhf.pairs.tables import Contradiction
from rlhf.pairs.texts import capitalised

LAST_MARK = re.compile(r"[\s.!?…。！？]+$")
TRIES = 20


def contradicted(sentence: str, rules: Sequence[Contradiction]) -> str:
    """Return a sentence that says the opposite, by the first rule that fits all of it; the last rule fits any."""
    body = LAST_MARK.sub("", sentence.strip())
    for rule in rules:
        if found := rule.pattern.fullmatch(body):
            return capitalised(found.expand(rule.say)) + "."
    raise AssertionError("a phrase table ends with a rule that fits any sentence")  # as `read_table` checks


def in_place_of_a_sentence(answer: str, statement: str) -> str:
    """Return `answer` with its sentence that is most like `statement` in length replaced by it; of one, all of it."""
    own = sentences(answer)
    old = min(own, key=lambda sentence: abs(len(sentence) - len(statement)))
    at = answer.index(old)
    return answer[:at] + statement + answer[at + len(old) :]


def shuffled(row: Row, rng: random.Random) -> tuple[tuple[Message, ...], list[str]] | None:
    """Return the prompt with the persona's sentences in another order, and that order; None where there is no other.

    The sentences swap places inside the system message; what stands between them stays.
    """
    traits = persona_sentences(row)
    at = next((at for at, message in enumerate(row.prompt) if message["role"] == "system"), None)
    if at is None or len(set(traits)) < 2:
        return None
    text = row.prompt[at]["content"]
    spans: list[tuple[int, int]] = []
    for trait in traits:
        start = text.find(trait, spans[-1][1] if spans else 0)
        if start < 0:
            return None
        spans.append((start, start + len(trait)))
    order = list(traits)
    for _ in range(TRIES):
        rng.shuffle(order)
        if order != traits:
            break
    else:
        return None
    pieces: list[str] = []
    last = 0
    for (start, end), trait in zip(spans, order, strict=True):
        pieces += [text[last:start], trait]
        last = end
    fresh = {**row.prompt[at], "content": "".join(pieces) + text[last:]}
    return (*row.prompt[:at], fresh, *row.prompt[at + 1 :]), order
