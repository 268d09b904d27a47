"""What the configuration of a classifier tells before its weights are loaded, for `kind: classifier`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.errors import UserError, one_line
from rlhf.models.folder import NO_SAFETENSORS, NOT_A_CLASSIFIER, NOT_FOUND
from rlhf.ppo_spec import ClassifierReward, place
from rlhf.suggest import did_you_mean

CLOSED = "Ask for access on its page, then log in: `hf auth login`"
UNKNOWN = "Check the id, or log in if it is private: `hf auth login`"
QUICK = 5.0  # seconds in which the hub answers, or counts as out of reach
LANGUAGE_MODELS = ("LMHeadModel", "ForCausalLM", "ForConditionalGeneration", "ForMaskedLM")


def check_classifier(name: str, spec: ClassifierReward) -> None:
    """Raise `UserError` where no classifier is at `spec.path`, or none with that label; reads its `config.json`."""
    refuse_stage(name, spec)
    here, folder = place(name, "path"), Path(spec.path).expanduser()
    try:
        config = json.loads((folder / "config.json" if folder.is_dir() else _downloaded(spec)).read_text("utf-8"))
        named, labels = [str(kind) for kind in config.get("architectures") or []], _labels(config)
    except _OutOfReach as error:
        raise UserError(here, f"{spec.path} is {error.problem}", error.remedy) from error
    except (OSError, ValueError, AttributeError, TypeError) as error:  # it may hold anything
        problem = f"{spec.path} could not be loaded ({one_line(error)})"
        raise UserError(here, problem, NOT_FOUND) from error
    if any(kind.endswith(LANGUAGE_MODELS) for kind in named):
        raise UserError(here, f"{spec.path} is a language model ({', '.join(named)})", NOT_A_CLASSIFIER)
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        raise UserError(here, f"{spec.path} has no safetensors weights", NO_SAFETENSORS)
    label_number(name, spec, labels, len(labels))


def refuse_stage(name: str, spec: ClassifierReward) -> None:
    """Raise `UserError` where `spec.path` is a stage of ours, which knows more about itself than a classifier does."""
    if (Path(spec.path).expanduser() / "run.json").exists():
        problem = f"{spec.path} is the folder of a stage"
        raise UserError(place(name, "path"), problem, f"Use kind: stage with folder: {spec.path}")


def label_number(name: str, spec: ClassifierReward, labels: Mapping[str, Any], count: int) -> int:
    """Return the class, of `count`, that `spec.label` names (`labels`: name -> number) or counts from 0.

    A single output needs no label.
    """
    ids = {str(label): int(number) for label, number in labels.items()}
    names = sorted(ids, key=lambda label: ids[label])
    if spec.label is None:
        if count == 1:
            return 0
        problem = f"{spec.path} tells {count} classes apart ({', '.join(names)})"
        raise UserError(place(name, "label"), problem, "Name the one that answers are rewarded for")
    if spec.label in ids:
        return ids[spec.label]
    if spec.label.isdecimal() and int(spec.label) < count:
        return int(spec.label)
    problem = f"{spec.path} has no label {spec.label!r}, only: {', '.join(names)}"
    alike = [label for label in names if label.casefold() == spec.label.casefold()]
    raise UserError(place(name, "label"), problem, did_you_mean(alike[0] if alike else spec.label, names))


class _OutOfReach(Exception):
    """The hub did not answer, has no such file or does not show it, and the cache has none either."""

    def __init__(self, cause: Exception) -> None:
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

        status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
        if isinstance(cause, GatedRepoError) or status == 403:
            self.problem, self.remedy = f"closed to you on the hub (status {status})", CLOSED
        elif isinstance(cause, RepositoryNotFoundError) or status == 401:
            self.problem, self.remedy = f"neither a folder here nor known to the hub (status {status})", UNKNOWN
        else:
            self.problem = f"neither a folder here nor reachable on the hub in {QUICK:g} s ({one_line(cause)})"
            self.remedy = NOT_FOUND
        super().__init__(self.problem)


def _downloaded(spec: ClassifierReward) -> Path:
    """The hub's `config.json`, from the cache where the hub is out of reach.

    The hub is asked once: `hf_hub_download` alone would ask six times, with pauses of 23 seconds in all.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    problem: Exception | None = None
    try:
        get_hf_file_metadata(hf_hub_url(spec.path, "config.json", revision=spec.revision), timeout=QUICK)
    except Exception as error:  # of several libraries: refused, unknown, offline, no valid id
        problem = error
    try:
        found = hf_hub_download(spec.path, "config.json", revision=spec.revision, local_files_only=problem is not None)
    except (OSError, ValueError) as error:
        raise _OutOfReach(problem or error) from error
    return Path(found)


def _labels(config: Mapping[str, Any]) -> dict[str, int]:
    """Label -> number, as transformers completes what `id2label` leaves out: two classes without names."""
    if config.get("id2label"):
        return {str(label): int(number) for number, label in config["id2label"].items()}
    return {f"LABEL_{number}": number for number in range(config.get("num_labels") or 2)}
