"""What the stages share around a library's trainer: its arguments, its guards, its checkpoints and its curves."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from rlhf import ranks
from rlhf.errors import RunFailure, UserError
from rlhf.fingerprint import file_sizes
from rlhf.models.adapter import full_precision
from rlhf.stages.context import StageContext
from rlhf.stages.progress import Bar, Lines
from rlhf.suggest import did_you_mean

LEARNED = 1e-3  # nats: a loss this small has zero gradients for a good reason
WHOLE = "whole.json"  # written into a checkpoint after everything else: without it the checkpoint is half-written
Cause = Callable[[Mapping[str, float]], str | None]  # a stage's own logs -> what to check where a step moved nothing
SKIPPED_LOGS = ("epoch", "total_flos", "train_runtime", "train_samples_per_second", "train_steps_per_second")


def trainer_arguments(kind: Any, context: StageContext, **method_arguments: Any) -> Any:
    """Build the library's own arguments object from our settings and the user's `method.trainer` differences.

    Raises `UserError` when the library's dataclass refuses a value.
    """
    device, place = context.device, f"method.trainer ({context.method.name})"
    arguments = {
        "output_dir": str(context.folder / "checkpoints"),
        "seed": context.run.seed,
        "data_seed": context.run.seed,
        "bf16": device.precision == "bf16",
        "fp16": device.precision == "fp16",
        "use_cpu": device.kind == "cpu",
        "report_to": "none",
        "disable_tqdm": True,
        "eval_strategy": "steps",
        "save_strategy": "steps",
        "save_total_limit": 2,
        "logging_first_step": True,
        "remove_unused_columns": False,  # the collators pick theirs; the sampler reads `length`
        "logging_nan_inf_filter": False,  # a NaN must be seen, not replaced by the running mean
        "dataloader_pin_memory": device.kind != "cpu",
        **method_arguments,
        **context.method.trainer,
    }
    try:
        return kind(**arguments)
    except (TypeError, ValueError, NotImplementedError) as error:
        message = " ".join(str(error).split())
        named = next((key for key in context.method.trainer if key in message), None)
        where = f"method.trainer.{named}" if named else place
        known = did_you_mean(named, kind.__dataclass_fields__) if named and "unexpected keyword" in message else ""
        raise UserError(where, message.rstrip("."), known or f"Mend it, or leave {where} out") from None


@dataclass
class History:
    """Training curves as they were logged, over all interruptions, and how far training went."""

    curves: dict[str, list[tuple[int, float]]]
    seconds_before: float  # of interrupted attempts, up to their last whole checkpoint
    epochs: float
    steps: int  # all of them, those of interrupted attempts included


class Guard(TrainerCallback):
    """Stops a run that learns nothing: NaN or infinite loss, or gradients that are exactly zero."""

    def __init__(self, method: str, cause: Cause) -> None:
        self.method = method
        self.cause = cause
        self.zero_norms = 0

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict | None = None, **_: Any
    ) -> None:
        """Check the newest numbers."""
        logs = logs or {}
        for key in ("loss", "grad_norm", "eval_loss"):
            value = logs.get(key)
            if key == "grad_norm" and args.fp16 and value is not None and not math.isfinite(value):
                continue  # the gradient scaler skips such a step and halves its scale
            if value is not None and not math.isfinite(value):
                raise RunFailure(
                    f"{self.method} step {state.global_step}",
                    f"{key} is {value}",
                    "Lower method.trainer.learning_rate, or use precision=fp32 or bf16",
                )
        if "grad_norm" in logs:
            self.zero_norms = self.zero_norms + 1 if logs["grad_norm"] == 0 else 0
            learned = abs(logs.get("loss", math.inf)) < LEARNED  # nothing is left to learn there
            if not learned and (self.zero_norms == 2 or (self.zero_norms and state.global_step <= 1)):
                raise RunFailure(
                    f"{self.method} step {state.global_step}",
                    "the gradient is exactly zero, nothing is being learned",
                    self.cause(logs)
                    or "Check adapter.targets and gradient_checkpointing, and that the loss is not saturated",
                )


class Recorder(TrainerCallback):
    """Passes what the trainer logs on to the tracker and keeps the curves."""

    def __init__(self, context: StageContext) -> None:
        self.context = context
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self.tokens_before = 0.0
        self.ended = False

    def resume(self, curves: Mapping[str, Any]) -> None:
        """Go on from the curves of an interrupted attempt; TRL's own count of tokens starts at 0 again."""
        self.curves = {name: [(int(s), float(v)) for s, v in points] for name, points in curves.items()}
        self.tokens_before = self.curves.get("train/num_tokens", [(0, 0.0)])[-1][1]
        for name, points in self.curves.items():  # the interrupted attempt was another tracked run
            for step, value in points:
                self.context.tracked.metrics({name: value}, step)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict | None = None, **_: Any
    ) -> None:
        """Name metrics `train/...` or `eval/...` and send them on."""
        if self.ended:  # the test set's numbers are no point of a validation curve
            return
        named = {}
        for key, value in (logs or {}).items():
            if key in SKIPPED_LOGS or not isinstance(value, int | float) or key.startswith("final_"):
                continue
            if key in ("num_tokens", "eval_num_tokens"):
                value += self.tokens_before
            if key.startswith("eval_"):
                if not key.endswith(("_runtime", "_per_second")):
                    named[f"eval/{key.removeprefix('eval_')}"] = float(value)
            elif key != "train_loss":
                named[f"train/{key}"] = float(value)
        for name, value in named.items():
            self.curves.setdefault(name, []).append((state.global_step, value))
        self.context.tracked.metrics(named, state.global_step)
        if self.context.watching is not None:
            self.context.watching(state.global_step, state.max_steps, named)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the curves."""
        self.ended = True


class Checkpoints(TrainerCallback):
    """Makes checkpoints from which training goes on exactly as if it had never stopped.

    A checkpoint is marked as whole once all of it is written, with the seconds and curves up to it.
    """

    def __init__(self, recorder: Recorder, before: float) -> None:
        self.recorder = recorder
        self.before = before
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of training so far, interrupted attempts included up to their last whole checkpoint."""
        return self.before + time.perf_counter() - self.start

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Seed the order of each epoch: transformers draws it from the global state, which a resumed run has not got.

        Its other samplers are seeded per epoch by accelerate.
        """
        batches = getattr(given["train_dataloader"], "batch_sampler", None)  # PPO's rollouts order themselves
        sampler = getattr(getattr(batches, "batch_sampler", batches), "sampler", None)
        if isinstance(sampler, LengthGroupedSampler):
            sampler.generator = torch.Generator().manual_seed(args.seed + int(state.epoch or 0))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Log whatever a checkpoint ends, the last step included: running means are not saved with it."""
        control.should_log |= control.should_save

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Write the mark by rename, so that it is there in full or not at all."""
        ranks.together()  # each process writes its own random state
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        mark = {"sizes": file_sizes(folder), "seconds": self.seconds, "curves": self.recorder.curves}
        if ranks.first():
            (folder / f"{WHOLE}.new").write_text(json.dumps(mark), encoding="utf-8")
            (folder / f"{WHOLE}.new").rename(folder / WHOLE)


def newest_whole_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that was written in full and remove those that were not, or were damaged since."""
    found = []
    for checkpoint in folder.glob("checkpoint-*"):
        if _is_whole(checkpoint):
            found.append((int(checkpoint.name.rpartition("-")[2]), checkpoint))
        else:
            shutil.rmtree(checkpoint)
    return max(found)[1] if found else None


