"""The space of a search: its parameters as Optuna's distributions, as words for Hydra, and as cells of a grid."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from rlhf.errors import UserError
from rlhf.search.spec import CategoricalParam, FloatParam, IntParam, ParamSpec

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = None | bool | int | float | str
PLAIN = re.compile(r"[A-Za-z_][\w./-]*")  # words that Hydra reads as text without quotes
DIGITS = 6  # of a real number that is drawn
ROUND = 1e-9  # of a step: how far a sum of floats may miss the upper bound


@dataclass(frozen=True)
class Space:
    """Parameters by key, in the order in which they were written."""

    params: Mapping[str, ParamSpec]

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return what Optuna draws from."""
        from optuna import distributions as known

        found: dict[str, BaseDistribution] = {}
        for key, param in self.params.items():
            if isinstance(param, FloatParam):
                found[key] = known.FloatDistribution(param.low, param.high, log=param.log, step=param.step)
            elif isinstance(param, IntParam):
                found[key] = known.IntDistribution(param.low, param.high, log=param.log, step=param.step)
            else:
                found[key] = known.CategoricalDistribution([stored(choice) for choice in param.choices])
        return found

    def words(self, params: Mapping[str, Value]) -> tuple[str, ...]:
        """Return one setting as `key=value` words for Hydra."""
        return tuple(f"{key}={written(self.chosen(key, params[key]))}" for key in self.params)

    def chosen(self, key: str, value: Value) -> Any:
        """Return the choice that a stored value stands for; of a real number the digits that are worth writing."""
        param = self.params[key]
        if isinstance(param, FloatParam):
            assert isinstance(value, int | float)
            return min(max(float(f"{value:.{DIGITS}g}"), param.low), param.high)
        if not isinstance(param, CategoricalParam):
            return value
        return next(choice for choice in param.choices if same(stored(choice), value))

    def values(self, key: str) -> Sequence[Value] | None:
        """Return all values that a parameter can take; None where it is continuous."""
        param = self.params[key]
        if isinstance(param, CategoricalParam):
            return [stored(choice) for choice in param.choices]
        if isinstance(param, IntParam):
            return range(param.low, param.high + 1, param.step)
        if param.low == param.high:
            return [param.low]
        if param.step is None:
            return None
        count = math.floor((param.high - param.low) / param.step + ROUND)
        return [param.low + index * param.step for index in range(count + 1)]

    def extremes(self, key: str) -> list[Value]:
        """Return what is to be tried before anything starts: each choice, or the lowest and the highest number."""
        param = self.params[key]
        if isinstance(param, CategoricalParam):
            return [stored(choice) for choice in param.choices]
        return [param.low] if param.low == param.high else [param.low, param.high]

    def lowest(self) -> dict[str, Value]:
        """The setting of all first values."""
        return {key: self.extremes(key)[0] for key in self.params}

    def size(self) -> float:
        """How many settings there are; infinite where a parameter is continuous."""
        return math.prod(len(values) if (values := self.values(key)) is not None else math.inf for key in self.params)

    def cells(self) -> Iterator[dict[str, Value]]:
        """All settings of a finite space, the last key varying fastest."""
        every = [self.values(key) for key in self.params]
        for cell in product(*(values for values in every if values is not None)):
            yield dict(zip(self.params, cell, strict=True))

    def refuse_grid(self) -> None:
        """Raise `UserError` where a parameter is continuous, so that no grid covers it."""
        for key in self.params:
            if self.values(key) is None:
                remedy = "Give it a step, or choices (type: categorical), or use another search.sampler.name"
                raise UserError(f"search.params.{key}", "a grid cannot hold all values between its bounds", remedy)


def stored(choice: Any) -> Value:
    """Return what Optuna keeps for a choice: itself, or the text of a list."""
    return choice if choice is None or isinstance(choice, bool | int | float | str) else written(choice)


def same(one: Value, other: Value) -> bool:
    """Whether two stored values are one setting: 1 and True are not, floats that differ by rounding are."""
    if isinstance(one, bool) or isinstance(other, bool) or not isinstance(one, int | float):
        return type(one) is type(other) and one == other
    return isinstance(other, int | float) and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-300)


def alike(one: Mapping[str, Value], other: Mapping[str, Value]) -> bool:
    """Whether two settings are the same."""
    return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())


def written(value: Any) -> str:
    """Return a value as Hydra reads it in `key=value`."""
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value) if not isinstance(value, float) else repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(written(inner) for inner in value) + "]"
    if PLAIN.fullmatch(value) and value.lower() not in ("null", "true", "false", "nan", "inf"):
        return str(value)
    value = re.sub(r'\\+(?="|\Z)', lambda found: 2 * found[0], value)  # where they would escape a quote
    return '"' + value.replace('"', '\\"') + '"'
