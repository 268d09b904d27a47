"""One job from start to end: build the stages it needs, measure its policy, record everything."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from rlhf import ranks
from rlhf.config import MethodSpec, Run
from rlhf.data import load_corpus
from rlhf.data.rows import Corpus
from rlhf.disk import folder_bytes, locked, refusing_full_disk
from rlhf.door import check_start
from rlhf.errors import RunFailure
from rlhf.evaluation.cost import CostMeter, pipeline_costs, priced
from rlhf.fingerprint import base_identity, digest, digest_files, file_sizes, stage_fingerprint
from rlhf.models.codec import Codec
from rlhf.models.load import BASE, Source, load_tokenizer, resolve_base
from rlhf.ppo.rewards import identities, try_functions
from rlhf.stages import dpo, ppo, reward, sft
from rlhf.stages.context import Device, StageContext, StageFunction, as_json
from rlhf.tracking import NullRun, NullTracker, TrackedRun, Tracker

STAGES: dict[str, StageFunction] = {"sft": sft.run, "reward": reward.run, "dpo": dpo.run, "ppo": ppo.run}


@dataclass(frozen=True)
class Origin:
    """What a stage stands on."""

    source: Source  # the weights it starts from
    fingerprint: str  # of those weights
    start: Finished | None  # the stage that made them; None for the base model or a folder
    judge: Finished | None  # the reward stage that teaches it


@dataclass(frozen=True)
class Finished:
    """A stage that is complete: its folder holds `model/` and `result.json`."""

    method: MethodSpec
    folder: Path
    fingerprint: str
    result: Mapping[str, Any]
    reused: bool
    origin: Origin

    @property
    def name(self) -> str:
        """Its folder's name, method and model first."""
        return self.folder.name

    def source(self, base: Source) -> Source:
        """The weights it leaves: a whole model, or an adapter on the base."""
        model = self.folder / "model"
        if not (model / "adapter_config.json").exists():
            return Source(base=model, adapter=None, kind="folder")
        own = self.folder / BASE
        if own.exists():
            return Source(base=own, adapter=model, kind="folder")
        return Source(base=base.base, adapter=model, kind=base.kind)


