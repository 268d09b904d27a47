"""Simulated conversations: a policy talks with a user for several turns and is measured turn by turn.

The user is the script of a held-out dialogue (its real user turns, whatever the policy says) or another policy
(`evaluation.simulation.user`). The policy reads its own earlier answers, so that errors add up as they would in use.
Two control lines are measured beside it: the real answers, and a speaker who says the user's words back.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from rlhf.data.rows import Message, Row
from rlhf.evaluation.contract import Findings, Scores, Table, Tools, mean_scores
from rlhf.evaluation.metrics import Metric
from rlhf.evaluation.persona import turns
from rlhf.evaluation.persona.inference import Reader
from rlhf.evaluation.persona.nli_labels import PLACE
from rlhf.evaluation.persona.talk import Script, Speak, Talk, converse, scripts_of
from rlhf.evaluation.suites.persona import NO_NLI, open_reader
from rlhf.evaluation_spec import SimulationSpec

SOURCE = "multi-turn consistency and engagement of study S1 (STUDIES.md, Q01, Q02, Q12); this project's simulation"
_TALK = "mean over a conversation's answers; mean over conversations"
_SCRIPT = "a scripted user does not hear the policy, so that an answer may be to another question"


def _metric(
    name: str, meaning: str, unit: str, estimator: str, better: Any, span: str, fooled: str, reads: Any
) -> Metric:
    fooled = f"{fooled}; {_SCRIPT}"
    return Metric(f"persona/simulated_{name}", meaning, unit, estimator, better, span, SOURCE, fooled, reads)


CONSISTENCY = _metric(
    "s1_keyword_consistency",
    "study S1's keyword consistency over a whole conversation",
    "share of the persona's keywords",
    f"persona/s1_keyword_consistency; {_TALK}",
    "higher",
    "0 to 1",
    "saying the persona back in every turn scores 1",
    reads="pair",
)
ENGAGEMENT = _metric(
    "s1_engagement",
    "study S1's engagement over a whole conversation",
    "score",
    f"persona/s1_engagement; {_TALK}",
    "higher",
    "0 to 1",
    "unrelated words with markers and a question mark score above every good answer",
    reads="answer",
)
REPEATED = _metric(
    "repeated",
    "answers that the policy gave before in the same conversation, small letters and marks aside",
    "share of answers after the first",
    _TALK,
    "lower",
    "0 to 1",
    "one changed word makes an answer new; random words repeat nothing",
    reads="answer",
)
WORDS = _metric(
    "words",
    "length of the answers",
    "words",
    _TALK,
    None,
    "0 or more",
    "neither long nor short answers are good",
    reads="answer",
)
CONTRADICTION = _metric(
    "contradiction",
    "conversations with an answer that contradicts the persona",
    "share of conversations",
    "any answer with persona/contradiction; mean over conversations",
    "lower",
    "0 to 1",
    "who says nothing contradicts nothing, and longer conversations have more chances",
    reads="pair",
)
SELF_CONTRADICTION = _metric(
    "self_contradiction",
    "conversations with an answer that contradicts an earlier one of the same policy",
    "share of conversations of at least two answers",
    "any answer with P(contradiction | premise: an earlier answer, hypothesis: it) >= threshold",
    "lower",
    "0 to 1",
    "who says nothing, or always the same, contradicts nothing",
    reads="pair",
)
METRICS: tuple[Metric, ...] = (CONSISTENCY, ENGAGEMENT, REPEATED, WORDS, CONTRADICTION, SELF_CONTRADICTION)
MEANS = {
    turns.CONSISTENCY: CONSISTENCY,
    turns.ENGAGEMENT: ENGAGEMENT,
    turns.REPEATED: REPEATED,
    turns.WORDS: WORDS,
}
SHARES = {turns.CONTRADICTION: CONTRADICTION, turns.SELF: SELF_CONTRADICTION}


def measure(policy: Any, codec: Any, questions: Sequence[Row], spec: SimulationSpec, tools: Tools) -> Findings:
    """Let the policy talk, and measure it beside the controls; the same arguments give the same conversations."""
    scripts = scripts_of(questions, spec.dialogues, spec.turns, tools.seed)
    if not scripts:
        return Findings({}, notes=("simulation: no question has a user turn, so there is nobody to talk with",))
    reader = open_reader(spec.persona, PLACE)
    read = reader() if reader else None
    cut = codec.truncated_prompts
    ask = None if spec.user is None else _user(spec.user, policy, codec, spec, tools)
    talks = converse(scripts, spec.turns, speaker(policy, codec, spec, tools.seed, "policy"), ask)
    cut = codec.truncated_prompts - cut
    tools.say(f"simulated {len(talks)} conversations of up to {spec.turns} turns")
    values = _values(scripts, [talk.answered for talk in talks], spec, read)
    rows = turns.turn_rows("policy", values)
    real = [script.answered[: spec.turns] for script in scripts]
    rows += turns.turn_rows("real answers", _values(scripts, real, spec, read))
    rows += turns.turn_rows("echo of the user", _values(scripts, [s.asked[: spec.turns] for s in scripts], spec, read))
    columns = ("speaker", "turn", "conversations", *(name.replace("_", " ") for name in values))
    tables = {
        "simulated conversations by turn": Table(columns, tuple(rows)),
        "a simulated conversation": _shown(talks[0]),
    }
    return Findings(_scores(values, scripts, len(questions), tools), tables, _notes(talks, cut, spec))


def speaker(model: Any, codec: Any, spec: SimulationSpec, seed: int, who: str) -> Speak:
    """Return what samples one answer to each prompt, with random numbers of its own for each turn and speaker."""
    from rlhf.models.sample import sample

    def speak(prompts: Sequence[Sequence[Message]], turn: int) -> list[str]:
        return sample(
            model,
            codec,
            prompts,
            max_new_tokens=spec.max_new_tokens,
            temperature=spec.temperature,
            batch_size=spec.batch_size,
            seed=random.Random(f"simulation {seed} {who} {turn}").randrange(2**31),
            progress=None,
        ).texts

    return speak


def _user(name: str, policy: Any, codec: Any, spec: SimulationSpec, tools: Tools) -> Speak:
    from rlhf.evaluation.persona.user import load_user
    from rlhf.models.states import plain_model

    own = plain_model(policy)
    model, its_codec = load_user(name, codec, dtype=own.dtype, device=own.device.type, seed=tools.seed)
    return speaker(model, its_codec, spec, tools.seed, "user")


def _values(
    scripts: Sequence[Script], said: Sequence[Sequence[str]], spec: SimulationSpec, read: Reader | None
) -> dict[str, turns.Turns]:
    return turns.turn_values([script.persona for script in scripts], said, spec.persona, read)


def _scores(
    values: dict[str, turns.Turns], scripts: Sequence[Script], questions: int, tools: Tools
) -> dict[str, Scores]:
    """Return a score per conversation, at the place of its question."""
    scores: dict[str, Scores] = {}
    kinds: tuple[tuple[dict[str, Metric], Callable[..., Any]], ...] = ((MEANS, turns.means), (SHARES, turns.any_turn))
    for metrics, over_turns in kinds:
        for name, metric in metrics.items():
            if name not in values:  # without an NLI model
                continue
            each: list[float | None] = [None] * questions
            for script, value in zip(scripts, over_turns(values[name]), strict=True):
                each[script.place] = value
            if any(value is not None for value in each):
                scores[metric.name] = mean_scores(each, tools)
    return scores


def _shown(talk: Talk) -> Table:
    rows = [("persona", " ".join(talk.script.persona))] if talk.script.persona else []
    rows += [(turn["role"], turn["content"]) for turn in talk.prompt() if turn["role"] != "system"]
    return Table(("speaker", "text"), tuple(rows))


def _notes(talks: Sequence[Talk], cut: int, spec: SimulationSpec) -> tuple[str, ...]:
    answers = sum(len(talk.answered) for talk in talks)
    whom = "the held-out dialogues' own user turns" if spec.user is None else f"a user played by {spec.user}"
    notes = [f"simulation: {len(talks)} conversations, {answers} answers, with {whom}"]
    short = sum(len(talk.answered) < spec.turns for talk in talks)
    if short:
        notes.append(f"simulation: {short} conversations are shorter than {spec.turns} turns: their script ends before")
    if cut:
        notes.append(
            f"simulation: {cut} of {answers} prompts were too long and lost their beginning, where the persona stands "
            "(method.max_prompt_tokens)"
        )
    if not any(talk.script.persona for talk in talks):
        notes.append("simulation: no question carries a persona, so consistency with one is left out")
    return tuple(notes if spec.persona.nli.model else [*notes, NO_NLI.replace("persona:", "simulation:", 1)])
