"""What a model of natural language inference says that its classes mean, read without torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.errors import UserError, one_line
from rlhf.evaluation_spec import NLISpec
from rlhf.models.folder import NO_SAFETENSORS, NOT_FOUND

PLACE = "evaluation.persona.nli.model"
MEANINGS = ("entailment", "neutral", "contradiction")
SPELLINGS = {"entail": "entailment", "entails": "entailment", "contradict": "contradiction"}
SPELLINGS |= {"contradicts": "contradiction", "contradictory": "contradiction"} | {name: name for name in MEANINGS}


def label_places(id2label: Mapping[Any, str], given: Sequence[str] | None, model: str, place: str) -> dict[str, int]:
    """Return where each of `MEANINGS` stands among the classes of `model`: as `given`, else as its labels say.

    Raises `UserError` at `place` where the three cannot be told apart.
    """
    count = len(id2label)
    if given is not None:
        if sorted(given) != sorted(MEANINGS) or count != len(MEANINGS):
            problem = f"labels are {', '.join(given)}, and {model} tells {count} classes apart"
            raise UserError(place, problem, f"Give {', '.join(MEANINGS)} once each, for a model of three classes")
        return {meaning: given.index(meaning) for meaning in MEANINGS}
    named = {int(number): re.sub(r"[\W_]+", " ", str(label)).strip().casefold() for number, label in id2label.items()}
    places = {SPELLINGS[label]: number for number, label in named.items() if label in SPELLINGS}
    if count != len(MEANINGS) or len(places) != len(MEANINGS):
        problem = f"{model} has the labels {', '.join(map(str, id2label.values()))}, not {', '.join(MEANINGS)}"
        remedy = "Name a model trained on MNLI or the like, or give what its classes mean as `labels`, beside `model`"
        raise UserError(place, problem, remedy)
    return places


def check_nli(spec: NLISpec, place: str) -> None:
    """Raise `UserError` at `place` where the model named is not there or has other labels; reads its config alone."""
    assert spec.model is not None
    folder = Path(spec.model).expanduser()
    try:
        id2label = labels_of(spec.model, spec.revision)
    except (OSError, ValueError, AttributeError, TypeError) as error:  # it may hold anything
        raise UserError(place, f"{spec.model} could not be loaded ({one_line(error)})", NOT_FOUND) from error
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        raise UserError(place, f"{spec.model} has no safetensors weights", NO_SAFETENSORS)
    label_places(id2label, spec.labels, spec.model, place)


def labels_of(model: str, revision: str | None) -> dict[int, str]:
    """Return the labels of a classifier in a folder or on the hub; raises what reading them raises."""
    folder = Path(model).expanduser()
    return _of_folder(folder) if folder.is_dir() else _of_hub(model, revision)


def _of_folder(folder: Path) -> dict[int, str]:
    """Return the labels of `config.json`, as transformers completes them: two classes without names."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if named := config.get("id2label"):
        return {int(number): str(label) for number, label in named.items()}
    return {number: f"LABEL_{number}" for number in range(config.get("num_labels") or 2)}


def _of_hub(name: str, revision: str | None) -> dict[int, str]:
    from transformers import AutoConfig

    from rlhf.models.quiet import quiet

    with quiet():
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    return dict(config.id2label)
