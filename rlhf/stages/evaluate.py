"""Measuring a finished policy between its controls: the base model and the policy it started from."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rlhf.config import DPO
from rlhf.disk import locked
from rlhf.evaluation.policy import Answers, Judge, against, answer, evaluation_prompts, pair_margin
from rlhf.fingerprint import digest, environment, loading_packages, versions
from rlhf.models.load import Source, load_policy, load_scorer
from rlhf.models.score import score
from rlhf.sources import source_digest
from rlhf.store import lock_of, read_json, write_json

if TYPE_CHECKING:
    from rlhf.pipeline import Job
    from rlhf.stages.start import Finished

# what of the evaluation's settings can change an answer or its score; no suite can
SAMPLED = {"prompts", "batch_size", "max_new_tokens", "temperature", "judge", "seed"}


@dataclass(frozen=True)
class Row:
    """One line of the comparison: a control or the job's own policy."""

    name: str
    role: str  # base | start | sft | policy
    fingerprint: str
    metrics: Mapping[str, float]
    texts: list[str]
    rewards: list[float] | None
    gold: list[float] | None
    source: Source
    reference: Source | None  # the model that its KL and implicit reward are measured against
    right: list[float] | None = None  # of each held-out pair, by the implicit reward: 1, 0, 0.5 on a tie


