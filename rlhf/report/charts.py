"""How MLflow's UI opens on a sweep: a saved view of its jobs with the charts that answer what a sweep was run for.

MLflow keeps such a view as JSON in a tag of the experiment, and a link names it by its key. The fields are those of
MLflow 3.17's page of runs (its `ExperimentPageUIState` and chart cards).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.evaluation import metrics
from rlhf.report.words import own_words

LEAVES = ("seed", "precision", "store", "reuse")  # keys that are no group; `model=gpt2` sets the param `model.name`
NO_PARAMS = ("experiment", "search")  # groups that leave no param of their own
FINALS = (  # what finished jobs are compared by, best known first
    metrics.FINAL_REWARD_GOLD_DIFFERENCE.name,
    metrics.FINAL_REWARD.name,
    metrics.FINAL_KL.name,
    metrics.FINAL_WIN_RATE.name,
    metrics.FINAL_ACCURACY.name,
    metrics.FINAL_LOSS.name,
    metrics.FINAL_NLL.name,
    metrics.COST_SECONDS.name,
    metrics.COST_USD.name,
)
CURVES = (
    "train/loss",
    "eval/loss",
    "eval/rewards/margins",
    "train/reward/score",
    "train/kl/k1_policy_to_reference",
)
COMPARISON, LEARNING = "rlhf-comparison", "rlhf-learning"


def sweep_view(sweep_id: str, outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the state of MLflow's page of runs for the jobs of a sweep; only what they measured is drawn."""
    finals = [name for name in FINALS if any(name in outcome.get("metrics", {}) for outcome in outcomes)]
    curves = [name for name in CURVES if any(name in outcome.get("curves", {}) for outcome in outcomes)]
    varied = varied_params([outcome["words"] for outcome in outcomes])
    cards = [*_trade_offs(finals), *_parallel(varied, finals), *(_card("BAR", name) for name in finals)]
    cards += [_card("LINE", name, section=LEARNING) for name in curves]
    sections = [(COMPARISON, f"sweep {sweep_id}"), (LEARNING, "learning curves")]
    return {
        "searchFilter": f"tags.sweep_id = '{sweep_id}' and tags.role = 'job'",
        "selectedColumns": [f"params.`{name}`" for name in varied] + [f"metrics.`{name}`" for name in finals],
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": cards,
        "compareRunSections": [
            {"uuid": key, "name": title, "display": True, "isReordered": True, "columns": 2} for key, title in sections
        ],
        "isAccordionReordered": True,  # our sections come before those that the page makes of the other metrics
    }


def varied_params(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Return the tracked params that the words of a sweep's jobs set differently, in the order of their words."""
    keys = [word.partition("=")[0].lstrip("+~") for words in own_words(jobs) for word in words]
    named = [key if "." in key or key in LEAVES else f"{key}.name" for key in keys if key not in NO_PARAMS]
    return list(dict.fromkeys(named))


def _trade_offs(finals: Sequence[str]) -> list[dict[str, Any]]:
    """What a gain was bought with: KL and time."""
    gains = [name for name in (metrics.FINAL_REWARD_GOLD_DIFFERENCE.name, metrics.FINAL_REWARD.name) if name in finals]
    prices = [name for name in (metrics.FINAL_KL.name, metrics.COST_SECONDS.name) if name in finals]
    return [
        _card("SCATTER", f"{price}:{gains[0]}")
        | {"xaxis": {"key": price, "type": "METRIC"}, "yaxis": {"key": gains[0], "type": "METRIC"}}
        for price in prices
        if gains
    ]


def _parallel(varied: Sequence[str], finals: Sequence[str]) -> list[dict[str, Any]]:
    """One line per job through what was varied and what came out; nothing where one of them is missing."""
    if not varied or not finals:
        return []
    drawn = {"selectedParams": list(varied), "selectedMetrics": list(finals[:4]), "showAllRuns": True}
    return [_card("PARALLEL", "parallel") | drawn]


def _card(kind: str, metric: str, section: str = COMPARISON) -> dict[str, Any]:
    """One chart; cards without a metric of their own take `metric` as their name only."""
    return {
        "type": kind,
        "uuid": f"rlhf-{metric}",
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "runsCountToCompare": 100,
    } | ({"metricKey": metric} if kind in ("BAR", "LINE") else {})
