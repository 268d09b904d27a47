"""Whether a judge prefers a speaker's answers to the data's own.

The judge is the evaluation's, a finished reward stage in a folder, or a chat model behind an endpoint. What the judge
says of the control lines shows what it can be trusted with: one that prefers nonsense to answers is flagged.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from rlhf.data.rows import Row
from rlhf.errors import UserError
from rlhf.evaluation.contract import Findings, Suite, Table, Tools, mean_scores
from rlhf.evaluation.preference import metrics as names
from rlhf.evaluation.preference.judges import EndpointJudge, Judge, ScoreJudge
from rlhf.evaluation.preference.wins import duel_table, win_scores
from rlhf.evaluation_spec import ENDPOINT, NAMED, PreferenceSpec

METRICS = (*names.OF_ANSWERS, *names.OF_REWARD_MODEL)  # the latter of reward models, see rlhf/stages/reward_pairs.py
WINS = "wins over other models"


def judge_of(spec: PreferenceSpec, tools: Tools) -> Judge | None:
    """Return who judges; None where the evaluation names nobody. Raises `UserError` for a folder that is no judge."""
    if spec.judge == ENDPOINT:
        return EndpointJudge(spec.endpoint, tools.store, os.environ)
    if spec.judge == NAMED:
        scorer = tools.judge()
        return None if scorer is None else ScoreJudge(scorer)
    if tools.judge_in is None:
        problem = "a reward stage in a folder cannot be loaded here"
        raise UserError("evaluation.preference.judge", problem, f"Use {NAMED} or {ENDPOINT}")
    try:
        return ScoreJudge(tools.judge_in(Path(spec.judge)))
    except UserError as error:  # it tells of a reward source of PPO, which is loaded in the same way
        raise UserError(f"evaluation.preference.judge={spec.judge}", error.problem, error.remedy) from error


def build(spec: PreferenceSpec, tools: Tools) -> Suite:
    """Return what compares a speaker's answers with those of the data."""
    judge = judge_of(spec, tools)

    def suite(questions: Sequence[Row], texts: Sequence[str]) -> Findings:
        if judge is None:
            note = "No judge: evaluation.judge=none. Set it, or evaluation.preference.judge."
            return Findings({}, {}, (note,))
        scores, notes = {}, []
        if isinstance(judge, ScoreJudge):
            scores[names.SCORE.name] = mean_scores(judge.scores(questions, texts), tools)
        asked = min(spec.endpoint.questions, len(questions)) if isinstance(judge, EndpointJudge) else len(questions)
        if asked < len(questions):
            notes.append(f"The chat model was asked about the first {asked} of {len(questions)} questions.")
        answered = [place for place, row in enumerate(questions[:asked]) if (row.completion or "").strip()]
        if not answered:
            return Findings(scores, {}, (*notes, "No win rate: the questions have no answers of the data."))
        if missing := asked - len(answered):
            notes.append(f"The win rate leaves out {missing} of {asked} questions, to which the data has no answer.")
        rows, ours = [questions[at] for at in answered], [texts[at] for at in answered]
        verdicts = judge(rows, ours, [row.completion or "" for row in rows])
        if unread := verdicts.outcomes.count(None):
            notes.append(f"The win rate leaves out {unread} of {len(rows)} questions, on which a vote can't be read.")
        if isinstance(judge, EndpointJudge) and (damaged := judge.journal.damaged):
            notes.append(f"Damaged lines of {judge.journal.file}: {damaged}, whose questions were asked again.")
        scores |= win_scores(verdicts, answered, len(questions), tools.resamples, tools.seed)
        return Findings(scores, {}, tuple(notes))

    return suite


def compare(
    spec: PreferenceSpec, tools: Tools, questions: Sequence[Row], texts: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Table]]:
    """Let the judge compare any two speakers; return for each of them a table of its wins over the others.

    `texts` are the speakers' answers by their names. Each two are compared once, whoever is first.
    """
    judge = judge_of(spec, tools)
    if judge is None or len(texts) < 2:
        return {}
    asked = min(spec.endpoint.questions, len(questions)) if isinstance(judge, EndpointJudge) else len(questions)
    outcomes: dict[str, dict[str, Sequence[float | None]]] = {name: {} for name in texts}
    for one, other in combinations(texts, 2):
        found = judge(questions[:asked], texts[one][:asked], texts[other][:asked]).outcomes
        outcomes[one][other] = found
        outcomes[other][one] = [None if value is None else 1 - value for value in found]
    return {name: {WINS: duel_table(own, tools.resamples, tools.seed)} for name, own in outcomes.items()}
