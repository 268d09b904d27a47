"""What is measured of every turn of a conversation, and what a conversation comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlhf.evaluation.persona.inference import Reader, stands
from rlhf.evaluation.persona.words import engagement, keyword_consistency, same_text, words
from rlhf.evaluation_spec import PersonaSpec

Turns = list[list[float | None]]  # per conversation, per turn; None: nothing can be said of it
WORDS, REPEATED, CONSISTENCY, ENGAGEMENT = "words", "repeated", "s1_keyword_consistency", "s1_engagement"
ENTAILMENT, CONTRADICTION, C_SCORE, SELF = "entailment", "contradiction", "c_score", "self_contradiction"


def turn_values(
    personas: Sequence[Sequence[str]], said: Sequence[Sequence[str]], spec: PersonaSpec, read: Reader | None
) -> dict[str, Turns]:
    """Return the values of every answer in `said` (conversations of one speaker) by name; inference only with `read`.

    `words` are counted, `repeated` is 1 for an answer that the speaker gave before in the same conversation, word for
    word; the others are those of `rlhf/evaluation/suites/persona.py`. A first answer can neither repeat nor contradict.
    """
    values: dict[str, Turns] = {
        WORDS: [[float(len(words(text))) for text in own] for own in said],
        REPEATED: [_repeated(own) for own in said],
        ENGAGEMENT: [[engagement(text, spec.engagement).score for text in own] for own in said],
        CONSISTENCY: [
            [keyword_consistency(persona, text, spec.keyword_letters) for text in own]
            for persona, own in zip(personas, said, strict=True)
        ],
    }
    return values if read is None else values | _inferred(personas, said, spec, read)


def _repeated(own: Sequence[str]) -> list[float | None]:
    keys = [same_text(text) for text in own]
    return [float(key in keys[:at]) if at else None for at, key in enumerate(keys)]


def _inferred(
    personas: Sequence[Sequence[str]], said: Sequence[Sequence[str]], spec: PersonaSpec, read: Reader
) -> dict[str, Turns]:
    flat = [(talk, at) for talk, own in enumerate(said) for at in range(len(own))]
    answers = [said[talk][at] for talk, at in flat]
    own_persona = [personas[talk] for talk, _ in flat]
    before = [said[talk][:at] for talk, at in flat]
    found: dict[str, Turns] = {name: [[] for _ in said] for name in (ENTAILMENT, CONTRADICTION, C_SCORE, SELF)}
    to_persona = stands(answers, own_persona, read, spec.nli, first="answer")
    to_itself = stands(answers, before, read, spec.nli, first="statement")
    for (talk, at), stand, self_stand in zip(flat, to_persona, to_itself, strict=True):
        known = bool(personas[talk])
        found[ENTAILMENT][talk].append(float(stand.entailed > 0) if known else None)
        found[CONTRADICTION][talk].append(float(stand.contradicted > 0) if known else None)
        found[C_SCORE][talk].append(float(stand.balance) if known else None)
        found[SELF][talk].append(float(self_stand.contradicted > 0) if at else None)
    return found


def means(turns: Turns) -> list[float | None]:
    """Return each conversation's mean over the turns that have a value."""
    known = [[value for value in own if value is not None] for own in turns]
    return [sum(own) / len(own) if own else None for own in known]


def any_turn(turns: Turns) -> list[float | None]:
    """Return 1 for a conversation with a turn that has the flaw, 0 for one without, None where no turn can have it."""
    known = [[value for value in own if value is not None] for own in turns]
    return [max(own) if own else None for own in known]


def turn_rows(speaker: str, values: Mapping[str, Turns]) -> list[tuple[object, ...]]:
    """Return the rows of the table by turn: speaker, turn (from 1), conversations that long, a mean of each value."""
    lengths = [len(own) for own in values[WORDS]]
    rows: list[tuple[object, ...]] = []
    for turn in range(max(lengths, default=0)):
        there = [talk for talk, length in enumerate(lengths) if turn < length]
        cells = [[v for talk in there if (v := own[talk][turn]) is not None] for own in values.values()]
        rows.append((speaker, turn + 1, len(there), *(sum(cell) / len(cell) if cell else None for cell in cells)))
    return rows
