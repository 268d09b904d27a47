"""The phrase tables, one YAML for each language: ours (`rlhf/pairs/phrases`) or a folder of the user's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, model_validator

from rlhf.errors import UserError
from rlhf.spec import Spec

OWN = Path(__file__).parent / "phrases"
ANYTHING = "no rule of any sentence fits this one"  # what the last contradiction must fit


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is no regular expression ({error})") from None
    return value


def _one_slot(value: str) -> str:
    if wrong := [name for name in re.findall(r"(?<!\{)\{(\w+)\}(?!\})", value) if name != "about"]:
        raise ValueError(f"has a slot {{{wrong[0]}}}; the only one is {{about}}")
    return value


Phrases = Annotated[list[Annotated[str, Field(min_length=1), AfterValidator(_one_slot)]], Field(min_length=1)]


class Contradiction(Spec):
    r"""A persona's sentence that fits `match` as a whole (no final stop) is contradicted by `say` (\1: group 1)."""

    match: Annotated[str, AfterValidator(_pattern)]
    say: str

    @model_validator(mode="after")
    def _groups_are_there(self) -> Contradiction:
        try:
            self.pattern.sub(self.say, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"say {self.say!r} does not go with match {self.match!r} ({error})") from None
        return self

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The rule, whatever the capitals."""
        return re.compile(self.match, re.IGNORECASE)


class Softener(Contradiction):
    """Polite words that fit `match` anywhere in an answer are replaced by `say`."""


class BadSpec(Spec):
    """Ways to say something that no agent should; `{about}` is what the customer's message is about."""

    whole: Phrases  # the whole of an answer
    opening: Phrases  # said before a good answer
    closing: Phrases  # said instead of a good answer's last sentence


class Table(Spec):
    """The phrases of one language."""

    generic: Phrases  # answers that fit any message and help with none
    says_intents: bool  # whether names of intents read well in this language: data sets write them in English
    this: str  # what {about} is where a row has neither a placeholder nor an intent to say
    rude: BadSpec
    sensitive: BadSpec
    softeners: list[Softener]
    contradictions: Annotated[list[Contradiction], Field(min_length=1)]


def read_tables(folder: str | None) -> dict[str, Table]:
    """Return the table of each language in `folder` (null: our own); raises `UserError` naming file and key."""
    where = OWN if folder is None else Path(folder).expanduser()
    files = sorted(where.glob("*.yaml")) if where.is_dir() else []
    if not files:
        remedy = "Give a folder with en.yaml or the like, or null for our own phrases"
        raise UserError("pairs.phrases", f"{where} is no folder with a phrase table (<language>.yaml)", remedy)
    return {file.stem: _read(file) for file in files}


def table_of(language: str, tables: Mapping[str, Table]) -> Table | None:
    """Return the table of a language; `es` serves `es-MX`, too."""
    return tables.get(language) or tables.get(language.replace("_", "-").partition("-")[0].lower())


def _read(file: Path) -> Table:
    import yaml

    try:
        values: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        table = Table.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        problem = first["msg"].removeprefix("Value error, ")
        raise UserError(str(file), f"{key}: {problem}", "Compare rlhf/pairs/phrases/en.yaml") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = f"cannot be read ({' '.join(str(error).split())[:200]})"
        raise UserError(str(file), problem, "Mend the file, or name another folder") from None
    if not table.contradictions[-1].pattern.fullmatch(ANYTHING):
        problem = "contradictions: the last rule does not fit every sentence"
        raise UserError(str(file), problem, "End with a rule whose match is (.+)")
    return table
