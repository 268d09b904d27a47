"""How much of the objectives' spread each parameter explains, by two estimators of Optuna's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rlhf.search.space import Space
from rlhf.search.spec import SearchSpec

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

LEAST = 4  # finished trials, below which nothing can be said


def importances(done: Sequence[FrozenTrial], spec: SearchSpec, space: Space) -> dict[str, dict[str, dict[str, float]]]:
    """Return metric -> estimator -> parameter -> share, largest first; empty where there is too little to go by.

    `fanova` (Hutter et al. 2014) splits the variance over the whole space; `ped_anova` (Watanabe et al. 2023) asks what
    sets the better trials apart from all.
    """
    import optuna

    if len(done) < LEAST:
        return {}
    study = optuna.create_study(directions=[objective.direction for objective in spec.objectives])
    study.add_trials([trial for trial in done if trial.params.keys() == space.params.keys()])
    found: dict[str, dict[str, dict[str, float]]] = {}
    for index, objective in enumerate(spec.objectives):
        values = {trial.values[index] for trial in done}
        if len(values) < 2:
            continue  # nothing is explained where nothing differs
        evaluators = {
            "fanova": optuna.importance.FanovaImportanceEvaluator(seed=spec.seed),
            "ped_anova": optuna.importance.PedAnovaImportanceEvaluator(),
        }
        found[objective.metric] = {name: _shares(study, one, _value(index)) for name, one in evaluators.items()}
    return found


def _shares(study: Any, evaluator: Any, target: Callable[[FrozenTrial], float]) -> dict[str, float]:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            shares = optuna.importance.get_param_importances(study, evaluator=evaluator, target=target)
        except (RuntimeError, ValueError):  # too few trials for this estimator, or none of them differs
            return {}
    return {key: float(share) for key, share in shares.items()}


def _value(index: int) -> Callable[[FrozenTrial], float]:
    def target(trial: FrozenTrial) -> float:
        return float(trial.values[index])

    return target
