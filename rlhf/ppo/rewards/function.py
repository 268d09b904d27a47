"""`kind: function`: scores that a Python function gives, ours (`rlhf.ppo.builtin`) or the user's."""

from __future__ import annotations

import math
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.data.rows import Row
from rlhf.errors import RunFailure, one_line
from rlhf.ppo.rewards.base import GO_ON, Scorer
from rlhf.ppo.sources.functions import find_function
from rlhf.ppo.sources.imports import is_own
from rlhf.ppo_spec import FunctionReward, place

EDITED = ", or from the start where the function's module was edited"  # whose bytes belong to the stage's fingerprint


class Unfit(Exception):
    """What a function did instead of giving one finite number per answer, and what mends it."""

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem, self.remedy = problem, remedy
        super().__init__(problem)


def function_scorer(name: str, spec: FunctionReward) -> Scorer:
    """Return the scorer that calls `spec.name`; raises `UserError` where it is no function of prompts and answers.

    The scorer raises `RunFailure` where the function fails or gives no finite numbers.
    """
    called = call_function(name, spec)

    def score(rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
        try:
            return called(rows, answers)
        except Unfit as error:
            remedy = f"{error.remedy} and {GO_ON}{EDITED}"
            raise RunFailure(place(name), error.problem, remedy, resumable=True) from error

    return score


def call_function(name: str, spec: FunctionReward) -> Scorer:
    """Return the same, but raising `Unfit`: what that means depends on when the function is called."""
    function = find_function(name, spec)

    def score(rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
        prompts = [[dict(message) for message in row.prompt] for row in rows]
        try:
            values = function(prompts, list(answers))
        except SystemExit as left:  # which would end the command without a word
            if not _raised_by_user(left):  # SLURM takes its node back while the function runs
                raise
            problem = f"{spec.name} failed (it calls sys.exit({left.code!r}){_where(left)})"
            raise Unfit(problem, "Mend what fails") from left
        except Exception as error:  # it is the user's code, which may raise anything
            problem = f"{spec.name} failed ({one_line(error)}{_where(error)}; --debug shows the traceback)"
            raise Unfit(problem, "Mend what fails") from error
        return _numbers(spec.name, values, len(answers))

    return score


def _raised_by_user(error: BaseException) -> bool:
    """Whether code of the user's raised it, rather than a signal's handler that came in between."""
    return is_own(Path(traceback.extract_tb(error.__traceback__)[-1].filename))


def _where(error: BaseException) -> str:
    """Tell file and line of the user's own code that raised it; empty where none of it did."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(Path(frame.filename))]
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _numbers(what: str, values: Any, wanted: int) -> list[float]:
    def refused(problem: str) -> Unfit:
        return Unfit(f"{what} returned {problem}", "Let it return one finite number per answer")

    try:
        listed = list(values)
        numbers = [float(value) for value in listed if not isinstance(value, str | bytes)]
    except (TypeError, ValueError) as error:
        raise refused(f"{type(values).__name__}, not numbers ({one_line(error)})") from error
    if len(numbers) != len(listed):
        raise refused("text where numbers were expected")
    if len(numbers) != wanted:
        raise refused(f"{len(numbers)} value{'' if len(numbers) == 1 else 's'} for {wanted} answers")
    wrong = next((number for number in numbers if not math.isfinite(number)), None)
    if wrong is not None:
        raise refused(str(wrong))
    return numbers