@dataclass
class Job:
    """One composed run on one device, with what its stages share."""

    run: Run
    device: Device
    tracker: Tracker | NullTracker
    tracked: TrackedRun | NullRun
    console: Console

    def __post_init__(self) -> None:
        self.store = Path(self.run.store)
        self._corpora: dict[str, Corpus] = {}
        self._built: dict[str, Finished] = {}

    @cached_property
    def base(self) -> Source:
        """The model's weights before any training."""
        return resolve_base(self.run.model, self.store / "models")

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer, the same for every stage."""
        return load_tokenizer(self.run.model, self.base)

    @cached_property
    def base_fingerprint(self) -> str:
        """Hash of the untrained model."""
        return digest(base_identity(self.run.model))

    def codec(self, method: MethodSpec) -> Codec:
        """The text-to-ids rules with the method's own lengths."""
        return Codec(self.tokenizer, self.run.model, method.max_prompt_tokens, method.max_response_tokens)

    def corpus(self, shape: str) -> Corpus:
        """The dataset in one shape, loaded once; its row counts are printed and tracked."""
        if shape not in self._corpora:
            corpus = load_corpus(self.run.dataset, shape)  # type: ignore[arg-type]  # a ClassVar of Method
            self._corpora[shape] = corpus
            self.console.print(f"[bold]{corpus.name}[/] as {shape} rows: {escape(story(corpus))}", soft_wrap=True)
            splits = {"train": len(corpus.train), "validation": len(corpus.validation), "test": len(corpus.test)}
            self.tracked.dataset(f"{corpus.name}-{shape}", corpus.fingerprint, splits)
            self.tracked.table(
                f"row_counts_{shape}", ["step", "before", "after"], [[c.step, c.before, c.after] for c in corpus.counts]
            )
        return self._corpora[shape]

    def build(self, method: MethodSpec, *, upstream: bool) -> Finished:
        """Return the finished stage of `method`: reused, resumed or trained now (and its upstream stages before it)."""
        named = identities(method.reward_sources)  # first: what is wrong there is told before anything is trained
        try_functions(method.reward_sources, lambda: self.corpus(method.data_shape).train)
        origin = self._origin(method)
        teachers = [*([origin.judge.fingerprint] if origin.judge else []), *(named[name] for name in sorted(named))]
        upstream_of_it = digest([origin.fingerprint, *teachers])
        fingerprint = stage_fingerprint(
            self.run,
            method,
            self.corpus(method.data_shape).fingerprint,
            upstream_of_it,
            self.device.kind,
            self.device.precision,
        )
        if fingerprint not in self._built:
            self._built[fingerprint] = self._finish(method, origin, fingerprint, upstream)
        return self._built[fingerprint]

    def _origin(self, method: MethodSpec) -> Origin:
        """Find or build what `method` stands on."""
        source, start = self._start(method)
        judge = self.build(self.run.upstream.reward, upstream=True) if method.uses_reward_stage else None
        return Origin(source, start.fingerprint if start else self._untrained(method), start, judge)

    def _finish(self, method: MethodSpec, origin: Origin, fingerprint: str, upstream: bool) -> Finished:
        """Take the stage from the store, or train it while others that need it wait."""
        folder = self.store / f"{method.name}-{self.run.model.name}-{fingerprint[:12]}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_name(f"{folder.name}.lock")) if ranks.first() else nullcontext():
            result = ranks.agreed(self._stored(folder) if self.run.reuse and ranks.first() else None)
            if result is not None:
                result["metrics"] = priced(result["metrics"], self.run.hardware, self.device.precision)
                if not upstream:
                    self._resend(result["curves"])
                self.console.print(f"[green]reused[/] {folder.name}")
                self.tracked.tags({f"reused.{method.name}": folder.name})
                return Finished(method, folder, fingerprint, result, True, origin)
            result = self._train(method, origin, folder, upstream)
        return Finished(method, folder, fingerprint, result, False, origin)

    def _stored(self, folder: Path) -> dict[str, Any] | None:
        """Read a finished stage's result; None where there is none, or where its files are not what was written."""
        if not (folder / "result.json").exists():
            return None
        result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        if file_sizes(folder / "model") == result["sizes"]:
            return result
        self.console.print(
            f"[yellow]damaged[/] {folder.name}: its files are not as they were written, it is built anew"
        )
        return None

    def _resend(self, curves: Mapping[str, Any]) -> None:
        """Give a job that trains nothing itself the curves of the stage that it reuses."""
        for name, points in curves.items():
            for step, value in points:
                self.tracked.metrics({name: value}, int(step))

    def _untrained(self, method: MethodSpec) -> str:
        """Hash the weights of a method that no stage of ours comes before: the base model, or a folder's bytes too."""
        if method.starts_from == "base":
            return self.base_fingerprint
        return digest([self.base_fingerprint, digest_files(Path(method.starts_from))])

    def _start(self, method: MethodSpec) -> tuple[Source, Finished | None]:
        """Find what weights a method starts from: the base, a trained stage, or a folder."""
        if method.starts_from == "base":
            return self.base, None
        if method.starts_from == "sft":
            finished = self.build(self.run.upstream.sft, upstream=True)
            return finished.source(self.base), finished
        check_start("method", method, self.run)
        folder = Path(method.starts_from)
        if (folder / "adapter_config.json").exists():
            return Source(base=self.base.base, adapter=folder, kind=self.base.kind), None
        return Source(base=folder, adapter=None, kind="folder"), None

    def _train(self, method: MethodSpec, origin: Origin, folder: Path, upstream: bool) -> dict[str, Any]:
        """Run the stage in a `.partial` folder that takes the final name when it is complete."""
        work, codec = folder.with_name(f"{folder.name}.partial"), self.codec(method)
        work.mkdir(exist_ok=True)
        ranks.together()
        self.console.print(f"[bold]{method.name}[/] on {self.run.model.name} -> {folder}")
        with self._stage_run(method, folder.name, upstream) as tracked, refusing_full_disk(work):
            meter = CostMeter(self.run.hardware, self.device.kind, self.device.precision)
            context = StageContext(
                run=self.run,
                method=method,
                source=origin.source,
                judge=origin.judge.folder if origin.judge else None,
                corpus=self.corpus(method.data_shape),
                codec=codec,
                device=self.device,
                folder=work,
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
            result["metrics"] |= meter.report() | {"cost/artifact_bytes": folder_bytes(work / "model")}
            tracked.metrics(result["metrics"], None)
            (work / "run.json").write_text(self.run.model_dump_json(indent=1, exclude={"tracking"}), encoding="utf-8")
            result["sizes"] = file_sizes(work / "model")
            (work / "result.json").write_text(json.dumps(result), encoding="utf-8")
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(work, folder)
            tracked.artifact_reference("model", folder / "model")
        return ranks.agreed(result)

    def _tell_cuts(self, codec: Codec, method: MethodSpec) -> None:
        """Say how many texts did not fit; a reward model reads each prompt twice, with either answer."""
        for count, what, limit in (
            (codec.truncated_prompts, "prompts kept only their end", f"max_prompt_tokens={method.max_prompt_tokens}"),
            (codec.cut_responses, "answers lost their end", f"max_response_tokens={method.max_response_tokens}"),
        ):
            if count:
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
        chain: dict[str, Mapping[str, float]] = {}
        waiting: list[Finished | None] = [finished]
        while waiting:
            stage = waiting.pop()
            if stage is not None and stage.fingerprint not in chain:
                metrics = stage.result["metrics"]
                chain[stage.fingerprint] = {name: value for name, value in metrics.items() if name.startswith("cost/")}
                waiting += [stage.origin.start, stage.origin.judge]
        return pipeline_costs(list(chain.values()))


def story(corpus: Corpus) -> str:
    """One line of row counts: what was read, what each filter dropped, what each split got."""
    parts = []
    for count in corpus.counts:
        if count.step in SPLITS:
            parts.append(f"{count.step} {count.after}")
        elif count.after < count.before:
            parts.append(f"{count.step} -{count.before - count.after}")
    return ", ".join(parts)


SPLITS = ("read", "train", "validation", "test")
