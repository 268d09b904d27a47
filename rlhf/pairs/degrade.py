"""`pairs=degrade`: an answer of the data set against a generic, truncated or persona-contradicting one (study S1)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rlhf.data.personas import persona_sentences
from rlhf.data.rows import Row
from rlhf.pairs.made import Made, Pair, Work, chance, one_by_one
from rlhf.pairs.persona import contradicted, in_place_of_a_sentence, shuffled
from rlhf.pairs.spec import Degrade
from rlhf.pairs.tables import Table, table_of
from rlhf.pairs.texts import alike, first_words, words

CHUNK = 500  # rows between two writes
NO_ANSWER = "the row has no answer to degrade"
NO_WAY = "no way of degrading fits the row"
NOT_SHUFFLED = "copies without another order of the persona"
Worse = tuple[str, dict[str, Any]]  # a text and its parameters


def degrade_work(spec: Degrade, tables: Mapping[str, Table]) -> Work:
    """Return the work of the maker."""
    return one_by_one(lambda at, row: degrade(row, spec, tables), CHUNK)


def degrade(row: Row, spec: Degrade, tables: Mapping[str, Table]) -> Made:
    """Return the pair of one row and its copies with a shuffled persona; what cannot be made one way is made another.

    Which way, which phrase and how much is cut is drawn for the row alone, from the seed and the row's text.
    """
    answer = (row.completion or "").strip()
    if not answer:
        return Made(lost={NO_ANSWER: 1 + spec.shuffles})
    rng = chance("degrade", spec.seed, row)
    table = table_of(str(row.meta.get("language") or spec.language), tables)
    weights = {name: weight for name, weight in spec.shares.model_dump().items() if weight > 0}
    wanted = first = rng.choices(list(weights), list(weights.values()))[0]
    while (worse := _worse(wanted, row, answer, spec, table, rng)) is None:
        del weights[wanted]
        if not weights:
            return Made(lost={NO_WAY: 1 + spec.shuffles})
        wanted = rng.choices(list(weights), list(weights.values()))[0]
    noted = {} if wanted == first else {f"{first} did not fit, {wanted} made": 1}
    pair = Pair(row.prompt, answer, worse[0], wanted, worse[1])
    copies, missing = _copies(pair, row, spec)
    return Made([pair, *copies], {NOT_SHUFFLED: missing} if missing else {}, noted)


def _worse(way: str, row: Row, answer: str, spec: Degrade, table: Table | None, rng: random.Random) -> Worse | None:
    """Return a worse answer, made one way; None where that way does not fit the row."""
    if way == "truncated":
        return truncated(answer, rng.uniform(spec.kept.low, spec.kept.high))
    if table is None:
        return None
    if way == "generic":
        at = rng.randrange(len(table.generic))
        return None if alike(table.generic[at], answer) else (table.generic[at], {"phrase": at})
    traits = persona_sentences(row)
    if not traits:
        return None
    trait = rng.choice(traits)
    statement = contradicted(trait, table.contradictions)
    text = in_place_of_a_sentence(answer, statement)
    return None if alike(text, answer) else (text, {"trait": trait, "statement": statement})


def truncated(answer: str, kept: float) -> Worse | None:
    """Return the first words of an answer, the share `kept` of them (rounded, at least one); None for a single word."""
    found = len(words(answer))
    if found < 2:
        return None
    left = min(max(round(kept * found), 1), found - 1)
    return first_words(answer, left), {"words_kept": left, "words": found}


def _copies(pair: Pair, row: Row, spec: Degrade) -> tuple[list[Pair], int]:
    """Return the pair again with the persona's sentences in other orders, each once, and how many more were asked."""
    rng = chance("shuffle", spec.seed, row)
    copies: list[Pair] = []
    orders: list[list[str]] = []
    for _ in range(spec.shuffles * 4):  # more tries than copies: an order may come again
        if len(copies) == spec.shuffles or (found := shuffled(row, rng)) is None:
            break
        prompt, order = found
        if order in orders:
            continue
        orders.append(order)
        meta = {"persona": _as_was(row.meta["persona"], order)} if "persona" in row.meta else {}
        copies.append(replace(pair, prompt=prompt, meta=meta, parameters={**pair.parameters, "shuffle": len(orders)}))
    return copies, spec.shuffles - len(copies)


def _as_was(persona: Any, order: list[str]) -> Any:
    """Return the persona's sentences in their new order, as one text or as a list, whichever it was."""
    if isinstance(persona, list | tuple):
        return order
    if len(str(persona).split()) < 2:  # a name
        return persona
    return ("\n" if "\n" in str(persona) else " ").join(order)
