"""Reward sources: from the specs in `method.rewards` to one function from prompts and answers to scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rlhf.data.rows import Row
from rlhf.errors import UserError
from rlhf.ppo.rewards.base import RewardParts, Scorer
from rlhf.ppo.rewards.classifier import classifier_scorer
from rlhf.ppo.rewards.combine import Combined
from rlhf.ppo.rewards.function import function_scorer
from rlhf.ppo.rewards.linear import linear_scorer
from rlhf.ppo.rewards.stage import folder_scorer, model_scorer
from rlhf.ppo.rewards.trial import try_functions
from rlhf.ppo.sources.identity import identities
from rlhf.ppo_spec import ClassifierReward, FunctionReward, LinearReward, RewardSourceSpec, StageReward, place

__all__ = [
    "Combined",
    "RewardParts",
    "Scorer",
    "build_rewards",
    "build_scorer",
    "identities",
    "model_scorer",
    "try_functions",
]


def build_rewards(specs: Mapping[str, RewardSourceSpec], parts: RewardParts) -> Combined:
    """Load, fit or import every source of `method.rewards`; return their weighted sum."""
    return Combined({name: (spec.weight, build_scorer(name, spec, parts)) for name, spec in specs.items()})


def build_scorer(name: str, spec: RewardSourceSpec, parts: RewardParts) -> Scorer:
    """Return the scorer of source `name`, not weighted; raises `UserError` at `method.rewards.<name>`."""
    if isinstance(spec, ClassifierReward):
        return classifier_scorer(name, spec, parts)
    if isinstance(spec, LinearReward):
        return linear_scorer(name, spec)
    if isinstance(spec, FunctionReward):
        return function_scorer(name, spec)
    if isinstance(spec, StageReward):
        if spec.folder is not None:
            return folder_scorer(name, Path(spec.folder).expanduser(), parts)
        assert parts.stage is not None, "a source of kind stage without a folder has a reward stage upstream"
        return parts.stage(name)
    return _gold_scorer(name, parts)


def _gold_scorer(name: str, parts: RewardParts) -> Scorer:
    gold = parts.gold
    if gold is None:
        remedy = "Use dataset=support_toy, or another kind of reward"
        raise UserError(place(name, "kind"), "this data set has no known true reward", remedy)

    def score(rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
        return [float(gold(row, answer)) for row, answer in zip(rows, answers, strict=True)]

    return score
