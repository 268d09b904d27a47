"""Which metrics and curves a run will have, so that a search for something that nobody measures is refused."""

from __future__ import annotations

from collections.abc import Sequence

from rlhf.config import Run, ToyDataset
from rlhf.errors import UserError
from rlhf.evaluation import metrics as names
from rlhf.evaluation.described import suite_of
from rlhf.evaluation.ppo import metrics as ppo_metrics
from rlhf.search.spec import ObjectiveSpec, PrunerSpec
from rlhf.suggest import did_you_mean

LOSS = "eval/loss"
IMPLICIT = ("eval/rewards/accuracies", "eval/rewards/margins", "eval/rewards/chosen", "eval/rewards/rejected")
SCORER = ("eval/accuracy", "eval/margin")
SAMPLED = tuple(
    f"eval/{metric.name}"
    for metric in (
        ppo_metrics.REWARD_SCORE, ppo_metrics.REWARD_GOLD, ppo_metrics.REWARD_TOTAL,
        ppo_metrics.KL_K1, ppo_metrics.KL_K3,
    )
)  # fmt: skip
JUDGED = ("final/reward", "final/win_rate")
GUARDED = (names.FINAL_SYMPTOM_STEPS.name, names.FINAL_ROLLBACKS.name)
PAIRS = ("final/accuracy", "final/margin")
FLOORS = (names.FINAL_ACCURACY_LENGTH_RULE.name, names.FINAL_ACCURACY_BAG_OF_WORDS.name)


def curves_of(run: Run) -> tuple[str, ...]:
    """Return the held-out curves of a run's own stage."""
    if run.method.learns_from_samples:
        gold = isinstance(run.dataset, ToyDataset)
        return tuple(name for name in SAMPLED if gold or name != f"eval/{ppo_metrics.REWARD_GOLD.name}")
    if run.method.has_implicit_reward:
        return (LOSS, *IMPLICIT)
    return (LOSS,) if run.method.trains_policy else (LOSS, *SCORER)


def check_curve(run: Run, pruner: PrunerSpec) -> None:
    """Raise `UserError` where a pruner looks at a curve that a run does not have."""
    known = curves_of(run)
    if pruner.name != "none" and pruner.metric not in known:
        problem = f"method={run.method.name} has no curve {pruner.metric}"
        remedy = f"{did_you_mean(str(pruner.metric), known)} Or write search.pruner.name=none"
        raise UserError("search.pruner.metric", problem, remedy)


def check_objectives(run: Run, objectives: Sequence[ObjectiveSpec]) -> None:
    """Raise `UserError` where an objective is a metric that a run will not have."""
    for index, objective in enumerate(objectives):
        if why := _absent(run, objective.metric):
            problem, _, remedy = why.partition(". ")
            raise UserError(f"search.objectives[{index}]", f"{objective.metric} {problem}", remedy)


def _without(run: Run, suite: str) -> str | None:
    """Say what is to be done for a run to be measured by a suite; None where it is."""
    if not run.method.trains_policy:  # whose held-out pairs are told about by whatever suites are chosen
        why = f"is of answers and method={run.method.name} trains no policy. Use another method"
        return None if suite == "preference" else why
    if suite in run.evaluation.suites:
        return None
    chosen = ",".join([*run.evaluation.suites, suite])
    return f"is measured by the suite {suite}. Write 'evaluation.suites=[{chosen}]'"


def _absent(run: Run, metric: str) -> str | None:
    """Say why a run does not measure a metric, and what to do about it; None where it does."""
    method, hardware = run.method, run.hardware
    if metric in GUARDED:
        return None if method.learns_from_samples else "is counted by PPO only. Leave it out, or use method=ppo"
    if metric in FLOORS:
        return None if not method.trains_policy else "belongs to reward models. Use method=reward"
    if metric.startswith(PAIRS):
        paired = method.has_implicit_reward or not method.trains_policy
        return None if paired else f"is of pairs and not measured by method={method.name}. Use method=dpo or reward"
    if metric.startswith(("cost/usd", "cost/pipeline_usd")) and hardware.usd_per_hour is None:
        return f"needs a price and hardware={hardware.name} has none. Write hardware.usd_per_hour=PRICE"
    if suite := suite_of(metric):
        return _without(run, suite)
    if not metric.startswith("final/") or metric == names.FINAL_LOSS.name:
        return None
    if not method.trains_policy:
        return f"is of a policy and method={method.name} trains none. Use final/accuracy or another method"
    if metric.startswith("final/reward_gold"):
        toy = isinstance(run.dataset, ToyDataset)
        return None if toy else "is known for support_toy only. Use final/reward with evaluation.judge=reward"
    if metric.startswith(JUDGED) and run.evaluation.judge == "none":
        return "needs a judge. Write evaluation.judge=reward, or evaluation.judge=gold on support_toy"
    return None
