"""What a classifier's configuration says of its classes, read without torch, for `evaluation.safety.classifier`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.errors import UserError, one_line
from rlhf.evaluation.persona.nli_labels import labels_of
from rlhf.evaluation_spec import ToxicitySpec
from rlhf.models.folder import NO_SAFETENSORS, NOT_FOUND
from rlhf.suggest import did_you_mean

PLACE = "evaluation.safety.classifier"


def check_toxicity(spec: ToxicitySpec) -> None:
    """Raise `UserError` where the model that is named is not there or has no such label; reads its config alone."""
    if spec.model is None:
        return
    here, folder = f"{PLACE}.model", Path(spec.model).expanduser()
    try:
        labels = labels_of(spec.model, spec.revision)
    except (OSError, ValueError, AttributeError, TypeError) as error:  # it may hold anything
        raise UserError(here, f"{spec.model} could not be loaded ({one_line(error)})", NOT_FOUND) from error
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        raise UserError(here, f"{spec.model} has no safetensors weights", NO_SAFETENSORS)
    label_number(spec, labels)


def label_number(spec: ToxicitySpec, id2label: Mapping[Any, str]) -> int:
    """Return the class that `spec.label` names, or counts from 0; a model of one output needs none."""
    named = {str(label): int(number) for number, label in id2label.items()}
    names = sorted(named, key=lambda label: named[label])
    if spec.label is None:
        if len(names) == 1:
            return 0
        problem = f"{spec.model} tells {len(names)} classes apart ({', '.join(names)})"
        raise UserError(f"{PLACE}.label", problem, "Name the one that counts, as in toxic")
    if spec.label in named:
        return named[spec.label]
    if spec.label.isdecimal() and int(spec.label) in named.values():
        return int(spec.label)
    problem = f"{spec.model} has no label {spec.label!r}, only: {', '.join(names)}"
    alike = [label for label in names if label.casefold() == spec.label.casefold()]
    raise UserError(f"{PLACE}.label", problem, did_you_mean(alike[0] if alike else spec.label, names))
