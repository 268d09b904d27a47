"""Persona consistency and engagement: study S1's word counting under its own name, and what an NLI model says.

    rlhf method=sft dataset=synthetic_persona_chat ... evaluation.suites=[persona] evaluation.persona.nli.model=FOLDER

Questions carry a persona in `meta.persona` or in their system message. What needs the model itself is measured by
`rlhf/evaluation/live/hits.py` and `rlhf/evaluation/live/simulation.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from rlhf.data.personas import persona_sentences
from rlhf.data.rows import Row
from rlhf.evaluation.contract import Findings, Suite, Table, Tools, mean_scores
from rlhf.evaluation.metrics import Metric
from rlhf.evaluation.persona.inference import Reader, stands
from rlhf.evaluation.persona.nli_labels import PLACE, check_nli
from rlhf.evaluation.persona.words import Engagement, copied, engagement, keyword_consistency
from rlhf.evaluation_spec import PersonaSpec

S1 = "study S1 (STUDIES.md, Q01 and Q02); a reconstruction, see rlhf/evaluation/persona/words.py"
DNLI = "Welleck et al. 2019, arXiv 1811.00671"
_NLI_FOOLED = "it is one model's opinion; an answer that says nothing of its speaker is neutral to every sentence"

S1_CONSISTENCY = Metric(
    "persona/s1_keyword_consistency",
    "study S1's persona consistency: how many of the persona's content words an answer has",
    "share of the persona's keywords",
    "|keywords(persona) & keywords(answer)| / |keywords(persona)|; mean over answers",
    "higher",
    "0 to 1",
    S1,
    "saying the persona back word for word scores 1, good answers about 0.05; a denial has the same words",
    reads="pair",
)
S1_ENGAGEMENT = Metric(
    "persona/s1_engagement",
    "study S1's engagement of an answer",
    "score",
    "0.3 questions + 0.3 empathy + 0.2 length + 0.2 variety (evaluation.persona.engagement); mean over answers",
    "higher",
    "0 to 1",
    S1,
    "a line of unrelated words with two markers and a question mark scores above every good answer",
    reads="answer",
)


def _part(name: str, meaning: str, estimator: str, fooled: str) -> Metric:
    return Metric(
        f"persona/s1_{name}",
        meaning,
        "share",
        f"{estimator}; mean over answers",
        None,
        "0 to 1",
        S1,
        fooled,
        reads="answer",
    )


S1_QUESTIONS = _part(
    "questions", "answers that ask something", "1 if it has a question mark", "one at the end of nonsense counts"
)
S1_EMPATHY = _part(
    "empathy", "words that sound like empathy", "min(1, markers / 2)", "a marker counts wherever it stands"
)
S1_LENGTH = _part("length", "how much is said", "min(1, words / 20)", "any words will do")
S1_VARIETY = _part(
    "variety", "different words among all words", "distinct words / words", "short answers and random words have 1"
)
COPIED = Metric(
    "persona/copied",
    "how much of an answer is the persona said back word for word",
    "share of the answer's words",
    "words that lie within four in a row of one persona sentence / all words; mean over answers",
    None,
    "0 to 1",
    "this project",
    "0 says nothing of an answer; much of it says that a high keyword consistency is an echo",
    reads="pair",
)
ENTAILMENT = Metric(
    "persona/entailment",
    "answers that show the persona: at least one of its sentences follows from what they say",
    "share of answers",
    "max over persona sentences of P(entailment | premise: answer, hypothesis: sentence) >= threshold",
    "higher",
    "0 to 1",
    DNLI,
    f"saying the persona back entails all of it (see persona/copied); {_NLI_FOOLED}",
    reads="pair",
)
CONTRADICTION = Metric(
    "persona/contradiction",
    "contradiction rate: answers that contradict their persona",
    "share of answers",
    "max over persona sentences of P(contradiction | premise: answer, hypothesis: sentence) >= threshold",
    "lower",
    "0 to 1",
    f"{DNLI}; study S1's goal of under 5% (STUDIES.md, Q12)",
    f"nonsense and empty answers contradict nothing; {_NLI_FOOLED}",
    reads="pair",
)
C_SCORE = Metric(
    "persona/c_score",
    "how consistent answers are with their persona, contradictions counted against them",
    "persona sentences",
    "number of persona sentences entailed minus number contradicted; mean over answers",
    "higher",
    "minus to plus the persona's sentences",
    "Madotto et al. 2019, arXiv 1905.10033",
    f"saying the persona back scores best (see persona/copied); {_NLI_FOOLED}",
    reads="pair",
)
SELF_CONTRADICTION = Metric(
    "persona/self_contradiction",
    "answers that contradict what their speaker said earlier in the dialogue",
    "share of answers that have something before them",
    "max over earlier turns of P(contradiction | premise: earlier turn, hypothesis: answer) >= threshold",
    "lower",
    "0 to 1",
    DNLI,
    f"nonsense and empty answers contradict nothing; {_NLI_FOOLED}",
    reads="pair",
)
METRICS: tuple[Metric, ...] = (
    S1_CONSISTENCY, S1_ENGAGEMENT, S1_QUESTIONS, S1_EMPATHY, S1_LENGTH, S1_VARIETY, COPIED, ENTAILMENT, CONTRADICTION,
    C_SCORE, SELF_CONTRADICTION,
)  # fmt: skip
PARTS: Mapping[str, Callable[[Engagement], float]] = {
    S1_ENGAGEMENT.name: lambda found: found.score,
    S1_QUESTIONS.name: lambda found: found.questions,
    S1_EMPATHY.name: lambda found: found.empathy,
    S1_LENGTH.name: lambda found: found.length,
    S1_VARIETY.name: lambda found: found.variety,
}
NO_PERSONA = "persona: no question carries a persona, so consistency with one is left out"
NO_NLI = f"persona: entailment and contradiction are left out, since {PLACE} names no model"

Each = list[float | None]


def build(spec: PersonaSpec, tools: Tools) -> Suite:
    """Return the suite; raises `UserError` at once where the NLI model cannot be read, loads it at its first use."""
    reader = open_reader(spec, PLACE)

    def measure(questions: Sequence[Row], texts: Sequence[str]) -> Findings:
        personas = [persona_sentences(row) for row in questions]
        shown = drawn([at for at, persona in enumerate(personas) if persona], spec.consistency_rows, tools.seed)
        engaging = drawn(range(len(questions)), spec.engagement_rows, tools.seed)
        each: dict[str, Each] = _engagement(texts, engaging, spec)
        each |= _consistency(texts, personas, shown, spec)
        shares: dict[str, Each] = {}
        if reader is not None:
            inferred, shares = _inferred(questions, texts, personas, shown, reader(), spec, tools.seed)
            each |= inferred
        scores = {name: mean_scores(values, tools) for name, values in (each | shares).items() if _any(values)}
        tables = {"persona by turn": by_turn(questions, each | shares)} if scores else {}
        notes = _notes(questions, personas, shown, engaging, spec)
        return Findings(scores, tables, notes)

    return measure


def open_reader(spec: PersonaSpec, place: str) -> Callable[[], Reader] | None:
    """Return what loads the NLI model when it is first called, None where none is named; refuses a wrong one now."""
    if spec.nli.model is None:
        return None
    from rlhf.evaluation.persona.nli import NLI

    check_nli(spec.nli, place)
    return cache(lambda: NLI(spec.nli, place))


def drawn(places: Sequence[int], count: int, seed: int) -> list[int]:
    """Return up to `count` of some places, in their order: the test set that is measured (study S1 has 500 and 300)."""
    return sorted(random.Random(f"persona {seed}").sample(places, min(count, len(places))))


def earlier_turns(row: Row) -> list[str]:
    """Return what the speaker of the answer said before it."""
    return [message["content"] for message in row.prompt if message["role"] == "assistant"]


def by_turn(questions: Sequence[Row], each: Mapping[str, Sequence[float | None]]) -> Table:
    """Return the mean of every metric by which answer of its dialogue it is: 1 is the first."""
    turns = [len(earlier_turns(row)) + 1 for row in questions]
    rows = []
    for turn in sorted(set(turns)):
        places = [at for at, own in enumerate(turns) if own == turn]
        values = [[one for at in places if (one := column[at]) is not None] for column in each.values()]
        rows.append((turn, len(places), *(sum(found) / len(found) if found else None for found in values)))
    return Table(("turn", "answers", *(name.removeprefix("persona/").replace("_", " ") for name in each)), tuple(rows))


def _any(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)


def _spread(count: int, places: Sequence[int], values: Sequence[float | None]) -> Each:
    """Put values at their places among `count` questions."""
    each: Each = [None] * count
    for at, value in zip(places, values, strict=True):
        each[at] = value
    return each


def _engagement(texts: Sequence[str], places: Sequence[int], spec: PersonaSpec) -> dict[str, Each]:
    found = [engagement(texts[at], spec.engagement) for at in places]
    return {name: _spread(len(texts), places, [part(one) for one in found]) for name, part in PARTS.items()}


def _consistency(
    texts: Sequence[str], personas: Sequence[Sequence[str]], places: Sequence[int], spec: PersonaSpec
) -> dict[str, Each]:
    overlap = [keyword_consistency(personas[at], texts[at], spec.keyword_letters) for at in places]
    echoes = [copied(personas[at], texts[at]) for at in places]
    return {
        S1_CONSISTENCY.name: _spread(len(texts), places, overlap),
        COPIED.name: _spread(len(texts), places, echoes),
    }


def _inferred(
    questions: Sequence[Row],
    texts: Sequence[str],
    personas: Sequence[Sequence[str]],
    shown: Sequence[int],
    read: Reader,
    spec: PersonaSpec,
    seed: int,
) -> tuple[dict[str, Each], dict[str, Each]]:
    """Return what is a mean and what is a share, both by the metric's name."""
    count = len(texts)
    to_persona = stands([texts[at] for at in shown], [personas[at] for at in shown], read, spec.nli, first="answer")
    before = [earlier_turns(row) for row in questions]
    spoken = drawn([at for at, turns in enumerate(before) if turns], spec.consistency_rows, seed)
    to_itself = stands([texts[at] for at in spoken], [before[at] for at in spoken], read, spec.nli, first="statement")
    means = {C_SCORE.name: _spread(count, shown, [float(stand.balance) for stand in to_persona])}
    shares = {
        ENTAILMENT.name: _spread(count, shown, [float(stand.entailed > 0) for stand in to_persona]),
        CONTRADICTION.name: _spread(count, shown, [float(stand.contradicted > 0) for stand in to_persona]),
        SELF_CONTRADICTION.name: _spread(count, spoken, [float(stand.contradicted > 0) for stand in to_itself]),
    }
    return means, shares


