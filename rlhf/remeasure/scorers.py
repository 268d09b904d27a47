"""Measuring finished reward models on the same held-out pairs, beside what answer length and single words tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Console

from rlhf.config import Run
from rlhf.data.rows import Corpus
from rlhf.errors import UserError
from rlhf.evaluation.contract import Findings, Scores
from rlhf.evaluation.result import Evaluation, Voice
from rlhf.evaluation.reward import JudgedPairs, judge_pairs
from rlhf.models.load import load_scorer
from rlhf.pipeline import Job
from rlhf.remeasure.chain import finished_stage
from rlhf.remeasure.find import Recorded
from rlhf.remeasure.together import Together, group_of, start_gone, trained_on_them
from rlhf.stages.device import choose_device, limit_threads
from rlhf.stages.reward_pairs import examined
from rlhf.tracking import NullRun, NullTracker

SUITE = "preference"


def measure_scorers(recorded: Sequence[Recorded], runs: Sequence[Run], console: Console) -> Together:
    """Score the held-out pairs of the first run's data by every reward model; `runs` are their settings, in order."""
    limit_threads()
    voices: list[Voice] = []
    found: dict[str, Findings] = {}
    notes: list[str] = []
    pairs = 0
    corpora: dict[str, Corpus] = {}
    for one, run in zip(recorded, runs, strict=True):
        job = Job(run, choose_device(run), NullTracker(), NullRun(), console, corpora=corpora)
        corpus, spec = job.corpus("preference"), run.evaluation
        pairs = len(corpus.test)
        if not pairs:
            problem = f"{run.dataset.name} has no pair in its test part"
            raise UserError("dataset.split.test", problem, "Give it a larger share, or choose other data")
        finished, gone = finished_stage(job, one)
        notes += [*gone, *start_gone(one), *trained_on_them(one, run, corpus, corpus.test)]
        scorer = load_scorer(
            run.model,
            finished.source(job.base),
            run.quantization,
            dtype=job.device.dtype,
            device=job.device.kind,
            seed=run.seed,
        ).eval()
        judged = judge_pairs(scorer, job.codec(run.method), corpus, spec)
        findings = examined(corpus.test, judged, spec)
        name = one.stage.name
        found[name] = Findings({**_summary(judged), **findings.scores}, findings.tables, findings.notes)
        voices.append(Voice(name, "policy", one.label, finished.fingerprint, group_of(one, run), run.seed))
        corpora = job.corpora
    evaluation = Evaluation(pairs, tuple(voices), {SUITE: found}, tuple(notes), {})
    return Together(evaluation, tuple(found), tuple({} for _ in found), ())


def _summary(judged: JudgedPairs) -> Mapping[str, Scores]:
    """The numbers that a reward run ends with, told with their number of pairs."""
    values, n = judged.metrics(), len(judged.chosen)
    low, high = values.pop("final/accuracy_low"), values.pop("final/accuracy_high")
    scores = {name: Scores(value, n) for name, value in values.items() if math.isfinite(value)}
    accuracy = scores["final/accuracy"].value
    return scores | {"final/accuracy": Scores(accuracy, n, low, high, tuple(judged.right))}
