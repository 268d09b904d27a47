"""`kind: function`: scores that a Python function gives, ours (`rlhf.ppo.builtin`) or the user's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rlhf.data.rows import Row
from rlhf.errors import UserError, one_line
from rlhf.ppo.rewards.base import Scorer
from rlhf.ppo.sources.functions import find_function
from rlhf.ppo_spec import FunctionReward, place


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
        given = f"{len(numbers)} value{'' if len(numbers) == 1 else 's'}"
        raise UserError(place(name), f"{what} returned {given} for {wanted} answers", remedy)
    wrong = next((number for number in numbers if not math.isfinite(number)), None)
    if wrong is not None:
        raise UserError(place(name), f"{what} returned {wrong}", remedy)
    return numbers