def _notes(
    questions: Sequence[Row],
    personas: Sequence[Sequence[str]],
    shown: Sequence[int],
    engaging: Sequence[int],
    spec: PersonaSpec,
) -> tuple[str, ...]:
    """Tell what was measured on, and what S1's formulas give to what should fool nobody."""
    truth = {at: text for at, row in enumerate(questions) if (text := row.completion or row.chosen)}
    nonsense = engagement(spec.nonsense, spec.engagement).score
    real = _mean([engagement(text, spec.engagement).score for text in truth.values()])
    fooled = [f"persona: {S1_ENGAGEMENT.name} gives a line of nonsense {nonsense:.2f}{_beside(real)}"]
    if not shown:
        return (NO_PERSONA, *fooled)
    carry = sum(map(bool, personas))
    sizes = (
        f"persona: consistency is measured on {len(shown)} of {carry} questions with a persona, engagement on "
        f"{len(engaging)} of {len(questions)} (evaluation.persona.consistency_rows, .engagement_rows and "
        "evaluation.prompts set how many)"
    )
    letters = spec.keyword_letters
    back = _mean([keyword_consistency(personas[at], " ".join(personas[at]), letters) for at in shown])
    real = _mean([keyword_consistency(personas[at], truth[at], letters) for at in shown if at in truth])
    if back is not None:
        fooled.append(f"persona: {S1_CONSISTENCY.name} gives the persona said back {back:.2f}{_beside(real)}")
    return (sizes, *fooled, *(() if spec.nli.model else (NO_NLI,)))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _beside(real: float | None) -> str:
    return "" if real is None else f", the reference answers {real:.2f}"
