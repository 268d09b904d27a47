"""A first call of the user's functions, so that what they return is seen before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlhf.data.rows import Row
from rlhf.ppo.rewards.combine import Combined
from rlhf.ppo.rewards.function import function_scorer
from rlhf.ppo_spec import FunctionReward, RewardSourceSpec

TRIED = 4  # answers


def try_functions(specs: Mapping[str, RewardSourceSpec], rows: Sequence[Row]) -> None:
    """Let each function score the own answers of the first few of `rows`; raises as it would in the middle of PPO."""
    functions = {
        name: (spec.weight, function_scorer(name, spec))
        for name, spec in specs.items()
        if isinstance(spec, FunctionReward)
    }
    few = [(row, row.completion) for row in rows if row.completion is not None][:TRIED]
    if functions:
        Combined(functions).each([row for row, _ in few], [answer for _, answer in few])
