"""Reading what a finished reward stage tells about itself, for `kind: stage` with a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rlhf.config import ModelSpec, QuantizationSpec, Reward
from rlhf.errors import UserError, one_line
from rlhf.fingerprint import file_sizes
from rlhf.model_spec import MethodRates
from rlhf.ppo_spec import place

SCORER = "SEQ_CLS"  # how PEFT calls an adapter of a sequence classifier
ADAPTER = "adapter_config.json"
CONFIGURATIONS = (ADAPTER, "config.json")


@dataclass(frozen=True)
class Judge:
    """What a finished reward stage tells about itself in `run.json`."""

    model: ModelSpec
    method: Reward  # the lengths it was trained with
    quantization: QuantizationSpec
    seed: int


def read_judge(name: str, folder: Path, *, trusted: bool = False) -> Judge:
    """Read what the stage in `folder` was trained with, and check that it is whole and a reward model.

    Unless it is `trusted`, its model may not bring code of its own. Raises `UserError` at the source's `folder`.
    """
    here = place(name, "folder")
    for file in ("run.json", "result.json", "model"):
        if not (folder / file).exists():
            problem = f"{folder} is not the folder of a finished stage: it has no {file}"
            raise UserError(here, problem, "Give a reward-* folder of the store, or null to train a reward model")
    if not is_scorer(folder / "model", here):
        problem = f"{folder} holds a policy, not a reward model"
        raise UserError(here, problem, "Give a reward-* folder of the store, or null to train a reward model")
    try:
        sizes = _read(folder / "result.json")["sizes"]
        judge = _parse(_read(folder / "run.json"), folder)
    except (ValueError, AttributeError, KeyError, TypeError) as error:  # pydantic's and JSON's are of the first kind
        problem = f"run.json or result.json in {folder} is not as this version writes it ({type(error).__name__})"
        raise UserError(here, problem, "Train the reward model again with this version") from error
    if file_sizes(folder / "model") != sizes:
        raise UserError(here, f"the files of {folder}/model are not as they were written", "Train or copy it again")
    if judge.model.trust_remote_code and not trusted:
        problem = f"{folder} asks to run code that came with its model"
        raise UserError(here, problem, "Use a model that transformers knows, or folder: null to train one here")
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


def is_scorer(model: Path, here: str) -> bool:
    """Whether folder `model` holds a sequence classifier or an adapter of one, not a policy.

    Raises `UserError` at place `here` where its configuration cannot be read or does not tell.
    """
    file = next((model / name for name in CONFIGURATIONS if (model / name).exists()), None)
    if file is None:
        return False
    try:
        config = _read(file)
        if file.name == ADAPTER:
            return bool(config["task_type"] == SCORER)
        return any(name.endswith("ForSequenceClassification") for name in config.get("architectures") or [])
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        remedy = "Copy the model's folder again, or name another"
        raise UserError(here, f"{file} does not say what kind of model it is ({one_line(error)})", remedy) from error
