"""A first call of the user's functions, so that what they return is seen before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rlhf import ranks
from rlhf.data.rows import Row
from rlhf.errors import UserError
from rlhf.ppo.rewards.function import Unfit, call_function
from rlhf.ppo_spec import FunctionReward, RewardSourceSpec, place

TRIED = 4  # answers


def try_functions(specs: Mapping[str, RewardSourceSpec], rows: Callable[[], Sequence[Row]]) -> None:
    """Let each function score the own answers of the first few of `rows`, which are asked for if there is a function.

    Raises `UserError` where one fails or gives no finite numbers: nothing is trained yet that could go on.
    """
    functions = {name: call_function(name, spec) for name, spec in specs.items() if isinstance(spec, FunctionReward)}
    if not functions:
        return
    few = rows()[:TRIED]
    with ranks.failing_together():
        for name, function in functions.items():
            try:
                function(few, [str(row.completion) for row in few])
            except Unfit as error:
                raise UserError(place(name), error.problem, error.remedy) from error
