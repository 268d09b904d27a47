"""The settings that a finished run is measured with: its own, and what the command line says of measuring.

How answers are sampled and which data they are asked on stay the run's own unless the words say otherwise; suites are
those of this version's `conf/evaluation`, with the run's own settings where it had any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any
from urllib.parse import urlsplit

import yaml
from omegaconf import DictConfig, OmegaConf

from rlhf.build import build
from rlhf.compose import Composer, Words, initialized, plain
from rlhf.config import Run, TrackingSpec
from rlhf.errors import UserError
from rlhf.evaluation_spec import ENDPOINT
from rlhf.remeasure.find import Recorded

MEASURING = ("evaluation", "dataset", "hardware", "tracking")  # groups whose keys may be set
NEWER = ("method", "adapter", "quantization", "upstream", "hardware")  # which another version may have written
TRUST = "model.trust_remote_code"  # code that came with a model runs where this command line says so, too
ADDRESS = "evaluation.preference.endpoint.base_url"  # answers go to another machine where this command line says so
OWN = ("trainer", "rewards", "peak_flops")  # keys below them are the user's
WHY = {
    "method": "it was trained with its own method settings",
    "model": "the weights that it has are those of its own model",
    "adapter": "it was trained with its own adapter",
    "quantization": "it is measured in the form in which it was trained",
    "upstream": "the stages that it stands on are trained already",
    "seed": "it was trained with its own seed; evaluation.seed draws prompts and answers",
    "store": "a run is read from the store that it lies in",
    "precision": "it is measured in the precision that it was trained in",
    "reuse": "answers and findings are taken from the store wherever they are the same",
    "experiment": "an experiment says how runs are trained",
}


def settings_of(recorded: Mapping[str, Any], words: Words) -> dict[str, Any]:
    """Return plain values of a `Run` that measures what was recorded; `UserError` for words that say nothing here."""
    for word in words.overrides:
        refuse_training_word(word)
    with initialized(words) as composer:
        config = _composed(composer, words, recorded)
    chosen = {_key(word) for word in words.overrides}
    if "evaluation" not in chosen:
        _lay_over(config.evaluation, recorded["evaluation"], chosen, "evaluation")
    fresh = plain(config)
    values = deepcopy(dict(recorded)) | {group: fresh[group] for group in ("evaluation", "tracking", "inspection")}
    for group in NEWER:
        values[group] = _filled(fresh[group], values[group])
    for group in ("dataset", "hardware"):
        own = [word for word in words.overrides if _key(word).startswith(f"{group}.")]
        if group in chosen:
            values[group] = fresh[group]
        else:
            for word in own:
                _set(values, word)
    return values


def run_of(settings: Mapping[str, Any], words: Words, recorded: Recorded, first: Run | None = None) -> Run:
    """Build the `Run` that measures what was recorded; with data and settings of measuring of the `first`, if given.

    Raises `UserError` where a word clashes with it, its own settings cannot be built any more, or they ask for what no
    word allows, since its files may be anybody's: running code that came with its model, asking another machine.
    """
    values = settings_of(settings, words)
    values["store"] = str(recorded.stage.parent)
    if first is not None:
        values |= {group: getattr(first, group).model_dump() for group in MEASURING}
    try:
        run = build(values, to_train=False)
    except UserError as error:
        if error.place.partition(".")[0] in MEASURING:
            raise
        problem = f"its own settings are refused ({error.place}: {error.problem})"
        raise UserError(recorded.asked, problem, "Mend what they name, or train it again with this version") from error
    if run.model.trust_remote_code and f"{TRUST}=true" not in map(str.lower, words.overrides):
        problem = "it asks to run code that came with its model"
        raise UserError(recorded.asked, problem, f"If you trust that code, add {TRUST}=true")
    if (url := _asked_machine(run)) and not {"evaluation", ADDRESS} & {_key(word) for word in words.overrides}:
        problem = f"it asks to send its answers to {url}"
        raise UserError(recorded.asked, problem, f"If you trust that address, add {ADDRESS}={url}")
    return run


def _asked_machine(run: Run) -> str | None:
    """Return the address of another machine that is asked to judge, None where none is."""
    asked = run.evaluation.preference
    if "preference" not in run.evaluation.suites or asked.judge != ENDPOINT:
        return None
    own = urlsplit(asked.endpoint.base_url).hostname in ("127.0.0.1", "::1", "localhost")
    return None if own else asked.endpoint.base_url


def tracking_of(words: Words) -> TrackingSpec:
    """Return where runs are recorded, by the words alone."""
    own = [word for word in words.overrides if _key(word).startswith("tracking")]
    with initialized(words) as composer:
        return build(plain(composer.compose(own))).tracking


def refuse_training_word(word: str) -> None:
    """Raise `UserError` for a word that is about training."""
    key = _key(word)
    if key == TRUST:
        if word.lower() not in (f"{TRUST}=true", f"{TRUST}=false"):
            raise UserError(word, "it is true or false", f"Write {TRUST}=true to run code that came with the model")
        return
    group = re.split(r"[.@/]", key.rpartition("@")[2] if "@" in key else key)[0]
    if group not in MEASURING:
        why = WHY.get(group, "it says nothing of how a finished run is measured")
        allowed = ", ".join(f"{name}.*" for name in MEASURING)
        raise UserError(word, why, f"Leave it out; {allowed} may be set")


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _composed(composer: Composer, words: Words, recorded: Mapping[str, Any]) -> DictConfig:
    """Compose the run's kind of method with the words, but for keys of a data set that is the run's own."""
    kind = [f"{group}={recorded[group]['name']}" for group in ("method", "adapter", "quantization")]
    own_data = not any(_key(word) == "dataset" for word in words.overrides)
    said = [word for word in words.overrides if _key(word) != TRUST]  # the model is the run's own
    kept = [word for word in said if not (own_data and _key(word).startswith("dataset"))]
    return composer.compose([*kind, *kept])


def _filled(fresh: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was recorded with the keys that came after it; mappings of the user's own stay as they are."""
    filled = dict(recorded)
    for key, value in fresh.items():
        if key not in filled:
            filled[key] = value
        elif isinstance(value, Mapping) and isinstance(filled[key], Mapping) and key not in OWN:
            filled[key] = _filled(value, filled[key])
    return filled


