"""`kind: function`: scores that a Python function gives, ours (`rlhf.ppo.builtin`) or the user's."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from rlhf.data.rows import Row
from rlhf.errors import UserError
from rlhf.ppo.rewards.base import Scorer, one_line, place
from rlhf.ppo_spec import FunctionReward
from rlhf.suggest import did_you_mean


def function_scorer(name: str, spec: FunctionReward) -> Scorer:
    """Return the scorer that calls `spec.name`; raises `UserError` where it is no function of prompts and answers."""
    function = find_function(name, spec)

    def score(rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
        prompts = [[dict(message) for message in row.prompt] for row in rows]
        try:
            values = function(prompts, list(answers))
        except Exception as error:  # it is the user's code, which may raise anything
            problem = f"{spec.name} failed ({one_line(error)})"
            raise UserError(place(name), problem, "Mend the function") from error
        return _numbers(name, spec.name, values, len(answers))

    return score


def find_module(name: str, spec: FunctionReward) -> ModuleType:
    """Import the module of `spec.name`, also from the working directory; raises `UserError`."""
    module = spec.name.partition(":")[0]
    here = str(Path.cwd())
    if here not in sys.path:  # `python -m` looks here too; last, so that nothing installed is hidden
        sys.path.append(here)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            problem = f"there is no module {error.name} (looked in the installed packages and in {here})"
            raise UserError(place(name, "name"), problem, "Give module:function of a module that is there") from error
        raise UserError(
            place(name, "name"), f"{module} imports {error.name}, which is not there", "Install it"
        ) from error
    except Exception as error:  # a module of the user's may raise anything
        problem = f"{module} cannot be imported ({one_line(error)})"
        raise UserError(place(name, "name"), problem, "Mend the module") from error


def find_function(name: str, spec: FunctionReward) -> Callable[..., Any]:
    """Import the function of `spec.name`; raises `UserError` where it is none that takes prompts and answers."""
    found, word = find_module(name, spec), spec.name.partition(":")[2]
    if not hasattr(found, word):
        public = [key for key, value in vars(found).items() if inspect.isfunction(value) and not key.startswith("_")]
        near = did_you_mean(word, public) if public else "It holds no function"
        raise UserError(place(name, "name"), f"{found.__name__} has no {word}", near)
    function: Callable[..., Any] = getattr(found, word)
    if not callable(function):
        problem = f"{spec.name} is {type(function).__name__}, not a function"
        raise UserError(place(name, "name"), problem, "Name a function of (prompts, answers)")
    try:
        inspect.signature(function).bind([], [])
    except TypeError as error:
        problem = f"{spec.name}{inspect.signature(function)} cannot be called with prompts and answers"
        raise UserError(place(name, "name"), problem, "Give it two parameters: (prompts, answers)") from error
    except ValueError:  # some functions written in C do not tell their parameters
        pass
    return function


def _numbers(name: str, what: str, values: Any, wanted: int) -> list[float]:
    remedy = "Return a list with one finite number per answer"
    try:
        listed = list(values)
        numbers = [float(value) for value in listed if not isinstance(value, str | bytes)]
    except (TypeError, ValueError) as error:
        problem = f"{what} returned {type(values).__name__}, not numbers ({one_line(error)})"
        raise UserError(place(name), problem, remedy) from error
    if len(numbers) != len(listed):
        raise UserError(place(name), f"{what} returned text where numbers were expected", remedy)
    if len(numbers) != wanted:
        raise UserError(place(name), f"{what} returned {len(numbers)} values for {wanted} answers", remedy)
    wrong = next((number for number in numbers if not math.isfinite(number)), None)
    if wrong is not None:
        raise UserError(place(name), f"{what} returned {wrong}", remedy)
    return numbers
