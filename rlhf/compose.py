"""Composing every job of a command line with Hydra before anything starts, and turning Hydra's complaints into ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlhf.build import build, refuse_wrong_names
from rlhf.command_words import refuse_contradictions, refuse_unreadable, unreadable, with_home
from rlhf.config import Run
from rlhf.errors import UserError, told_once
from rlhf.folders import conf_dir as conf_dir  # who composes looks for it here
from rlhf.suggest import did_you_mean
from rlhf.trainer_fields import owned_fields, trainer_fields

CONFIG_DIR = ("--config-dir", "-cd")
VALUED_FLAGS = {*CONFIG_DIR, "--package", "-p", "--cfg", "-c"}
INFO_FLAGS = {"--info", "-i"}  # Hydra's, whose value may be left out
PLAIN_FLAGS = {"--help", "-h", "--hydra-help", "--version", "--resolve"}
PLAIN_FLAGS |= {"--multirun", "-m", "--run", "-r", "--shell-completion", "-sc"}
PRINTED = ("job", "hydra", "all")  # what --cfg takes


@dataclass(frozen=True)
class Words:
    """A command line taken apart: `key=value` overrides, and the flags that are Hydra's."""

    overrides: tuple[str, ...]
    flags: tuple[str, ...]
    multirun: bool
    config_dir: str | None


@told_once()
def parse_words(words: Sequence[str]) -> Words:
    """Split `words` into overrides and flags (`--config-dir DIR` and its like keep their value).

    Raises `UserError` for a flag that is not one, and for one without its value.
    """
    overrides: list[str] = []
    flags: list[str] = []
    config_dir = None
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if not word.startswith("-"):
            refuse_unreadable(word := with_home(word))
            overrides += replaced(word)
            continue
        flag, joined, value = word.partition("=")
        if flag not in VALUED_FLAGS | INFO_FLAGS | PLAIN_FLAGS:
            known = [name for name in VALUED_FLAGS | PLAIN_FLAGS | INFO_FLAGS | {"--debug"} if name.startswith("--")]
            verb = flag.removeprefix("--")
            is_verb = verb.isidentifier() and find_spec(f"rlhf.verbs.{verb}")
            remedy = f"It is a command: `rlhf {verb} ...`" if is_verb else did_you_mean(flag, known)
            raise UserError(flag, "there is no such flag", remedy)
        flags.append(flag)
        if flag in VALUED_FLAGS or (flag in INFO_FLAGS and waiting and waiting[-1].isalpha()):
            value = value if joined else waiting.pop() if waiting else ""
            flags.append(value)
        if flag in CONFIG_DIR and not value:
            raise UserError(flag, "it needs a folder", f"Write {flag} FOLDER")
        if flag in ("--cfg", "-c") and value not in PRINTED:
            raise UserError(f"{flag} {value}".strip(), "it prints job, hydra or all", "Write --cfg job")
        config_dir = value if flag in CONFIG_DIR else config_dir
    return Words(tuple(overrides), tuple(flags), bool({"-m", "--multirun"} & set(flags)), config_dir)


def replaced(word: str) -> list[str]:
    """Return the words for Hydra: a mapping of the user's columns or rewards replaces the YAML's; Hydra would merge."""
    own = re.match(r"(dataset\.columns|(method\.rewards|pairs\.judges)(\.\w+)?)=\{", word)
    return [f"~{own.group(1)}", f"+{word}"] if own else [word.replace("dataset.cleaning=[", "dataset.cleaning.steps=[")]


@told_once()
def with_experiment_sweep(words: Words) -> Words:
    """Put what an experiment sweeps over (`hydra.sweeper.params` in its YAML) before a sweep's own words.

    A key that the command line gives itself is left to it. Hydra's own reading of the params is switched off. Raises
    `UserError` where two of the command line's own words contradict each other.
    """
    refuse_contradictions(words.overrides, words.config_dir)
    chosen = [word for word in words.overrides if word.startswith("experiment=")]
    if not words.multirun or not chosen or "," in chosen[-1]:
        return words
    with initialized(words) as composer:
        params = composer.compose(chosen[-1:], hydra_config=True).hydra.sweeper.get("params") or {}
    given = {word.partition("=")[0].lstrip("+") for word in words.overrides}
    added = [f"{key}={value}" for key, value in params.items() if key not in given]
    return replace(words, overrides=(*added, *words.overrides, "hydra.sweeper.params=null"))


