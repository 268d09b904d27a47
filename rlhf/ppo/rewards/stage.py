"""`kind: stage` with a folder: a finished reward stage of any model family, read with what it was trained with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rlhf.config import ModelSpec, QuantizationSpec, Reward
from rlhf.data.rows import Row
from rlhf.errors import UserError
from rlhf.fingerprint import file_sizes
from rlhf.model_spec import MethodRates
from rlhf.models.adapter import is_scorer_adapter
from rlhf.models.codec import Codec
from rlhf.models.load import Source, load_scorer, load_tokenizer, resolve_base
from rlhf.models.score import score
from rlhf.ppo.rewards.base import RewardParts, Scorer, place

OWN_BASE = "base"  # `rlhf.stages.context.BASE`, which is above this package


@dataclass(frozen=True)
class Judge:
    """What a finished reward stage tells about itself in `run.json`."""

    model: ModelSpec
    method: Reward  # the lengths it was trained with
    quantization: QuantizationSpec
    seed: int


def folder_scorer(name: str, folder: Path, parts: RewardParts, *, trusted: bool = False) -> Scorer:
    """Return the scorer of the stage in `folder`: its own tokenizer, template, lengths and quantization.

    `trusted` is for a stage that this job trained itself: it may have `model.trust_remote_code` as the job has. Raises
    `UserError` where the folder is no finished reward stage, or its model cannot be loaded.
    """
    judge = read_judge(name, folder)
    if judge.model.trust_remote_code and not trusted:
        problem = f"{folder} asks to run code that came with its model"
        remedy = "Use a model that transformers knows, or folder: null to train one here"
        raise UserError(place(name, "folder"), problem, remedy)
    try:
        source = _source(judge, folder)
        model: Any = load_scorer(
            judge.model, source, judge.quantization, dtype=parts.dtype, device=parts.device, seed=judge.seed
        )
        codec = Codec(
            load_tokenizer(judge.model, source),
            judge.model,
            judge.method.max_prompt_tokens,
            judge.method.max_response_tokens,
        )
    except UserError as error:  # its place is a key of the run that trained the judge, not of this one
        problem = f"the reward model in {folder} cannot be loaded ({error.place}: {error.problem})"
        raise UserError(place(name, "folder"), problem, error.remedy) from error
    return model_scorer(model, codec, parts.batch_size)


def model_scorer(model: Any, codec: Codec, batch_size: int) -> Scorer:
    """Return the scorer that reads prompts and answers with `codec` and gives the logit of a one-output `model`."""
    model.requires_grad_(False).eval()

    def scores(rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
        pairs = [(row.prompt, answer) for row, answer in zip(rows, answers, strict=True)]
        return score(model, codec, pairs, batch_size)

    return scores


def read_judge(name: str, folder: Path) -> Judge:
    """Read what the stage in `folder` was trained with, and check that it is whole and a reward model."""
    here = place(name, "folder")
    for file in ("run.json", "result.json", "model"):
        if not (folder / file).exists():
            problem = f"{folder} is not the folder of a finished stage: it has no {file}"
            raise UserError(here, problem, "Give a reward-* folder of the store, or null to train a reward model")
    if not _is_scorer(folder / "model"):
        problem = f"{folder} holds a policy, not a reward model"
        raise UserError(here, problem, "Give a reward-* folder of the store")
    try:
        sizes = _read(folder / "result.json")["sizes"]
        judge = _parse(_read(folder / "run.json"), folder)
    except (ValidationError, json.JSONDecodeError, KeyError, TypeError) as error:
        problem = f"run.json or result.json in {folder} is not as this version writes it ({type(error).__name__})"
        raise UserError(here, problem, "Train the reward model again with this version") from error
    if file_sizes(folder / "model") != sizes:
        raise UserError(here, f"the files of {folder}/model are not as they were written", "Train or copy it again")
    return judge


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _parse(run: dict[str, Any], folder: Path) -> Judge:
    """Take from a dumped run only what scoring needs, so that folders of other versions stay readable."""
    method = run["method"] if run["method"]["name"] == "reward" else run["upstream"]["reward"]
    rates = dict.fromkeys(MethodRates.model_fields, 1.0)  # nothing is trained, and other versions know other methods
    own = {"tokenizer": str(folder / "model"), "learning_rates": {"none": rates, "lora": rates}}
    return Judge(
        model=ModelSpec.model_validate(run["model"] | own),
        method=Reward.model_validate(method),
        quantization=TypeAdapter(QuantizationSpec).validate_python(run["quantization"]),
        seed=int(run["seed"]),
    )


def _is_scorer(model: Path) -> bool:
    if (model / "adapter_config.json").exists():
        return is_scorer_adapter(model)
    if not (model / "config.json").exists():
        return False
    return any(name.endswith("ForSequenceClassification") for name in _read(model / "config.json")["architectures"])


def _source(judge: Judge, folder: Path) -> Source:
    """The whole model of the folder; or its adapter on the base beside it, else on the base model it was trained on."""
    model = folder / "model"
    if not (model / "adapter_config.json").exists():
        return Source(base=model, adapter=None, kind="folder")
    if (folder / OWN_BASE).exists():
        return Source(base=folder / OWN_BASE, adapter=model, kind="folder")
    base = resolve_base(judge.model, folder.resolve().parent / "models")  # beside it, where its store keeps them
    return Source(base=base.base, adapter=model, kind=base.kind)
