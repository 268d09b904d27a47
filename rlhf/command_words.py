"""The words of a command line, looked at before anything is composed: what cannot be read, and what contradicts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from rlhf.errors import UserError
from rlhf.folders import conf_dir

CHOICE = re.compile(r"(?P<group>[\w/]+)(?P<at>@[\w.]+)?=(?P<options>.+)")  # of a group, as in `model=gpt2`
TUNING = "tuning"  # the group whose options choose those of others


def with_home(word: str) -> str:
    """Write the home folder for the `~` of KEY=~/FILE, which most shells leave as it is."""
    key, equals, value = word.partition("=")
    return f"{key}={Path(value).expanduser()}" if equals and value.startswith("~/") else word


def refuse_unreadable(word: str) -> None:
    """Raise `UserError` for a word that Hydra's grammar does not know, as it was typed."""
    try:
        OverridesParser.create().parse_overrides([word])
    except HydraException:
        raise unreadable(word) from None


def unreadable(word: str) -> UserError:
    """Return what is told of a word that cannot be read."""
    if not word.partition("=")[0].isascii():
        return UserError(word, "no key has such signs", "`rlhf --help` shows the keys")
    if re.match(r"[^\s=]+=", word):
        return UserError(word, "its value cannot be read", "Check its commas, brackets and quotes; 'key=\"a b\"'")
    return UserError(word, "this is not KEY=VALUE", "Quote values with spaces or brackets: 'key=\"a b\"'")


def refuse_contradictions(words: Sequence[str], config_dir: str | None) -> None:
    """Raise `UserError` where two words of one command line choose different options of a group.

    Hydra takes the last without a word. That a word differs from what an experiment's file chooses is no contradiction.
    """
    homes = [conf_dir(), *([Path(config_dir)] if config_dir else [])]
    chosen: dict[str, str] = {}  # word by group
    for word in words:
        found = CHOICE.fullmatch(word)
        if found is None or not any((home / found["group"]).is_dir() for home in homes):
            continue
        key = word.partition("=")[0]
        if chosen.setdefault(key, word) != word:
            raise UserError(word, f"{chosen[key]} chooses another option of the same group", "Leave one of the two out")
    if TUNING in chosen:
        for option in _options(chosen[TUNING]):
            for group, own in _choices_of(option, homes).items():
                if any(other != own for other in _options(chosen.get(group, ""))):
                    problem = f"{TUNING}={option} chooses {group}={own}"
                    raise UserError(chosen[group], problem, f"Leave {chosen[group]} or {chosen[TUNING]} out")


def _options(word: str) -> list[str]:
    """Return the options that `GROUP=A,B` names; none of a word whose options are counted out by a function."""
    value = word.partition("=")[2]
    return [] if not value or "(" in value else value.split(",")


def _choices_of(option: str, homes: Sequence[Path]) -> Mapping[str, str]:
    """Return what an option of `tuning` chooses, by group: the `override` lines of its defaults."""
    file = next((file for home in homes if (file := home / TUNING / f"{option}.yaml").is_file()), None)
    config = OmegaConf.load(file) if file else None
    lines = config.get("defaults", []) if isinstance(config, DictConfig) else []
    pairs = (pair for line in lines if isinstance(line, DictConfig) for pair in line.items())
    return {str(key).removeprefix("override /"): str(own) for key, own in pairs if str(key).startswith("override /")}
