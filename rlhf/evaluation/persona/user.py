"""The user of a simulated conversation who is a model: a finished stage, a folder with a policy, or a hub id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rlhf.config import ModelSpec, NoQuantization, QuantizationSpec
from rlhf.errors import UserError
from rlhf.model_spec import MethodRates
from rlhf.models.adapter import is_scorer_adapter
from rlhf.models.codec import Codec
from rlhf.models.load import load_policy, load_tokenizer, open_folder, resolve_base

PLACE = "evaluation.simulation.user"


def load_user(name: str, codec: Codec, *, dtype: Any, device: str, seed: int) -> tuple[Any, Codec]:
    """Load the policy that plays the user, and its codec.

    A stage says itself what model it is; anything else is read as the policy's own kind, with the same template.
    `codec` is the policy's: prompts and answers of the user have its lengths. Raises `UserError`.
    """
    folder = Path(name)
    if (folder / "run.json").is_file():
        spec, quantization, source = _stage(folder)
    else:
        spec = codec.spec.model_copy(update=_weights(name))
        quantization, source = NoQuantization(name="none"), resolve_base(spec, folder)
    _refuse_scorer(Path(source.adapter or source.base), name)
    model = load_policy(spec, source, quantization, dtype=dtype, device=device, seed=seed).eval()
    tokenizer = load_tokenizer(spec, source)
    return model, Codec(tokenizer, spec, codec.max_prompt_tokens, codec.max_response_tokens)


def _weights(name: str) -> dict[str, Any]:
    own = {"init": "pretrained", "tokenizer": None}
    if Path(name).is_dir():
        return own | {"path": name}
    return own | {"path": None, "hub_id": name, "revision": None}


def _stage(folder: Path) -> tuple[ModelSpec, QuantizationSpec, Any]:
    """Read what a stage's `run.json` says of its model."""
    try:
        written: Any = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        rates = dict.fromkeys(MethodRates.model_fields, 1.0)  # nothing is trained
        own = {"tokenizer": str(folder / "model"), "learning_rates": {"none": rates, "lora": rates}}
        spec = ModelSpec.model_validate(written["model"] | own)
        quantization: QuantizationSpec = TypeAdapter(QuantizationSpec).validate_python(written["quantization"])
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        problem = f"run.json in {folder} is not as this version writes it ({type(error).__name__})"
        raise UserError(PLACE, problem, "Train the stage again with this version") from error
    if spec.trust_remote_code:
        problem = f"{folder} asks to run code that came with its model"
        raise UserError(PLACE, problem, "Use a model that transformers knows")
    return spec, quantization, open_folder(folder / "model", PLACE)


def _refuse_scorer(folder: Path, name: str) -> None:
    """Raise `UserError` where a folder holds a reward model: its weights would load, and write noise."""
    config = folder / "config.json"
    adapter = (folder / "adapter_config.json").is_file() and is_scorer_adapter(folder)
    kinds = json.loads(config.read_text(encoding="utf-8")).get("architectures") if config.is_file() else None
    if adapter or any("SequenceClassification" in str(kind) for kind in kinds or []):
        raise UserError(PLACE, f"{name} holds a reward model, not a policy", "Give an sft-, dpo- or ppo- folder")
