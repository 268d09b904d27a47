"""One job from start to end: build the stages it needs, measure its policy, record everything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from rlhf import ranks
from rlhf.config import MethodSpec, Run
from rlhf.data import load_corpus
from rlhf.data.cleaning.tally import Tally
from rlhf.data.inspect.findings import cheap_findings, refuse_findings
from rlhf.data.rows import Corpus
from rlhf.data.splits import shared
from rlhf.disk import folder_bytes, locked, refusing_full_disk
from rlhf.door import check_start
from rlhf.errors import RunFailure
from rlhf.evaluation.cost.energy import energy_meter
from rlhf.evaluation.cost.meter import ENERGY_SOURCE, CostMeter, pipeline_costs, repriced
from rlhf.fingerprint import file_sizes
from rlhf.lineage import Lineage, Link
from rlhf.models.codec import Codec
from rlhf.models.load import BASE, Source, load_tokenizer, resolve_base
from rlhf.ppo.rewards import try_functions
from rlhf.stages import dpo, ppo, reward, sft
from rlhf.stages.context import Device, StageContext, StageFunction, Watching, as_json
from rlhf.stages.costs import adapter_bytes
from rlhf.stages.device import release_memory
from rlhf.stages.start import Finished, Origin, stands_on, starting_weights
from rlhf.store import DATA, PARTIAL, PLAN, RESULT, Hold, file_sums, hold, is_whole, read_json, write_json
from rlhf.tracking import NullRun, NullTracker, TrackedRun, Tracker

STAGES: dict[str, StageFunction] = {"sft": sft.run, "reward": reward.run, "dpo": dpo.run, "ppo": ppo.run}


@dataclass
class Job:
    """One composed run on one device, with what its stages share."""

    run: Run
    device: Device
    tracker: Tracker | NullTracker
    tracked: TrackedRun | NullRun
    console: Console
    watching: Watching | None = None  # the training of its own stage, not of those upstream
    corpora: dict[str, Corpus] = field(
        default_factory=dict
    )  # by shape, as far as loaded; jobs on one data set share it

    def __post_init__(self) -> None:
        self.store = Path(self.run.store)
        self._built: dict[str, Finished] = {}
        self._held: list[Hold | None] = []  # what keeps the stages that it uses from being pruned
        self._reused_from: list[str] = []  # the runs that trained what it did not have to

    @cached_property
    def base(self) -> Source:
        """The model's weights before any training."""
        return resolve_base(self.run.model, self.store / "models")

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer, the same for every stage."""
        return load_tokenizer(self.run.model, self.base)

    @cached_property
    def lineage(self) -> Lineage:
        """What its stages are, by fingerprint."""
        return Lineage(self.run, self.device.kind, self.device.precision, lambda shape: self.corpus(shape).fingerprint)

    def codec(self, method: MethodSpec) -> Codec:
        """The text-to-ids rules with the method's own lengths."""
        return Codec(self.tokenizer, self.run.model, method.max_prompt_tokens, method.max_response_tokens)

    def corpus(self, shape: str) -> Corpus:
        """The dataset in one shape, loaded once; its row counts are printed and tracked."""
        if shape not in self.corpora:
            kept = self.store if self.run.reuse else None
            corpus = load_corpus(self.run.dataset, shape, kept)  # type: ignore[arg-type]  # a ClassVar of Method
            if self.run.dataset.strict:
                refuse_findings(cheap_findings(corpus, self.run.inspection.findings), corpus.name)
            self.corpora[shape] = corpus
            self.console.print(f"[bold]{corpus.name}[/] as {shape} rows: {escape(story(corpus))}", soft_wrap=True)
            for line in shared(corpus.overlap):
                self.console.print(f"  {line}", highlight=False, soft_wrap=True)
            splits = {"train": len(corpus.train), "validation": len(corpus.validation), "test": len(corpus.test)}
            self.tracked.dataset(f"{corpus.name}-{shape}", corpus.fingerprint, splits)
            self.tracked.table(
                f"row_counts_{shape}", ["step", "before", "after"], [[c.step, c.before, c.after] for c in corpus.counts]
            )
            if corpus.cleaned is not None and len(self.corpora) == 1:  # the same texts in each shape
                self._tell_cleaning(corpus.cleaned)
        return self.corpora[shape]

    def _tell_cleaning(self, tally: Tally) -> None:
        """Print and track how many texts each step of cleaning changed, and some of them before and after."""
        cleaning = self.run.dataset.cleaning  # type: ignore[union-attr]  # the toy world is not cleaned
        for line in tally.lines(cleaning.steps, cleaning.examples):
            self.console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
        examples = [list(pair) for pair in tally.examples(cleaning.examples)]
        self.tracked.table("cleaning_examples", ["before", "after"], examples)
        self.tracked.table("cleaning_steps", ["step", "texts changed", "of"], tally.table(cleaning.steps))

    def build(self, method: MethodSpec, *, upstream: bool) -> Finished:
        """Return the finished stage of `method`: reused, resumed or trained now (and its upstream stages before it)."""
        link = self.lineage.of(method)  # first: a reward source that is not there is told before anything is trained
        if not (self.run.reuses(method.name) and (link.folder / RESULT).exists()):
            try_functions(method.reward_sources, lambda: self.corpus(method.data_shape).train)
        return self._build(link, upstream)

    def _build(self, link: Link, upstream: bool) -> Finished:
        if link.fingerprint not in self._built:
            start = self._build(link.start, True) if link.start else None
            judge = self._build(link.judge, True) if link.judge else None
            if start is None and link.method.starts_from != "base":
                check_start("method", link.method, self.run)
            origin = Origin(starting_weights(link.method, start, self.base), link.origin, start, judge)
            self._built[link.fingerprint] = self._finish(link, origin, upstream)
        return self._built[link.fingerprint]

    def _finish(self, link: Link, origin: Origin, upstream: bool) -> Finished:
        """Take the stage from the store, or train it while others that need it wait."""
        method, folder = link.method, link.folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_name(f"{folder.name}.lock")) if ranks.first() else nullcontext():
            result = ranks.agreed(self._stored(link) if self.run.reuses(method.name) and ranks.first() else None)
            reused = result is not None
            if result is not None:
                result = repriced(result, self.run.hardware, self.device.precision)
                if not upstream:
                    self._resend(result["curves"])
                self._tell_reuse(link, result)
            else:
                result = self._train(link, origin, upstream)
            self._held.append(hold(folder))
        return Finished(method, folder, link.fingerprint, result, reused, origin)

    def _stored(self, link: Link) -> dict[str, Any] | None:
        """Read a finished stage's result; None where there is none, or where its files are not what was written."""
        folder = link.folder
        if not (folder / RESULT).exists():
            return None
        result = read_json(folder / RESULT)
        if result.get("fingerprint") == link.fingerprint and is_whole(folder, result):
            return result
        self.console.print(
            f"[yellow]damaged[/] {folder.name}: its files are not as they were written, it is built anew"
        )
        return None

    def _tell_reuse(self, link: Link, result: Mapping[str, Any]) -> None:
        """Say what a stage that is not trained again saves, and link it with the run that trained it, both ways."""
        name, trained_by = link.method.name, str(result.get("run_id") or "")
        usd = result["metrics"].get("cost/usd")
        saved = lasted(result["metrics"]["cost/seconds"]) + (f", ${usd:.2g}" if usd is not None else "")
        self.console.print(f"[green]reused[/] {link.folder.name} (saved {saved})", highlight=False, soft_wrap=True)
        self.tracked.tags({f"reused.{name}": link.folder.name})
        if trained_by:
            self._reused_from.append(trained_by)
            self.tracked.tags({f"reused_from.{name}": trained_by, "reused_from": ",".join(self._reused_from)})
            self.tracker.tag_run(trained_by, {f"reused_by.{self.tracked.id}": name})

    def _resend(self, curves: Mapping[str, Any]) -> None:
        """Give a job that trains nothing itself the curves of the stage that it reuses."""
        for name, points in curves.items():
            for step, value in points:
                self.tracked.metrics({name: value}, int(step))

    def _train(self, link: Link, origin: Origin, upstream: bool) -> dict[str, Any]:
        """Run the stage in a `.partial` folder that takes the final name when it is complete."""
        method, folder = link.method, link.folder
        work, codec = folder.with_name(f"{folder.name}{PARTIAL}"), self.codec(method)
        if ranks.first():
            self._prepare(link, origin, work)
        ranks.together()
        release_memory()
        self.console.print(f"[bold]{method.name}[/] on {self.run.model.name} -> {folder}")
        with self._stage_run(method, folder.name, upstream) as tracked, refusing_full_disk(work):
            energy = energy_meter(self.run.hardware, self.device.kind)
            meter = CostMeter(self.run.hardware, self.device.kind, self.device.precision, energy)
            context = StageContext(
                run=self.run,
                method=method,
                source=origin.source,
                judge=origin.judge.folder if origin.judge else None,
                corpus=self.corpus(method.data_shape),
                codec=codec,
                device=self.device,
                folder=work,
                watching=None if upstream else self.watching,
                references=link.references if self.run.reuses(method.name) else None,
                store=self.store if self.run.reuses(method.name) else None,
                tracked=tracked,
                meter=meter,
                console=self.console,
            )
            try:
                with meter:
                    result = as_json(STAGES[method.name](context))
            except Exception as error:
                hopeless = isinstance(error, RunFailure) and not error.resumable  # it would only happen again
                if hopeless or not any(work.glob("checkpoints/checkpoint-*")):
                    shutil.rmtree(work, ignore_errors=True)  # there is nothing to go on from
                raise
            if not ranks.first():
                return ranks.agreed(result)
            self._tell_cuts(context.codec, method)
            left = {"cost/artifact_bytes": folder_bytes(work / "model")} | adapter_bytes(work / "model")
            result["metrics"] |= meter.report() | left
            result[ENERGY_SOURCE] = meter.energy_source
            tracked.metrics(result["metrics"], None)
            tracked.tags({ENERGY_SOURCE: meter.energy_source or "none"})
            (work / "run.json").write_text(self.run.model_dump_json(indent=1, exclude={"tracking"}), encoding="utf-8")
            result |= {"fingerprint": link.fingerprint, "run_id": tracked.id, "sizes": file_sizes(work / "model")}
            result |= {"sums": file_sums(work, ("model", BASE)), DATA: context.corpus.fingerprint}
            write_json(work / RESULT, result)
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(work, folder)
            tracked.artifact_reference("model", folder / "model")
        return ranks.agreed(result)

    def _prepare(self, link: Link, origin: Origin, work: Path) -> None:
        """Make the stage's unfinished folder; what an earlier attempt left in it goes where it may not be reused."""
        if not self.run.reuses(link.method.name):
            shutil.rmtree(work, ignore_errors=True)
        work.mkdir(exist_ok=True)
        below = [stage.fingerprint for stage in (origin.start, origin.judge) if stage is not None]
        write_json(work / PLAN, {"fingerprint": link.fingerprint, "needs": below})

    def _tell_cuts(self, codec: Codec, method: MethodSpec) -> None:
        """Say how many texts did not fit; a reward model reads each prompt twice, with either answer."""
        prompts = ("prompt kept only its end", "prompts kept only their end")
        answers = ("answer lost its end", "answers lost their end")
        for count, (one, several), limit in (
            (codec.truncated_prompts, prompts, f"max_prompt_tokens={method.max_prompt_tokens}"),
            (codec.cut_responses, answers, f"max_response_tokens={method.max_response_tokens}"),
        ):
            if count:
                what = one if count == 1 else several
                self.console.print(f"  {method.name}: {count} {what} ({limit})", highlight=False)

    @contextmanager
    def _stage_run(self, method: MethodSpec, name: str, upstream: bool) -> Any:
        """The job's own run, or for a stage upstream of it a run of that stage's own, linked both ways."""
        if not upstream:
            yield self.tracked
            return
        tags = {"built_for": self.tracked.id, "stage": method.name}
        tracked = self.tracker.start_run(name, role="stage", tags=tags, params=method.model_dump())
        self.tracked.tags({f"built.{method.name}": tracked.id})
        try:
            yield tracked
        except BaseException as error:
            tracked.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise
        tracked.end("FINISHED")

    def pipeline_cost(self, finished: Finished) -> dict[str, float]:
        """Sum the cost of a stage and of all that it stands on, each once, as `cost/pipeline_*`."""
        results = [stage.result["metrics"] for stage in stands_on(finished)]
        own = [{name: value for name, value in metrics.items() if name.startswith("cost/")} for metrics in results]
        return pipeline_costs(own)


def story(corpus: Corpus) -> str:
    """One line of row counts: what was read, what each filter dropped, what each split got."""
    parts = []
    for count in corpus.counts:
        if count.step in SPLITS:
            parts.append(f"{count.step} {count.after}")
        elif count.after != count.before:
            parts.append(f"{count.step} {count.after - count.before:+d}")
    return ", ".join(parts)


def lasted(seconds: float) -> str:
    """A span in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


SPLITS = ("read", "train", "validation", "test")
