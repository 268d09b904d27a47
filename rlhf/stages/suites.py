"""Running suites of metrics over speakers: the references, every model, and the control lines of nonsense.

What a suite finds in one speaker's answers is kept in the store and not computed twice; a suite that fails is told in
one line and takes nothing from the others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from rlhf.data.rows import Row as Question
from rlhf.disk import locked
from rlhf.errors import RunFailure, UserError
from rlhf.evaluation.contract import Findings, Scorer, Suite, Table, Tools
from rlhf.evaluation.controls import NONSENSE, nonsense, references
from rlhf.evaluation.policy import evaluation_prompts
from rlhf.evaluation.result import Evaluation, dump_findings, load_findings
from rlhf.evaluation.suites import build_suite, is_live, module_of
from rlhf.fingerprint import digest, environment, file_sizes, loading_packages, versions
from rlhf.models.sample import response_logprobs
from rlhf.sources import suite_digest
from rlhf.stages.evaluate import Evaluator
from rlhf.stages.readers import identity
from rlhf.stages.speakers import ORDER, Entry, Model, control, distinct
from rlhf.store import lock_of, read_json, write_json

LIBRARIES = ("sacrebleu", "rouge-score", "evaluate", "bert-score", "scikit-learn", "py3langid", "phonenumbers", "scipy")


def measure(models: Sequence[Model], suites: Sequence[str]) -> Evaluation:
    """Run `suites` on the references, `models` and nonsense: same questions for all, which all models have answered.

    Models that answer alike under one fingerprint are one speaker. Base model, judge and training rows that a suite
    asks for are those of the first model's job.
    """
    first = models[0].evaluator
    questions = evaluation_prompts(first.job.corpus("demonstration"), first.spec)
    lines, notes = nonsense(questions, first.codec, first.spec.seed)
    answered, _ = distinct(models)
    good = tuple(references(questions))
    bad = [control(role, tuple(lines[role])) for role in NONSENSE if role in lines]
    entries = [control("reference", good), *answered, *bad]
    bench = _Bench(first, questions)
    found: dict[str, dict[str, Findings]] = {}
    failures: dict[str, str] = {}
    for suite in sorted(suites, key=lambda name: is_live(module_of(name))):  # models come after texts
        try:
            found[suite] = bench.run(suite, entries)
        except Exception as error:
            failures[suite] = _failure(suite, error)
    return Evaluation(
        questions=len(questions),
        speakers=tuple(entry.voice for entry in entries),
        suites={suite: found[suite] for suite in suites if suite in found},
        notes=tuple(notes),
        failures=failures,
    )


class _Bench:
    """What suites are run with: questions, tools and the store."""

    def __init__(self, evaluator: Evaluator, questions: Sequence[Question]) -> None:
        self.evaluator, self.questions = evaluator, questions
        self.job, self.spec = evaluator.job, evaluator.spec
        self.asked: dict[str, str] = {}  # shapes of training rows that the suite at work has read, by fingerprint
        self.tools = Tools(
            train=self._train,
            logprobs=self._logprobs,
            judge=lambda: self.evaluator.judge,
            resamples=self.spec.bootstrap,
            seed=self.spec.seed,
            store=self.job.store / "measures",
            judge_in=self._judge_in,
            gold=self.job.corpus("demonstration").gold,
            held_out=self._held_out,
            say=lambda line: self.job.console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True),
        )

    def run(self, name: str, entries: Sequence[Entry]) -> dict[str, Findings]:
        """Run one suite over all speakers, a live one over the models among them."""
        module = module_of(name)
        live = is_live(module)
        self.asked = {}
        suite = cache(lambda: build_suite(name, getattr(self.spec, name), self.tools))
        roles = getattr(module, "ROLES", ORDER)  # of the models that a live suite measures
        told = (
            [entry for entry in entries if entry.model is not None and entry.voice.role in roles] if live else entries
        )
        found = {}
        with self.evaluator.progress(f"measuring {name}", len(told)) as advance:
            for done, entry in enumerate(told, start=1):
                work = self._live(module, name, entry) if live else self._read(suite, entry)
                found[entry.voice.name] = self._found(name, module, entry, work)
                advance(done)
        if (compare := getattr(module, "compare", None)) is not None:
            models = [entry for entry in entries if entry.model is not None]
            for speaker, tables in self._compared(name, module, compare, models).items():
                found[speaker] = replace(found[speaker], tables={**found[speaker].tables, **tables})
        return found

    def _found(self, name: str, module: Any, entry: Entry, work: Callable[[], Findings]) -> Findings:
        label = f"{name}-{entry.voice.name}-{self._key(name, module, entry)[:12]}"
        return load_findings(self._kept(label, module, lambda: dump_findings(work(), whole=True)))

    def _compared(
        self, name: str, module: Any, compare: Callable[..., Mapping[str, Mapping[str, Table]]], models: Sequence[Entry]
    ) -> dict[str, Mapping[str, Table]]:
        """Return the tables in which a suite sets each model beside the others."""
        texts = {entry.voice.name: entry.texts for entry in models}

        def work() -> dict[str, Any]:
            found = compare(getattr(self.spec, name), self.tools, self.questions, texts)
            return {speaker: dump_findings(Findings({}, tables, ()), whole=True) for speaker, tables in found.items()}

        key = digest([[entry.voice.name, self._key(name, module, entry)] for entry in models])
        kept = self._kept(f"{name}-compared-{key[:12]}", module, work)
        return {speaker: load_findings(values).tables for speaker, values in kept.items()}

    def _read(self, suite: Callable[[], Suite], entry: Entry) -> Callable[[], Findings]:
        return lambda: suite()(self.questions, list(entry.texts))

    def _live(self, module: Any, name: str, entry: Entry) -> Callable[[], Findings]:
        model = entry.model
        assert model is not None, "only models are measured live"

        def work() -> Findings:
            self.__dict__.pop("_base", None)  # two models at once may be one too many
            evaluator, row = model.evaluator, model.row
            policy, codec = evaluator.load(row.source), evaluator.codec
            before = row.reference
            tools = self.tools if before is None else replace(self.tools, reference=lambda: evaluator.load(before))
            findings: Findings = module.measure(policy, codec, self.questions, getattr(self.spec, name), tools)
            return findings

        return work

    def _kept(self, label: str, module: Any, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Take what the same suite found in the same answers before, or do the `work` and keep it; plain values."""
        if not getattr(module, "KEEP", True):
            return work()
        file = self.job.store / "evaluations" / f"{label}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        with locked(lock_of(file)):
            kept = read_json(file) if self.job.run.reuse else {}
            if kept and all(self.job.corpus(shape).fingerprint == seen for shape, seen in kept["trained_on"].items()):
                with suppress(OSError):  # a store that may only be read
                    os.utime(file, ns=(time.time_ns(), file.stat().st_mtime_ns))
                self.asked |= kept["trained_on"]
                found: dict[str, Any] = kept["findings"]
                return found
            found = work()
            write_json(file, {"findings": found, "trained_on": self.asked})
        return found

    def _key(self, name: str, module: Any, entry: Entry) -> str:
        """Hash all that findings depend on but the training rows, which are known once a suite has asked for them."""
        job, spec, model = self.job, getattr(self.spec, name), entry.model
        settings, live = spec.model_dump(), is_live(module)
        evaluator = self.evaluator if model is None else model.evaluator
        return digest(
            [
                name,
                settings,
                [[_bytes_at(place) for place in _places(settings)], identity(spec)],
                suite_digest(module.__name__),
                versions({*LIBRARIES, *loading_packages(job.run)}),
                list(entry.texts),
                [self.corpus_fingerprint, self.spec.prompts, self.spec.seed, self.spec.bootstrap],
                [job.lineage.base, self.spec.judge, self.evaluator.scorer and self.evaluator.scorer.fingerprint],
                [entry.voice.fingerprint, job.run.hardware.name, str(model and model.row.reference)] if live else None,
                [evaluator.codec.max_prompt_tokens, evaluator.codec.max_response_tokens],
                [environment(), job.device.kind, job.device.precision, job.run.quantization.model_dump(), job.run.seed],
            ]
        )

    @cached_property
    def corpus_fingerprint(self) -> str:
        return self.job.corpus("demonstration").fingerprint

    def _train(self, shape: str) -> Sequence[Question]:
        corpus = self.job.corpus(shape)
        self.asked[shape] = corpus.fingerprint
        return corpus.train

    def _held_out(self, shape: str) -> Sequence[Question]:
        corpus = self.job.corpus(shape)
        self.asked[shape] = corpus.fingerprint
        return corpus.test

    def _judge_in(self, folder: Path) -> Scorer:
        """Load the reward model of a finished stage, whatever run trained it."""
        from rlhf.ppo.rewards.base import RewardParts
        from rlhf.ppo.rewards.stage import folder_scorer

        device = self.job.device
        parts = RewardParts(None, None, device.kind, device.dtype, self.spec.batch_size)
        scores = folder_scorer(f"in {folder}", folder, parts)
        return lambda pairs: scores([Question(tuple(prompt), "") for prompt, _ in pairs], [text for _, text in pairs])

    @cached_property
    def _base(self) -> Any:
        return self.evaluator.load(self.job.base)

    def _logprobs(self, questions: Sequence[Question], texts: Sequence[str]) -> Iterator[list[float]]:
        codec = self.evaluator.codec
        prompts = [codec.prompt_ids(row.prompt) for row in questions]
        responses = [codec.response_ids(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda at: len(prompts[at]) + len(responses[at]))  # saves padding
        found = response_logprobs(
            self._base,
            codec,
            [prompts[at] for at in order],
            [responses[at] for at in order],
            batch_size=self.spec.batch_size,
            temperature=1.0,
        )
        by_place = dict(zip(order, found, strict=True))
        yield from (by_place[at].tolist() for at in range(len(texts)))


def _places(values: Any) -> Iterator[Path]:
    """Yield the files and folders that settings name."""
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, list | tuple):
        for value in values:
            yield from _places(value)
    elif isinstance(values, str) and len(values) < 4096 and "\n" not in values and (place := Path(values)).exists():
        yield place


def _bytes_at(place: Path) -> Any:
    """What shows that a file or folder has changed, without reading all of it."""
    if place.is_dir():
        return [file_sizes(place), max((file.stat().st_mtime_ns for file in place.rglob("*")), default=0)]
    return [place.stat().st_size, place.stat().st_mtime_ns]


def _failure(suite: str, error: Exception) -> str:
    """Tell in one line which suite failed and why."""
    if isinstance(error, UserError | RunFailure):
        return f"evaluation.{suite}: {error}" if suite not in error.place else str(error)
    problem = " ".join(str(error).split()) or "no message"
    remedy = f"Leave it out of evaluation.suites, or change evaluation.{suite}"
    return str(RunFailure(f"evaluation.{suite}", f"it failed ({type(error).__name__}: {problem[:300]})", remedy))
