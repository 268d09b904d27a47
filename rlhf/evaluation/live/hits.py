"""Hits@1 as in ConvAI2: the model ranks the answer that was really given among answers of other dialogues.

Dinan et al. 2019, "The Second Conversational Intelligence Challenge" (arXiv 1902.00098). A language model ranks by the
log-probability of each candidate per token. No text is sampled and no other model asked.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from rlhf.data.personas import persona_sentences
from rlhf.data.rows import Row
from rlhf.evaluation.contract import Findings, Scores, Tools, mean_scores
from rlhf.evaluation.metrics import Metric
from rlhf.evaluation.persona.words import same_text
from rlhf.evaluation_spec import HitsSpec

CONVAI2 = "ConvAI2 (Dinan et al. 2019, arXiv 1902.00098), with a language model's likelihood as the ranking"
_RANKED = (
    "1 / (candidates that tie for the highest mean log-probability per token) if the true answer is one, else 0; mean "
    "over questions"
)
HITS = Metric(
    "persona/hits_at_1",
    "how often the true answer is the likeliest of the candidates; persona/hits_at_1_chance is what guessing gives",
    "share of questions",
    _RANKED,
    "higher",
    "0 to 1",
    CONVAI2,
    "the topic alone gives many answers away; a model that ranks well can still write badly",
    reads="pair",
)
WITHOUT_PERSONA = Metric(
    "persona/hits_at_1_without_persona",
    "the same where the prompt's system message, which holds the persona, is taken away: what is left of "
    "persona/hits_at_1 owes nothing to the persona",
    "share of questions",
    _RANKED,
    None,
    "0 to 1",
    CONVAI2,
    "a model that was only trained with a persona is at a loss without one",
    reads="pair",
)
CHANCE = Metric(
    "persona/hits_at_1_chance",
    "what guessing gives persona/hits_at_1",
    "share of questions",
    "1 / evaluation.hits.candidates",
    None,
    "0 to 1",
    CONVAI2,
    "it is no measurement",
    reads="pair",
)
METRICS: tuple[Metric, ...] = (HITS, WITHOUT_PERSONA, CHANCE)


def measure(policy: Any, codec: Any, questions: Sequence[Row], spec: HitsSpec, tools: Tools) -> Findings:
    """Rank the candidates of each question; the same ones for every policy, whatever the order of the questions."""
    asked = [at for at, row in enumerate(questions) if answer_of(row).strip()]
    taken = sorted(random.Random(f"hits {tools.seed}").sample(asked, min(spec.rows, len(asked))))
    candidates = {at: found for at in taken if (found := candidates_of(questions, at, spec.candidates, tools.seed))}
    if not candidates:
        problem = f"hits: no question has an answer and {spec.candidates - 1} different ones of other dialogues"
        return Findings({}, notes=(f"{problem}, so it is left out (evaluation.hits.candidates)",))
    chance = 1 / spec.candidates
    scores = {
        HITS.name: _hits(
            policy, codec, {at: questions[at].prompt for at in candidates}, candidates, spec, questions, tools
        ),
        CHANCE.name: Scores(chance, len(candidates), chance, chance),
    }
    bare = {at: prompt for at in candidates if (prompt := without_persona(questions[at]))}
    if bare:
        scores[WITHOUT_PERSONA.name] = _hits(policy, codec, bare, candidates, spec, questions, tools)
    tools.say(f"ranked {spec.candidates} candidates for {len(candidates)} questions")
    return Findings(scores, notes=(_size(len(candidates), len(questions), spec),))


def answer_of(row: Row) -> str:
    """Return the answer that was really given, of a pair the chosen one."""
    return row.completion or row.chosen or ""


def candidates_of(questions: Sequence[Row], at: int, count: int, seed: int) -> list[str] | None:
    """Return the true answer of a question, then `count - 1` different ones of other groups; None for too few."""
    own = questions[at]
    others = {same_text(answer_of(row)): answer_of(row) for row in questions if row.group != own.group}
    others = {key: text for key, text in others.items() if text.strip() and key != same_text(answer_of(own))}
    if len(others) < count - 1:
        return None
    pool = [others[key] for key in sorted(others)]
    return [answer_of(own), *random.Random(f"hits {seed} {own.prompt}").sample(pool, count - 1)]


def without_persona(row: Row) -> tuple[dict[str, str], ...]:
    """Return the prompt without its system messages; empty where there is no persona or it stands elsewhere."""
    rest = tuple(message for message in row.prompt if message["role"] != "system")
    return rest if persona_sentences(row) and len(rest) < len(row.prompt) else ()


def hit(scores: Sequence[float]) -> float:
    """Return 1 where the first score is the highest, 1 / m where it ties with m - 1 others for it, else 0."""
    best = max(scores)
    return 1 / list(scores).count(best) if scores[0] == best else 0.0


def _hits(
    policy: Any,
    codec: Any,
    prompts: dict[int, Any],
    candidates: dict[int, list[str]],
    spec: HitsSpec,
    questions: Sequence[Row],
    tools: Tools,
) -> Scores:
    """Score every candidate after its prompt; rows of like length share a batch, which saves padding."""
    from rlhf.models.sample import response_logprobs

    rows = [(at, codec.prompt_ids(prompt), text) for at, prompt in prompts.items() for text in candidates[at]]
    responses = [codec.response_ids(text) for _, _, text in rows]
    order = sorted(range(len(rows)), key=lambda number: (len(rows[number][1]) + len(responses[number]), number))
    logprobs = response_logprobs(
        policy,
        codec,
        [rows[number][1] for number in order],
        [responses[number] for number in order],
        batch_size=spec.batch_size,
        temperature=1.0,
    )
    means: dict[int, float] = {
        number: float(found.double().mean()) for number, found in zip(order, logprobs, strict=True)
    }
    each: list[float | None] = [None] * len(questions)
    for first in range(0, len(rows), spec.candidates):
        each[rows[first][0]] = hit([means[number] for number in range(first, first + spec.candidates)])
    return mean_scores(each, tools)


def _size(ranked: int, questions: int, spec: HitsSpec) -> str:
    return (
        f"hits: {ranked} of {questions} questions, {spec.candidates} candidates each, so that guessing gives "
        f"{1 / spec.candidates:.3g}"
    )
