"""`pairs=rules`: an answer of the data set against a rude one or one that asks for sensitive data (study S4).

Three generators write them: `whole` says nothing of the answer, `opening` goes before it, `closing` roughens it and
ends it badly. Within each intent the two kinds take turns, and so do the generators within each kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlhf.data.personas import sentences
from rlhf.data.placeholders import PLACEHOLDER
from rlhf.data.rows import Row
from rlhf.pairs.made import Made, Pair, Work, chance, one_by_one, row_key
from rlhf.pairs.spec import Rules
from rlhf.pairs.tables import Softener, Table, table_of
from rlhf.pairs.texts import alike, capitalised, placeholders, replaced_sentence

CHUNK = 500  # rows between two writes
KINDS = ("rude", "sensitive")
GENERATORS = ("whole", "opening", "closing")
NO_ANSWER = "the row has no answer"
NO_PHRASES = "no phrases in the row's language"
SAME = "the made answer is the row's own"


@dataclass(frozen=True)
class Role:
    """What kind of bad answer a row gets, and which generator writes it."""

    kind: str
    generator: str


def rules_work(spec: Rules, rows: Sequence[Row], tables: Mapping[str, Table]) -> Work:
    """Return the work of the maker; roles are dealt over all rows, so a resumed run deals the same."""
    roles = deal([(row.meta.get("intent"), row_key(row)) for row in rows if _fits(row, spec, tables)], spec.seed)

    def make(at: int, row: Row) -> Made:
        if not (row.completion or "").strip():
            return Made(lost={NO_ANSWER: 1})
        table = table_of(_language(row, spec), tables)
        return Made(lost={NO_PHRASES: 1}) if table is None else bad_answer(row, roles[row_key(row)], spec, table)

    return one_by_one(make, CHUNK)


def deal(rows: Sequence[tuple[object, str]], seed: int) -> dict[str, Role]:
    """Return the role of each row, given as (intent, key): one count runs through the intents, rows in drawn order.

    So in each intent, as in all, there are as many rude as sensitive answers, give or take one, and as many of each
    generator among the rows of a kind, give or take one in all.
    """
    import hashlib

    def drawn(key: str) -> str:
        return hashlib.sha256(f"pairs/rules/{seed}/{key}".encode()).hexdigest()

    ordered = sorted(rows, key=lambda row: (str(row[0]), drawn(row[1])))
    cycle = [Role(KINDS[at % 2], GENERATORS[at // 2 % 3]) for at in range(6)]
    return {key: cycle[at % 6] for at, (_, key) in enumerate(ordered)}


def bad_answer(row: Row, role: Role, spec: Rules, table: Table) -> Made:
    """Return the pair of one row; which phrase is drawn for the row alone. Placeholders stay as they are."""
    answer = (row.completion or "").strip()
    phrases = getattr(table, role.kind)
    choices: list[str] = getattr(phrases, role.generator)
    at = chance("rules", spec.seed, row).randrange(len(choices))
    phrase = choices[at].replace("{about}", about(row, table))
    if role.generator == "whole":
        text = capitalised(phrase)
    elif role.generator == "opening":
        text = f"{phrase} {answer}"
    else:
        text = ended(roughened(answer, table.softeners), phrase)
    if alike(text, answer):
        return Made(lost={SAME: 1})
    parameters = {"generator": role.generator, "phrase": at}
    return Made([Pair(row.prompt, answer, text, role.kind, parameters)])


def about(row: Row, table: Table) -> str:
    """Return what a row is about: the first placeholder of its last message or answer, else its intent in words."""
    found = placeholders(f"{row.prompt[-1]['content']} {row.completion}")
    intent = row.meta.get("intent")
    if found:
        return found[0]
    return str(intent).replace("_", " ").lower() if intent and table.says_intents else table.this


def roughened(answer: str, softeners: Sequence[Softener]) -> str:
    """Return an answer whose polite words are replaced, but for those in placeholders; it keeps its first capital.

    What stands between two placeholders is looked at by itself.
    """
    capital = answer[:1].isupper()
    between = PLACEHOLDER.split(answer)
    for rule in softeners:
        between = [rule.pattern.sub(rule.say, text) for text in between]
    pairs = zip(between, [*PLACEHOLDER.findall(answer), ""], strict=True)
    answer = "".join(f"{text}{placeholder}" for text, placeholder in pairs).strip(" ,")
    return capitalised(answer) if capital else answer


def ended(answer: str, closing: str) -> str:
    """Return an answer whose last sentence without a placeholder is `closing`; one of a single sentence keeps it."""
    own = sentences(answer)
    free = [sentence for sentence in own if not placeholders(sentence)]
    if len(own) < 2 or not free:
        return f"{answer} {closing}".strip()
    return replaced_sentence(answer, free[-1], closing)


def _language(row: Row, spec: Rules) -> str:
    return str(row.meta.get("language") or spec.language)


def _fits(row: Row, spec: Rules, tables: Mapping[str, Table]) -> bool:
    return bool((row.completion or "").strip()) and table_of(_language(row, spec), tables) is not None
