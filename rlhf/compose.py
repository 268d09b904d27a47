"""Composing every job of a command line with Hydra before anything starts, and turning Hydra's complaints into ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlhf.build import build
from rlhf.config import Run
from rlhf.errors import UserError
from rlhf.suggest import did_you_mean

VALUED_FLAGS = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--package", "-p", "--cfg", "-c")
HERE = Path(__file__).resolve().parent


def conf_dir() -> Path:
    """Return the folder of YAML files: inside the installed package, or beside it in a checkout."""
    inside = HERE / "conf"
    return inside if inside.is_dir() else HERE.parent / "conf"


@dataclass(frozen=True)
class Words:
    """A command line taken apart: `key=value` overrides, and the flags that are Hydra's."""

    overrides: tuple[str, ...]
    flags: tuple[str, ...]
    multirun: bool
    config_dir: str | None


def parse_words(words: Sequence[str]) -> Words:
    """Split `words` into overrides and flags (`--config-dir DIR` and its like keep their value)."""
    overrides: list[str] = []
    flags: list[str] = []
    config_dir = None
    waiting = iter(words)
    for word in waiting:
        if word in (
            "--config-dir",
            "-cd",
            "--config-name",
            "-cn",
            "--config-path",
            "-cp",
            "--package",
            "-p",
            "--cfg",
            "-c",
        ):
            value = next(waiting, "")
            flags += [word, value]
            config_dir = value if word in ("--config-dir", "-cd") else config_dir
        elif word.startswith("-"):
            flags.append(word)
            config_dir = word.partition("=")[2] if word.startswith("--config-dir=") else config_dir
        else:
            overrides.append(word)
    return Words(tuple(overrides), tuple(flags), bool({"-m", "--multirun"} & set(flags)), config_dir)


def jobs(words: Words) -> list[tuple[tuple[str, ...], Run]]:
    """Compose and check every job of the command line; returns (overrides, run) per job, in the sweeper's order.

    Raises `UserError` for the first word that cannot be composed and for the first job that is refused.
    """
    if words.config_dir is not None and not Path(words.config_dir).is_dir():
        raise UserError(f"--config-dir {words.config_dir}", "there is no such folder", "Give a folder of config groups")
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composer = Composer(words.config_dir)
        expanded = expand(words.overrides) if words.multirun else [words.overrides]
        return [(overrides, build(plain(composer.compose(overrides)))) for overrides in expanded]


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a composed configuration as plain values, interpolations resolved."""
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        place = getattr(error, "full_key", None) or "configuration"
        raise UserError(str(place), str(error).splitlines()[0], "Give it a value that can be resolved") from None
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key != "hydra"}


def expand(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """Multiply out `key=a,b` words as Hydra's basic sweeper does, the last key varying fastest."""
    parser = OverridesParser.create()
    choices: list[list[str]] = []
    for word in overrides:
        try:
            parsed = parser.parse_override(word)
        except HydraException:
            raise _not_an_override(word) from None
        if parsed.is_sweep_override():
            choices.append([f"{parsed.get_key_element()}={value}" for value in parsed.sweep_string_iterator()])
        else:
            choices.append([word])
    return list(product(*choices))


class Composer:
    """Composes jobs within an initialised Hydra; complaints come out as `UserError`."""

    def __init__(self, config_dir: str | None) -> None:
        self.search = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Return the configuration of one job's words."""
        try:
            return compose("config", overrides=[*self.search, *overrides])
        except OverrideParseException as error:
            raise _not_an_override(error.override) from None
        except (HydraException, OmegaConfBaseException) as error:
            raise self._explained(error, overrides) from None

    def _explained(self, error: Exception, overrides: Sequence[str]) -> UserError:
        text = str(error) if error.__cause__ is None else f"{error}\n{error.__cause__}"
        missing = re.search(r"Could not (?:find|load) '([^']+)'", text)
        if missing and "Available options in" in text:
            group, _, option = missing.group(1).rpartition("/")
            options = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE)
            return UserError(f"{group}={option}", "there is no such option", did_you_mean(option, options))
        if match := re.search(r"Could not override '([^']+)'", text):
            key = match.group(1).partition("@")[0]
            *parents, word = key.split(".")
            names = self._keys(parents, overrides)
            return UserError(key, "unknown key", did_you_mean(word, names) if names else "See `rlhf --cfg job`")
        if match := re.search(r"An item is already at '([^']+)'", text):
            key = match.group(1)
            return UserError(key, "it exists already and `+` adds a new key", f"Write {key}=VALUE without the `+`")
        place = next((word for word in overrides if word.split("=")[0].lstrip("+~") in text), "configuration")
        problem = text.strip().splitlines()[0].rstrip(".")
        return UserError(place, problem, "See `rlhf --help` for groups and `rlhf --cfg job` for keys")

    def _keys(self, parents: list[str], overrides: Sequence[str]) -> list[str]:
        """Return the keys beside a misspelt one, with the command line's group choices (`method=sft`) in force."""
        groups = [word for word in overrides if re.match(r"^[\w/]+=", word)]
        for choices in (groups, []):
            with suppress(HydraException, OmegaConfBaseException):
                config = compose("config", overrides=[*self.search, *choices])
                node = OmegaConf.select(config, ".".join(parents)) if parents else config
                return [str(key) for key in node] if isinstance(node, DictConfig) else []
        return []


def _not_an_override(word: str) -> UserError:
    return UserError(word, "this is not KEY=VALUE", "Quote values with spaces or brackets: 'key=\"a b\"'")
