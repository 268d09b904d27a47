"""The policy that answers are sampled from: a finished stage, a folder with a model, or the configuration's model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rlhf.config import ModelSpec, QuantizationSpec
from rlhf.errors import UserError
from rlhf.fingerprint import base_identity, digest, digest_files, file_sizes
from rlhf.model_spec import MethodRates
from rlhf.models.folder import refuse_no_model
from rlhf.pairs.spec import PairsRun
from rlhf.ppo.sources.folder import is_scorer

PLACE = "pairs.policy"
STAGE_FILES = ("run.json", "result.json", "model")


@dataclass(frozen=True)
class Policy:
    """What is known of a policy before it is loaded."""

    name: str  # for the pairs' origin
    model: ModelSpec
    quantization: QuantizationSpec
    folder: Path | None  # of a finished stage; None: `model` says where the weights are
    seed: int
    identity: str  # digest of its weights and of what they are read with


def find_policy(run: PairsRun, folder: str | None) -> Policy:
    """Return the policy in `folder` (null: `run.model`); raises `UserError` where there is none that writes answers."""
    if folder is None:
        return _configured(run, run.model)
    path = Path(folder).expanduser()
    here = f"{PLACE}={folder}"
    if not path.is_dir():
        raise UserError(here, "there is no such folder", "Give a finished stage of the store or a folder with a model")
    weights = path / "model" if (path / "run.json").exists() else path
    if is_scorer(weights, here):  # False where there is no model at all
        raise UserError(here, "it holds a reward model, not a policy", "Give an sft-, dpo- or ppo- folder")
    if not (path / "run.json").exists():
        refuse_no_model(path, here)
        return _configured(run, run.model.model_copy(update={"path": str(path)}))
    if missing := next((name for name in STAGE_FILES if not (path / name).exists()), None):
        raise UserError(here, f"it is no finished stage: it has no {missing}", "Give a finished one")
    return _stage(path, here)


def _configured(run: PairsRun, model: ModelSpec) -> Policy:
    if model.family == "encoder":
        raise UserError("model", f"{model.name} is an encoder and writes no answers", "Choose a causal or seq2seq one")
    if model.path is not None:
        refuse_no_model(Path(model.path), "model.path")
    identity = digest([base_identity(model), run.quantization.model_dump(), run.seed])
    return Policy(
        Path(model.path).name if model.path else model.name, model, run.quantization, None, run.seed, identity
    )


def _stage(folder: Path, here: str) -> Policy:
    """Read from a stage's `run.json` only what sampling needs, so that folders of other versions stay readable."""
    try:
        written: Any = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        sizes = json.loads((folder / "result.json").read_text(encoding="utf-8"))["sizes"]
        rates = dict.fromkeys(MethodRates.model_fields, 1.0)  # nothing is trained
        own = {"tokenizer": str(folder / "model"), "learning_rates": {"none": rates, "lora": rates}}
        model = ModelSpec.model_validate(written["model"] | own)
        quantization: QuantizationSpec = TypeAdapter(QuantizationSpec).validate_python(written["quantization"])
        seed = int(written["seed"])
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        problem = f"run.json or result.json is not as this version writes it ({type(error).__name__})"
        raise UserError(here, problem, "Train the stage again with this version") from error
    if file_sizes(folder / "model") != sizes:
        raise UserError(here, "the files of its model are not as they were written", "Train or copy it again")
    if model.trust_remote_code:
        raise UserError(here, "it asks to run code that came with its model", "Use a model that transformers knows")
    files = [digest_files(part) for part in (folder / "model", folder / "base") if part.exists()]
    # the template and the like; its tokenizer is among the files
    told = base_identity(model.model_copy(update={"tokenizer": None}))
    return Policy(folder.name, model, quantization, folder, seed, digest([told, quantization.model_dump(), files]))
