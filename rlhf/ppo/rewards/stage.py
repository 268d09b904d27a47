"""`kind: stage` with a folder: a finished reward stage of any model family, read with what it was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.data.rows import Row
from rlhf.errors import UserError
from rlhf.model_spec import ModelSpec
from rlhf.models.codec import Codec
from rlhf.models.load import BASE, Source, load_scorer, load_tokenizer, open_folder, resolve_base
from rlhf.models.score import score
from rlhf.ppo.rewards.base import RewardParts, Scorer
from rlhf.ppo.sources.folder import read_judge
from rlhf.ppo_spec import place


def folder_scorer(name: str, folder: Path, parts: RewardParts, *, trusted: bool = False) -> Scorer:
    """Return the scorer of the stage in `folder`: its own tokenizer, template, lengths and quantization.

    `trusted` is for a stage that this job trained itself: it may have `model.trust_remote_code` as the job has. Raises
    `UserError` where the folder is no finished reward stage, or its model cannot be loaded.
    """
    judge = read_judge(name, folder, trusted=trusted)
    try:
        source = stage_source(judge.model, folder)
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


def stage_source(spec: ModelSpec, folder: Path) -> Source:
    """The whole model of a stage's folder; or its adapter on the base beside it, else on what it was trained on."""
    model = folder / "model"
    if not (model / "adapter_config.json").exists():
        return Source(base=model, adapter=None, kind="folder")
    if (folder / BASE).exists():
        return Source(base=folder / BASE, adapter=model, kind="folder")
    if (named := open_folder(model, "folder")).kind == "folder":
        return named
    base = resolve_base(spec, folder.resolve().parent / "models")  # beside it, where its store keeps them
    return Source(base=base.base, adapter=model, kind=base.kind)