class Evaluator:
    """Samples and scores the policies of one job; answers are kept beside the stages and never sampled twice.

    `scorer` is the finished reward stage that judges, where one is at hand; else it is built where `judge` asks for
    one. `alike` is another job's evaluator, whose judge judges here, too.
    """

    def __init__(self, job: Job, scorer: Finished | None = None, alike: Evaluator | None = None) -> None:
        self.job = job
        self.spec = job.run.evaluation
        self.codec = job.codec(job.run.method)
        self.alike = alike
        self.scorer: Finished | None = alike.scorer if alike else scorer if self.spec.judge == "reward" else None
        if self.spec.judge == "reward" and self.scorer is None:
            self.scorer = job.build(job.run.upstream.reward, upstream=True)

    def rows(self, finished: Finished) -> list[Row]:
        """Measure the base model, the policy that the job started from and the job's own, in this order."""
        rows = self.answers(finished)
        if finished.method.has_implicit_reward:
            margins, right = self._margins(finished)
            rows[-1] = replace(rows[-1], metrics={**rows[-1].metrics, **margins}, right=right)
        return rows

    def answers(self, finished: Finished) -> list[Row]:
        """Do the same without what is measured on pairs of answers."""
        chain = [finished]
        while chain[-1].origin.start is not None:
            chain.append(chain[-1].origin.start)
        take = bool(self.job.run.reuse)
        base = self._row("base", "base", self.job.base, self.job.lineage.base, None, {}, take)
        rows = [base]
        reference: tuple[Row, Source] = (base, self.job.base)
        first = chain[-1]
        if first.origin.fingerprint != self.job.lineage.base:  # method.starts_from names a folder
            start = self._row("start", "start", first.origin.source, first.origin.fingerprint, reference, {}, take)
            rows.append(start)
            reference = (start, first.origin.source)
        for stage in reversed(chain):
            role = "policy" if stage is finished else stage.method.name
            source = stage.source(self.job.base)
            own = dict(stage.result["metrics"]) | self.job.pipeline_cost(stage)
            take = self.job.run.reuses(stage.method.name)
            row = self._row(stage.name, role, source, stage.fingerprint, reference, own, take)
            rows.append(row)
            reference = (row, source)
        return rows

    def _row(
        self,
        name: str,
        role: str,
        source: Source,
        fingerprint: str,
        reference: tuple[Row, Source] | None,
        own: dict[str, float],
        take: bool,
    ) -> Row:
        answers = self._answers(name, source, fingerprint, reference, take)
        metrics = own | answers.metrics
        if role in ("sft", "policy"):
            metrics.setdefault("final/loss", answers.metrics["final/nll"])  # SFT's own objective on held-out data
        before_it = reference[1] if reference else None
        if reference is not None:
            before = Answers(reference[0].texts, {}, reference[0].rewards, reference[0].gold)
            metrics |= against(answers, before, self.spec)
        return Row(name, role, fingerprint, metrics, answers.texts, answers.rewards, answers.gold, source, before_it)

    def _answers(
        self, name: str, source: Source, fingerprint: str, reference: tuple[Row, Source] | None, take: bool
    ) -> Answers:
        """Sample, or `take` what a job sampled from the same policy with the same settings and judge.

        Jobs that need the same answers at once wait for the one that samples them.
        """
        corpus = self.job.corpus("demonstration")
        settings = [
            self.spec.model_dump(include=SAMPLED),
            fingerprint,
            reference[0].fingerprint if reference else None,
            self.scorer.fingerprint if self.scorer else None,
            corpus.fingerprint,
            self.job.run.quantization.model_dump(),
            self.job.run.seed,
            [self.codec.max_prompt_tokens, self.codec.max_response_tokens],
            [versions(loading_packages(self.job.run)), environment(), source_digest("evaluate")],
            self.job.device.kind,
            self.job.device.precision,
        ]
        file = self.job.store / "evaluations" / f"{name}-{digest(settings)[:12]}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        with locked(lock_of(file)):
            if take and (kept := read_json(file)):
                with suppress(OSError):  # a store that may only be read
                    os.utime(file, ns=(time.time_ns(), file.stat().st_mtime_ns))
                return Answers.load(kept)
            total = len(evaluation_prompts(corpus, self.spec))
            with self.progress(f"answers of {name}", total) as advance:
                answers = answer(
                    self.load(source),
                    self.load(reference[1]) if reference else None,
                    self.codec,
                    corpus,
                    self.spec,
                    self.judge,
                    advance,
                )
            write_json(file, answers.dump())
        return answers

    def _margins(self, finished: Finished) -> tuple[dict[str, float], list[float]]:
        assert isinstance(finished.method, DPO)
        return pair_margin(
            self.load(finished.source(self.job.base)),
            self.load(finished.origin.source),
            self.codec,
            self.job.corpus("preference").test,
            finished.method.beta,
            self.spec.batch_size,
        )

    def load(self, source: Source) -> Any:
        """Load a policy of this job, ready to answer."""
        job = self.job
        model = load_policy(
            job.run.model,
            source,
            job.run.quantization,
            dtype=job.device.dtype,
            device=job.device.kind,
            seed=job.run.seed,
        )
        return model.eval()

    @cached_property
    def judge(self) -> Judge | None:
        """The reward that ranks answers: the gold one, the reward stage's, or none."""
        job = self.job
        if self.alike is not None:
            return self.alike.judge
        if self.spec.judge == "gold":
            corpus = job.corpus("demonstration")
            assert corpus.gold is not None, "cross-checked when the run was built"
            rows = {str(row.prompt): row for row in corpus.test}
            gold = corpus.gold
            return lambda pairs: [gold(rows[str(prompt)], text) for prompt, text in pairs]
        if self.scorer is None:
            return None
        scorer = load_scorer(
            job.run.model,
            self.scorer.source(job.base),
            job.run.quantization,
            dtype=job.device.dtype,
            device=job.device.kind,
            seed=job.run.seed,
        ).eval()
        codec = job.codec(self.scorer.method)
        return lambda pairs: score(scorer, codec, pairs, batch_size=self.spec.batch_size)

    @contextmanager
    def progress(self, what: str, total: int) -> Any:
        """Show a bar while the block runs, on a terminal; it is given what to call with the number of things done."""
        from rich.progress import Progress

        with Progress(console=self.job.console, transient=True, disable=not self.job.console.is_terminal) as progress:
            task = progress.add_task(f"  {what}", total=total)
            yield lambda done: progress.update(task, completed=done)
