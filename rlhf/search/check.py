"""From the words of a command line to a checked search: its whole space is looked over before anything starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rlhf.build import build
from rlhf.compose import Words, changed, initialized, plain, search_settings
from rlhf.config import Run
from rlhf.errors import UserError
from rlhf.fingerprint import digest
from rlhf.search.measured import check_curve, check_objectives
from rlhf.search.plugins import check_plugins, refuse_missing
from rlhf.search.space import Space, Value
from rlhf.search.spec import ParamSpec, SearchSpec, read_spec
from rlhf.search.study import storage_url
from rlhf.search.words import OWN, parted

GROUP = re.compile(r"[\w/@]+")  # a key without dots chooses a file, or is one of the few at the top level
NO_RESULT = {"tracking", "store", "reuse"}  # of a run: what changes none of its numbers
CELLS_CHECKED = 200  # of a grid
OF_NUMBERS = ("cmaes", "gp")  # samplers
SPACES = ("dpo", "ppo")  # methods that `conf/search` has a space for, named after them
SHOWN = 8  # digits of what names a study


@dataclass(frozen=True)
class Search:
    """A search whose space is known to be sound. `fixed` are the words that all of its jobs share."""

    spec: SearchSpec
    space: Space
    fixed: tuple[str, ...]
    words: Words
    runs: list[tuple[tuple[str, ...], Run]] = field(default_factory=list)  # those that were built for the check
    _composed: dict[tuple[str, ...], Any] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, str]:
        """Digests of what decides what its trials give, by what each of them is called."""
        run = self.runs[0][1].model_dump(mode="json")
        return {
            "space": digest({key: param.model_dump(mode="json") for key, param in self.space.params.items()}),
            "list of objectives": digest([objective.model_dump() for objective in self.spec.objectives]),
            "sampler or seed": digest([self.spec.sampler.model_dump(), self.spec.seed]),
            "configuration": digest({key: value for key, value in run.items() if key not in NO_RESULT}),
        }

    @property
    def study(self) -> str:
        """The study's name: the user's, or one that other settings would not share."""
        return self.spec.study or f"{self.spec.name}-{digest(self.identity)[:SHOWN]}"

    def overrides(self, params: Mapping[str, Value]) -> tuple[str, ...]:
        """Return one setting's whole command line."""
        return (*self.fixed, *self.space.words(params))

    def first_job(self, added: Sequence[str]) -> Words:
        """Return the words of one job, with those that are Hydra's own and those `added` to them."""
        own = [word for word in self.words.overrides if word.startswith(("hydra.", "hydra/"))]
        return replace(self.words, overrides=(*self.runs[0][0], *own, *added))

    def run_of(self, params: Mapping[str, Value]) -> Run:
        """Compose and build the job of one setting. Raises `UserError` where it is refused."""
        groups = {key: value for key, value in params.items() if GROUP.fullmatch(key)}
        words = (*self.fixed, *Space({key: self.space.params[key] for key in groups}).words(groups))
        if words not in self._composed:
            with initialized(self.words) as composer:
                rest = [word for word in self.space.words(params) if word not in words]
                self._composed[words] = composer.compose([*words, *rest])
        values = {key: self.space.chosen(key, params[key]) for key in self.space.params if key not in groups}
        return build(plain(changed(self._composed[words], values)))