def _lay_over(config: DictConfig, recorded: Mapping[str, Any], chosen: set[str], place: str) -> None:
    """Put recorded values where this version has such a key, no word sets it, and no other key decides it."""
    OmegaConf.set_readonly(config, False)
    for path, value in _leaves(recorded):
        node, key = _own_node(config, path)
        if node is None or key not in node or OmegaConf.is_interpolation(node, key):
            continue
        full = f"{place}.{path}"
        said = any(
            full == word or full.startswith(f"{word}.") or word == f"suite@{place}.{path.partition('.')[0]}"
            for word in chosen
        )
        if not said and not (path == "suites" and not value):  # a run that measured nothing is measured by default
            node[key] = value


def _own_node(config: DictConfig, path: str) -> tuple[DictConfig | None, str]:
    """Return the mapping that holds the last key of a path, and that key; None where the way leads to another group."""
    *parents, key = path.split(".")
    node: Any = config
    for name in parents:
        if not isinstance(node, DictConfig) or name not in node or OmegaConf.is_interpolation(node, name):
            return None, key
        node = node[name]
    return node if isinstance(node, DictConfig) else None, key


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _set(values: dict[str, Any], word: str) -> None:
    """Set one key of a group; what is no key is refused when the run is built."""
    key, _, text = word.lstrip("+").partition("=")
    *parents, last = key.split(".")
    node = values
    for name in parents:
        inner = node.get(name)
        if not isinstance(inner, dict):
            raise UserError(key, "unknown key", "Another dataset may have it: `rlhf --cfg job` prints all keys")
        node = inner
    try:
        node[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(word, "its value cannot be read", "Check its commas, brackets and quotes") from None