@told_once()
def jobs(words: Words) -> list[tuple[tuple[str, ...], Run]]:
    """Compose and check every job of the command line; returns (overrides, run) per job, in the sweeper's order.

    Raises `UserError` for the first word that cannot be composed and for the first job that is refused.
    """
    return [(overrides, build(plain(config))) for overrides, config in composed(words)]


@told_once()
def composed(words: Words) -> list[tuple[tuple[str, ...], DictConfig]]:
    """Compose every job of the command line without checking its values, as `--cfg` prints it."""
    with initialized(words) as composer:
        expanded = expand(words.overrides) if words.multirun else [words.overrides]
        return [(overrides, composer.compose(overrides)) for overrides in expanded]


def hydra_settings(words: Words) -> DictConfig:
    """Compose Hydra's own settings for a command line, those of its first job in a sweep."""
    with initialized(words) as composer:
        first = expand(words.overrides)[0] if words.multirun else words.overrides
        return composer.compose(first, hydra_config=True).hydra


@contextmanager
def initialized(words: Words) -> Iterator[Composer]:
    """Hydra set up for `conf/` and the command line's own `--config-dir`."""
    if words.config_dir is not None and not Path(words.config_dir).is_dir():
        place = f"--config-dir {words.config_dir}".strip()
        raise UserError(place, "there is no such folder", "Give a folder of config groups")
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield Composer(words.config_dir)


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a composed configuration as plain values, interpolations resolved."""
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        refuse_wrong_names(OmegaConf.to_container(config, resolve=False))
        place = getattr(error, "full_key", None) or "configuration"
        problem = str(error).splitlines()[0]
        if match := re.search(r"Interpolation key '([^']+)' not found", problem):
            problem = f"it takes the value of {match.group(1)}, which is not set"
        raise UserError(str(place), problem, f"Write {place}=VALUE") from None
    assert isinstance(values, dict)
    return {str(k): v for k, v in values.items() if k not in ("hydra", "search") and (k, v) != ("pairs", None)}


def changed(config: DictConfig, values: Mapping[str, Any]) -> DictConfig:
    """Return a copy with the keys set as `KEY=VALUE` words would have set them; `+KEY` adds one."""
    copy = deepcopy(config)
    for key, value in values.items():
        OmegaConf.update(copy, key.lstrip("+"), value, merge=True, force_add=key.startswith("+"))
    return copy


def search_settings(config: DictConfig) -> Mapping[str, Any] | None:
    """Return what a composed configuration says about a search, as plain values; None where it asks for none."""
    if "search" not in config or config.search is None:
        return None
    settings = OmegaConf.to_container(config.search, resolve=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def expand(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """Multiply out `key=a,b` words as Hydra's basic sweeper does, the last key varying fastest.

    Hydra must be initialised: `glob(*)` looks at the groups.
    """
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    choices: list[list[str]] = []
    swept: set[str] = set()
    for word in overrides:
        try:
            (parsed,) = parser.parse_overrides([word])
        except HydraException:
            raise unreadable(word) from None
        if parsed.is_interval_sweep():
            raise UserError(word, "only a search draws from an interval", "Add search=custom, or give values: KEY=1,2")
        if parsed.is_sweep_override():
            if parsed.key_or_group in swept:
                raise UserError(word, "its values are swept over already", "Give all of them in one word")
            swept.add(parsed.key_or_group)
            choices.append([f"{parsed.get_key_element()}={value}" for value in _swept_values(word, parsed)])
        else:
            choices.append([word])
    return list(product(*choices))


def _swept_values(word: str, parsed: Override) -> list[str]:
    """The values that `word` sweeps over; raises `UserError` where there is none, or no end of them."""
    try:
        values = list(parsed.sweep_string_iterator())
    except HydraException:
        raise UserError(word, "its values cannot be counted out", "Give them one by one: KEY=A,B") from None
    if not values:
        raise UserError(word, "it sweeps over nothing", "Give it a value: KEY=VALUE, or KEY=A,B for several")
    return values


class Composer:
    """Composes jobs within an initialised Hydra; complaints come out as `UserError`."""

    def __init__(self, config_dir: str | None) -> None:
        self.search = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []

    def compose(self, overrides: Sequence[str], *, hydra_config: bool = False) -> DictConfig:
        """Return the configuration of one job's words, with Hydra's own settings below `hydra` if asked."""
        for word in overrides:
            if word.startswith("="):
                raise unreadable(word)
            if re.fullmatch(r"~\w+(=.*)?", word):
                raise UserError(word, "a run needs every group and key of the top level", f"Leave {word} out")
        try:
            return compose("config", overrides=[*self.search, *overrides], return_hydra_config=hydra_config)
        except OverrideParseException as error:
            raise unreadable(error.override) from None
        except (HydraException, OmegaConfBaseException) as error:
            raise self._explained(error, overrides) from None

    def _explained(self, error: Exception, overrides: Sequence[str]) -> UserError:
        text = str(error) if error.__cause__ is None else f"{error}\n{error.__cause__}"
        missing = re.search(r"Could not (?:find|load) '([^']+)'", text)
        if missing and "Available options in" in text:
            group, _, option = missing.group(1).rpartition("/")
            options = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE)
            return UserError(f"{group}={option}", "there is no such option", did_you_mean(option, options))
        if match := re.search(r"Could not (?:override|delete from config.) '([^']+)'", text):
            return self._unknown(match.group(1), text, overrides)
        if match := re.search(r"An item is already at '([^']+)'", text):
            key = match.group(1)
            return UserError(key, "it exists already and `+` adds a new key", f"Write {key}=VALUE without the `+`")
        place = next((word for word in overrides if word.split("=")[0].lstrip("+~") in text), "configuration")
        if match := re.search(r"Ambiguous value for argument '([^']+)'", text):
            place = match.group(1)
            key, _, value = place.partition("=")
            takes_list = "." in key and not key.endswith(".path") and self._may_be_list(key.lstrip("+"), overrides)
            as_list = f", or write one list: '{key}=[{value}]'" if takes_list else ""
            return UserError(place, "it has several values", f"Add -m for a sweep over them{as_list}")
        if "Multiple values for" in text or "force-add of config groups" in text:
            return UserError(place, "the group has an option already", f"Write {place.lstrip('+')} without the `+`")
        problem = text.strip().removeprefix(f"Error merging override {place}").strip().splitlines()[0].rstrip(".")
        return UserError(place, problem, "See `rlhf --help` for groups and `rlhf --cfg job` for keys")

    def _unknown(self, key: str, text: str, overrides: Sequence[str]) -> UserError:
        """Explain a key or group that is not there; Hydra knows where a group of that name belongs."""
        if hint := re.search(r"Did you mean to override (\S+)\?", text):
            return UserError(key, "there is no such key; the group is chosen elsewhere", f"Write {hint.group(1)}=NAME")
        group, at, _ = key.partition("@")
        option = next((word.partition("=")[2] for word in overrides if word.partition("=")[0] == key), "")
        loader = GlobalHydra.instance().config_loader()
        options = loader.get_group_options(group, config_name="config", overrides=self.search) if at else []
        if options and option not in options:
            return UserError(f"{group}={option}", "there is no such option", did_you_mean(option, options))
        if full := re.search(r"full_key: (\S+)", text):
            key = full.group(1)
        *parents, word = key.split(".")
        node = self._node(parents, overrides)
        names = [str(name) for name in node if not str(name).startswith("_")]
        if parents[-1:] == ["trainer"] and (method := self._node(parents[:-1], overrides).get("name")):
            owned = owned_fields(method)
            if word in owned:
                return UserError(key, f"is set by {owned[word]}", "Set it there")
            names = sorted(trainer_fields(method).keys() - owned.keys())
            if word in names:
                return UserError(key, "the YAML does not set it, so it is to be added", f"Write ++{key}=VALUE")
        if parents[-1:] == ["rewards"]:
            known = f"there is no such reward source; known are {', '.join(names)}"
            return UserError(key, known, f"To add one, write '+{key}={{kind: KIND, weight: 1.0}}'")
        return UserError(key, "unknown key", did_you_mean(word, names) if names else "Another dataset may have it")

    def _may_be_list(self, key: str, overrides: Sequence[str]) -> bool:
        """Whether the value that `key` has is a list, or none that tells what it takes."""
        *parents, word = key.split(".")
        value = self._node(parents, [each for each in overrides if "," not in each]).get(word)
        return value is None or isinstance(value, ListConfig)

    def _node(self, path: list[str], overrides: Sequence[str]) -> DictConfig:
        """Return what lies at `path` with the command line's group choices (`method=sft`) in force; else nothing."""
        groups = [word for word in overrides if re.match(r"^[\w/]+=", word)]
        for choices in (groups, []):
            with suppress(HydraException, OmegaConfBaseException):
                whole = path[:1] == ["hydra"]
                config = compose("config", overrides=[*self.search, *choices], return_hydra_config=whole)
                node = OmegaConf.select(config, ".".join(path)) if path else config
                return node if isinstance(node, DictConfig) else OmegaConf.create()
        return OmegaConf.create()