def find_search(words: Words) -> Search | None:
    """Return the checked search that a command line asks for; None where it asks for none.

    Raises `UserError` for a wrong spec and for the first point of its space that is refused.
    """
    asked = [word for word in words.overrides if word.lstrip("+").startswith(("search=", "search."))]
    if not asked and not any(word.startswith("experiment=") for word in words.overrides):
        return None
    if asked and not any(word.startswith(("search=", "experiment=")) for word in words.overrides):
        raise UserError(asked[0], "no search is chosen", "Add search=NAME: `rlhf --help` lists them")
    with initialized(words) as composer:
        fixed, swept = parted(words.overrides)
        config = composer.compose(fixed)
        values = search_settings(config)
    if values is None:
        if asked:
            raise UserError(asked[0], "no search is chosen", "Add search=NAME: `rlhf --help` lists them")
        return None
    place = asked[0] if asked else "search"
    if not words.multirun:
        raise UserError(place, "a search runs many jobs", "Add -m")
    spec, space = _spec_and_space(values, fixed, swept)
    if not space.params:
        example = "Add a key with its values: method.beta='interval(0.05,0.5)' or method.beta=0.05,0.1"
        raise UserError(place, "nothing is varied", example)
    shared = tuple(word for word in fixed if not word.startswith(OWN))
    search = Search(spec, space, shared, words)
    _check(search)
    refuse_missing()  # last: that no run could have such a space is told without the library
    return search


def _spec_and_space(values: Any, fixed: list[str], swept: dict[str, ParamSpec]) -> tuple[SearchSpec, Space]:
    """Read the spec; of its parameters, those that the command line fixes are left out, those it sweeps are its own."""
    spec = read_spec(values)
    check_plugins(spec)
    storage_url(spec.storage, Path())
    given = {word.partition("=")[0].lstrip("+") for word in fixed}
    params = {key: param for key, param in spec.params.items() if key.lstrip("+") not in given}
    replaced = {key.lstrip("+") for key in swept}
    params = {key: swept.get(key, param) for key, param in params.items() if key in swept or key not in replaced}
    space = Space(params | swept)
    if spec.sampler.name == "grid":
        space.refuse_grid()
    words = [key for key, param in space.params.items() if param.type == "categorical"]
    if spec.sampler.name in OF_NUMBERS and words:
        problem = f"{spec.sampler.name} draws numbers, and {words[0]} is a choice"
        raise UserError(f"search.sampler.name={spec.sampler.name}", problem, "Use search.sampler.name=tpe")
    return spec.model_copy(update={"params": dict(space.params)}), space


def _check(search: Search) -> None:
    """Build the job at both ends of each parameter (of a grid: every cell) and see that it gives what is wanted."""
    lowest = search.space.lowest()
    for params, key in _points(search, lowest):
        try:
            run = search.run_of(params)
        except UserError as error:
            raise _refused(search, params, key, error) from None
        check_objectives(run, search.spec.objectives)
        check_curve(run, search.spec.pruner)
        search.runs.append((search.overrides(params), run))


def _refused(search: Search, params: dict[str, Value], key: str | None, error: UserError) -> UserError:
    """Say which value of which parameter is refused, or which setting of all of them."""
    named = next((known for known in search.space.params if known.lstrip("+") == error.place.lstrip("+")), None)
    key = named or key
    words = search.space.words(params)
    word = words[list(search.space.params).index(key)] if key else ", ".join(words)
    problem = error.problem if named else f"{error.place}: {error.problem}"
    remedy = error.remedy
    if named and problem.startswith("unknown key") and (method := _method(search.words)):
        others = f"search={method}, or " if method in SPACES else ""
        remedy = f"The space is made for another method: try {others}search=custom with a space of your own"
    return UserError(f"search.params.{key}" if key else "search.params", f"{word} is refused: {problem}", remedy)


def _method(words: Words) -> str | None:
    """Return the method that is asked for by name."""
    return next((word.partition("=")[2] for word in words.overrides if word.startswith("method=")), None)


def _points(search: Search, lowest: dict[str, Value]) -> Iterator[tuple[dict[str, Value], str | None]]:
    """Yield settings to be tried, with the parameter that each is about."""
    first = True
    for key in search.space.params:
        for value in search.space.extremes(key):
            point = {**lowest, key: value}
            if first or point != lowest:
                yield point, key
            first = False
    if search.spec.sampler.name == "grid" and search.space.size() <= CELLS_CHECKED:
        for cell in search.space.cells():
            yield cell, None
    else:
        yield {key: search.space.extremes(key)[-1] for key in search.space.params}, None
