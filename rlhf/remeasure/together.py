"""Measuring finished policies on the same questions with the same settings, whatever trained them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from rlhf.config import Run
from rlhf.data import load_corpus
from rlhf.data.rows import Corpus, Row
from rlhf.errors import UserError
from rlhf.evaluation.controls import references
from rlhf.evaluation.policy import evaluation_prompts
from rlhf.evaluation.result import Evaluation
from rlhf.fingerprint import digest
from rlhf.pipeline import Job
from rlhf.recording.evaluation import sample_answers
from rlhf.remeasure.chain import finished_stage, judge_of
from rlhf.remeasure.find import Recorded
from rlhf.spec import STARTS
from rlhf.stages.device import choose_device, limit_threads
from rlhf.stages.evaluate import Evaluator
from rlhf.stages.speakers import Model, distinct
from rlhf.stages.suites import measure
from rlhf.store import DATA
from rlhf.tracking import NullRun, NullTracker

NOT_TRAINING = {"seed", "store", "reuse", "inspection", "evaluation", "hardware", "tracking"}


@dataclass(frozen=True)
class Together:
    """What measuring several runs together left."""

    found: Evaluation
    speakers: tuple[str, ...]  # names of the runs' own models, in their order
    chains: tuple[Mapping[str, str], ...]  # of each run: names of the speakers that its model came from, by role
    samples: tuple[dict[str, Any], ...]  # {prompt, reference, answers: {speaker: text}}


def measure_policies(recorded: Sequence[Recorded], runs: Sequence[Run], console: Console) -> Together:
    """Sample every policy and its controls once and run the suites; `runs` are their settings, in the same order.

    All are asked the questions of the first run's data set and judged by its judge. Raises `UserError` where the data
    has no reference answers.
    """
    limit_threads()
    models: list[Model] = []
    notes: list[str] = []
    first: Evaluator | None = None
    for one, run in zip(recorded, runs, strict=True):
        corpora = {} if first is None else first.job.corpora
        job = Job(run, choose_device(run), NullTracker(), NullRun(), console, corpora=corpora)
        questions = evaluation_prompts(job.corpus("demonstration"), run.evaluation)
        if first is None:
            _refuse_no_references(questions, run)
        finished, gone = finished_stage(job, one)
        notes += [*gone, *start_gone(one), *trained_on_them(one, run, job.corpus("demonstration"), questions)]
        judge = judge_of(job, one, finished) if first is None and run.evaluation.judge == "reward" else None
        if judge is None and first is None and run.evaluation.judge == "reward":
            problem = f"the store has no reward stage that judged {one.label}"
            other = "evaluation.judge=none; evaluation.preference.judge=FOLDER names a finished reward stage"
            raise UserError("evaluation.judge=reward", problem, f"Use {other}")
        evaluator = Evaluator(job, judge, first)
        first = first or evaluator
        for row in evaluator.answers(finished):
            group = group_of(one, run) if row.role == "policy" else _group_below(one, run, evaluator)
            models.append(Model(row, evaluator, group, run.seed, one.label))
    assert first is not None, "there is at least one run"
    found = measure(models, first.spec.suites)
    found = Evaluation(found.questions, found.speakers, found.suites, (*found.notes, *notes), found.failures)
    chains: list[dict[str, str]] = [{}]
    for model, name in zip(models, distinct(models)[1], strict=True):
        chains[-1][model.row.role] = name
        if model.row.role == "policy":  # a run's own model ends its chain
            chains.append({})
    speakers = tuple(chain.pop("policy") for chain in chains[:-1])
    return Together(found, speakers, tuple(chains[:-1]), tuple(sample_answers(first, models, found)))


def group_of(one: Recorded, run: Run) -> str:
    """Return what runs share that were trained alike but for their seed."""
    return digest([run.model_dump(exclude=NOT_TRAINING), one.stage.name.partition("-")[0], one.settings["dataset"]])


def _group_below(one: Recorded, run: Run, evaluator: Evaluator) -> str:
    """Return what the models share that such runs started from: how these were trained, and how they are asked."""
    shared = run.model_dump(exclude=NOT_TRAINING | {"method", "upstream"})
    asked = [evaluator.codec.max_prompt_tokens, evaluator.codec.max_response_tokens]
    return digest([shared, run.upstream.sft.model_dump(), run.method.starts_from, asked, one.settings["dataset"]])


def _refuse_no_references(questions: Sequence[Row], run: Run) -> None:
    if not any(text.strip() for text in references(questions)):
        problem = f"{run.dataset.name} has no reference answers in its test part ({len(questions)} prompts)"
        raise UserError("dataset", problem, "Choose data with answers: dataset=NAME dataset.path=FILE")


def start_gone(one: Recorded) -> list[str]:
    """Say that a run's starting weights are gone, so that it stands beside the base model."""
    start = str(one.settings["method"]["starts_from"])
    if start in STARTS or Path(start).is_dir():
        return []
    return [f"{one.label}: the weights that it started from are gone from {start}; it is compared with the base model."]


def trained_on_them(one: Recorded, run: Run, asked: Corpus, questions: Sequence[Row]) -> list[str]:
    """Say how many `questions` of the corpus `asked` a run was trained on, where its own data is another.

    The same settings may read other rows by now: the rows that it was trained on are known by their fingerprint.
    """
    from pydantic import TypeAdapter

    from rlhf.dataset_spec import DatasetSpec

    try:
        own = TypeAdapter(DatasetSpec).validate_python(one.settings["dataset"])
        then = one.result.get(DATA)
        if own == run.dataset and then is None:  # its version kept no fingerprint
            return []
        trained = load_corpus(own, run.method.data_shape, Path(run.store))
    except ValueError as error:
        return [f"{one.label}: whether it was trained on these questions could not be checked ({error})"]
    if then is not None and then != trained.fingerprint:
        changed = f"its data, {own.name}, has changed since it was trained"
        return [f"{one.label}: {changed}: whether it was trained on these questions is not known."]
    if own == run.dataset or trained.fingerprint == asked.fingerprint:
        return []
    known = {str(row.prompt) for row in trained.train}
    seen = sum(str(row.prompt) in known for row in questions)
    if not seen:
        return []
    return [f"{one.label} was trained on {seen} of these {len(questions)} questions: its numbers are too good."]