def _is_whole(checkpoint: Path) -> bool:
    """Whether the mark is there and every file still has the size it was written with."""
    if not (checkpoint / WHOLE).exists():
        return False
    written = json.loads((checkpoint / WHOLE).read_text(encoding="utf-8")).get("sizes")
    return {name: size for name, size in file_sizes(checkpoint).items() if name != WHOLE} == written


def fit(trainer: Trainer, context: StageContext, cause: Cause = lambda logs: None) -> History:
    """Train to the end, from the newest whole checkpoint when there is one; the guards may raise `RunFailure`.

    `cause` reads a stage's own logs for a better remedy than the guards' where nothing was learned.
    """
    checkpoint = ranks.agreed(newest_whole_checkpoint(context.folder / "checkpoints") if ranks.first() else None)
    mark: Mapping[str, Any] = {"seconds": 0.0, "curves": {}}
    if checkpoint is not None:
        mark = json.loads((checkpoint / WHOLE).read_text(encoding="utf-8"))
        context.console.print(f"  {context.method.name}: resumed from step {checkpoint.name.rpartition('-')[2]}")
    recorder, bar = Recorder(context), Bar(context.method.name, context.console)
    recorder.resume(mark["curves"])
    lines = Lines(context.method.name, context.console)
    for callback in (Guard(context.method.name, cause), recorder, Checkpoints(recorder, mark["seconds"]), bar, lines):
        trainer.add_callback(callback)
    if isinstance(trainer.model, PeftModel):
        full_precision(trainer.model)  # TRL has just cast a quantized model's adapter to bf16
    trainer.remove_callback(PrinterCallback)  # what transformers adds where its own progress bar is off
    before = _sums(trainer.model)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        past_warmup = trainer.state.global_step > trainer.args.get_warmup_steps(trainer.state.max_steps)
        if past_warmup and checkpoint is None and before == _sums(trainer.model):
            last = {name.removeprefix("train/"): points[-1][1] for name, points in recorder.curves.items()}
            check = cause(last) or "Check adapter.targets and the learning rate"
            raise RunFailure(context.method.name, "no trainable weight has moved", check)
    except torch.cuda.OutOfMemoryError as error:
        raise RunFailure(
            f"{context.method.name} on {context.device.kind}",
            str(error).splitlines()[0].rstrip("."),
            f"{context.method.memory_remedy}, or use adapter=lora quantization=nf4",
            resumable=True,
        ) from None
    except RunFailure as error:  # found in numbers that are reduced over all processes, so that each of them raises it
        error.shared = True
        raise
    finally:
        bar.stop()
    return History(recorder.curves, mark["seconds"], float(trainer.state.epoch or 0.0), trainer.state.global_step)


def _sums(model: Any) -> list[tuple[float, float]]:
    """Fingerprint the trainable weights: sum and sum of squares of each."""
    with torch.no_grad():
        return [
            (weight.double().sum().item(), weight.double().square().sum().item())
            for weight in model.parameters()
            if weight.requires_grad
        ]


def finish(context: StageContext) -> None:
    """Drop the checkpoints of a stage that is complete."""
    if ranks.first():
        shutil.rmtree(context.folder / "checkpoints", ignore_errors=True)
