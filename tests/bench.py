"""What tests of stages, evaluation and pipeline share: runs composed from conf/, hand-made rows, stages run here."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from rlhf.compose import jobs, parse_words
from rlhf.config import Run
from rlhf.data import load_corpus
from rlhf.data.rows import Corpus, Row
from rlhf.evaluation.cost.meter import CostMeter
from rlhf.models.codec import Codec
from rlhf.models.load import Source, load_tokenizer, resolve_base
from rlhf.pipeline import STAGES
from rlhf.stages.context import StageContext, StageResult
from rlhf.stages.device import choose_device
from rlhf.tracking import NullRun

POLICIES = ("tiny_gpt2", "tiny_llama", "tiny_mt5")
SCORERS = (*POLICIES, "tiny_bert")
QUIET = Console(quiet=True)
MODELS = Path(tempfile.mkdtemp(prefix="rlhf-tiny-models-"))  # tiny models, built once per session
atexit.register(shutil.rmtree, MODELS, ignore_errors=True)
# the tests' own: nothing here depends on tuned values in conf/
RATES = {"sft": 5e-3, "reward": 2e-3, "dpo": 2e-3, "ppo": 1e-3}
# a rollout that a test can afford, scored by a function: no reward stage is needed, and random answers differ in it
PPO_WORDS = (
    "~method.rewards.judge",
    "+method.rewards.short={kind: function, weight: 1.0, name: 'rlhf.ppo.builtin:length_penalty'}",
    "method.max_prompt_tokens=64",
    "method.max_response_tokens=8",
    "method.epochs=2",
    "method.normalize_rewards=4",
    "method.samples.every=1000",
    "method.samples.prompts=2",
    "++method.trainer.warmup_steps=0",
    "evaluation.prompts=4",
)

torch.set_num_threads(1)


def run_of(*words: str, store: Path | None = None) -> Run:
    """Compose a run; tracking is off and the learning rate the tests' own unless `words` say otherwise."""
    method = next((word.partition("=")[2] for word in words if word.startswith("method=")), "dpo")
    own = ["tracking=none", "hardware=cpu", "evaluation.suites=[]", f"++method.trainer.learning_rate={RATES[method]}"]
    own += [f"++upstream.{name}.trainer.learning_rate={RATES[name]}" for name in ("sft", "reward")]
    own += ["dataset.rows=200", f"store={store or MODELS.parent / 'rlhf-no-store'}"]
    [(_, run)] = jobs(parse_words([*own, *words]))
    return run


def stage_run(method: str, model: str, *words: str, steps: int = 2, batch: int = 4) -> Run:
    """A run of one stage from the base model, `steps` long, that logs every step and neither evaluates nor saves."""
    trainer = {"max_steps": steps, "logging_steps": 1, "eval_steps": 1000, "save_steps": 1000}
    if method == "ppo":
        words = (*PPO_WORDS, f"method.prompts_per_step={batch}", *words)
    else:
        trainer["per_device_train_batch_size"] = batch
    settings = [f"++method.trainer.{key}={value}" for key, value in trainer.items()]
    return run_of(f"method={method}", f"model={model}", "method.starts_from=base", *settings, *words)


def source_of(run: Run) -> Source:
    """The base model of a run, built once per session."""
    return resolve_base(run.model, MODELS)


def codec_of(run: Run) -> Codec:
    """The codec with the lengths of the run's own method."""
    tokenizer = load_tokenizer(run.model, source_of(run))
    return Codec(tokenizer, run.model, run.method.max_prompt_tokens, run.method.max_response_tokens)


def toy(run: Run, shape: str | None = None) -> Corpus:
    """The toy world's corpus of the run, in the shape of its method."""
    return load_corpus(run.dataset, shape or run.method.data_shape)  # type: ignore[arg-type]


@cache
def few(shape: str) -> Corpus:
    """Sixteen rows of the toy world to train on and six held out."""
    corpus = toy(run_of(), shape)
    return corpus_of(list(corpus.train[:16]), list(corpus.test[:6]))


def context_of(
    run: Run, folder: Path, corpus: Corpus | None = None, source: Source | None = None, judge: Path | None = None
) -> StageContext:
    """Everything one stage may look at, with nothing recorded; `judge` is the folder of a finished reward stage."""
    device = choose_device(run)
    folder.mkdir(parents=True, exist_ok=True)
    return StageContext(
        run=run,
        method=run.method,
        source=source or source_of(run),
        corpus=corpus or few(run.method.data_shape),
        codec=codec_of(run),
        device=device,
        folder=folder,
        tracked=NullRun(),
        meter=CostMeter(run.hardware, device.kind, device.precision, None),
        console=QUIET,
        judge=judge,
        watching=None,
        references=None,
    )


def train(run: Run, folder: Path, corpus: Corpus | None = None, source: Source | None = None) -> StageResult:
    """Run the real stage of `run.method` and leave its model in `folder/model`."""
    return STAGES[run.method.name](context_of(run, folder, corpus, source))


def user(text: str) -> tuple[dict[str, str], ...]:
    """A prompt of one message."""
    return ({"role": "user", "content": text},)


def pair(prompt: str, chosen: str, rejected: str) -> Row:
    """A preference row that also serves as a demonstration of its chosen answer."""
    return Row(prompt=user(prompt), group=prompt, completion=chosen, chosen=chosen, rejected=rejected)


def corpus_of(train: list[Row], test: list[Row] | None = None, gold: Any = None) -> Corpus:
    """A corpus by hand; without `test` the training rows are held out as well."""
    held_out = tuple(test or train)
    return Corpus("by hand", tuple(train), held_out, held_out, (), "by hand", gold)


def curve(result: StageResult, name: str) -> list[float]:
    """The values of one curve."""
    return [value for _, value in result.curves[name]]


def timeless(curves: Mapping[str, Any]) -> dict[str, Any]:
    """Curves without those that the clock decides."""
    return {name: points for name, points in curves.items() if "seconds" not in name and "per_second" not in name}


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """The saved weights of a model or adapter folder."""
    from safetensors.torch import load_file

    [file] = folder.glob("*.safetensors")
    return load_file(file)


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal bit for bit."""
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)
