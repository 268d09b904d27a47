"""What is told of one step of PPO: every number over the samples of all processes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from rlhf.evaluation.ppo_metrics import reward_source
from rlhf.kl import k1, k3
from rlhf.ppo.actor_critic import ActorCritic
from rlhf.ppo.credit import Credit
from rlhf.ppo.experience import Experience


def describe(
    learner: ActorCritic,
    experience: Experience,
    given: Credit,
    updated: Mapping[str, float],
    reduce: Callable[[Tensor], Tensor],
) -> dict[str, float]:
    """Return the metrics of docs/metrics.md; `updated` are those of the update, empty where there was none."""
    mask = experience.mask
    log_ratios = {"k1": k1(experience.logp_old, experience.logp_reference)}
    log_ratios["k3"] = k3(experience.logp_old, experience.logp_reference)
    per_response = {
        "score": experience.scores,
        "k1": torch.where(mask, log_ratios["k1"], 0.0).sum(dim=1),
        "k3": torch.where(mask, log_ratios["k3"], 0.0).sum(dim=1),
        "gap": (experience.logp_generated - experience.logp_old).abs().sum(dim=1),
        "entropy": experience.entropy.sum(dim=1),
        "total": given.rewards.sum(dim=1),
        "tokens": experience.lengths,
        "finished": experience.finished,
    }
    if experience.gold is not None:
        per_response["gold"] = experience.gold
    sources = {reward_source(name): own for name, own in experience.sources.items()}
    per_response |= sources
    columns = {name: [float(x) for x in values.tolist()] for name, values in per_response.items()}
    columns["ids"] = [tuple(ids) for ids in experience.response_ids]  # type: ignore[misc]
    whole = _gathered(columns)
    found = _rewards(whole, learner.control.value) | _divergence(whole) | diversity(whole["ids"])
    tokens = sum(whole["tokens"])
    if len(sources) > 1:  # a single one is the score itself
        found |= {name: _mean(whole[name]) for name in sources}
    found |= {
        "kl/coefficient": learner.control.value,
        "policy/entropy": sum(whole["entropy"]) / tokens,
        "policy/generation_gap": sum(whole["gap"]) / tokens,
        "response/tokens": _mean(whole["tokens"]),
        "response/eos_share": _mean(whole["finished"]),
        "advantage/mean": float(given.raw.mean),
        "advantage/std": float(given.raw.variance.sqrt()),
        "value/explained_variance": explained_variance(experience.values, given.returns, mask, reduce),
    }
    seconds = {f"seconds/{phase}": float(value) for phase, value in experience.seconds.items()}
    return found | seconds | dict(updated)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor, reduce: Callable[[Tensor], Tensor]) -> float:
    """1 - Var(returns - values) / Var(returns) over tokens: 1 is a perfect critic, 0 a constant one; 0 if undefined."""
    target, error = returns.double()[mask], (returns - values).double()[mask]
    count = target.new_tensor(float(target.numel()))
    sums = reduce(torch.stack([count, target.sum(), target.square().sum(), error.sum(), error.square().sum()]))
    n, first, second, error_first, error_second = sums.tolist()
    variance = second / n - (first / n) ** 2
    return 1 - (error_second / n - (error_first / n) ** 2) / variance if variance > 1e-12 else 0.0


def _gathered(columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Join the columns of all processes; one process is asked for nothing."""
    whole: dict[str, list[Any]] = {name: [] for name in columns}
    for part in gather_object([dict(columns)]):
        for name, values in part.items():
            whole[name] += values
    return whole


def _rewards(whole: Mapping[str, list[float]], coefficient: float) -> dict[str, float]:
    scores = torch.tensor(whole["score"], dtype=torch.float64)
    low, middle, high = torch.quantile(scores, torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)).tolist()
    found = {
        "reward/score": float(scores.mean()),
        "reward/score_std": float(scores.std(correction=0)),
        "reward/p05": low,
        "reward/p50": middle,
        "reward/p95": high,
        "reward/non_score": -coefficient * _mean(whole["k1"]),
        "reward/total": _mean(whole["total"]),
        "reward/length_correlation": correlation(whole["score"], whole["tokens"]),
    }
    if "gold" in whole:
        gold = torch.tensor(whole["gold"], dtype=torch.float64)
        found |= {"reward/gold": float(gold.mean()), "reward/gold_std": float(gold.std(correction=0))}
    return found


def _divergence(whole: Mapping[str, list[float]]) -> dict[str, float]:
    tokens = sum(whole["tokens"])
    found = {"kl/sqrt": math.sqrt(_mean(whole["k3"]))}
    for name in ("k1", "k3"):
        found[f"kl/{name}_policy_to_reference"] = _mean(whole[name])
        found[f"kl/{name}_policy_to_reference_per_token"] = sum(whole[name]) / tokens
    return found


def diversity(rows: Sequence[tuple[int, ...]]) -> dict[str, float]:
    """How alike responses are, within themselves and to each other."""
    bigrams = [pair for row in rows for pair in zip(row, row[1:], strict=False)]
    same = Counter(rows)
    return {
        "response/distinct_2": len(set(bigrams)) / len(bigrams) if bigrams else 1.0,
        "response/repetition": _mean([repetition(row) for row in rows]),
        "response/identical_share": sum(count for count in same.values() if count > 1) / len(rows),
    }


def repetition(ids: Sequence[int]) -> float:
    """Share of a response's token 3-grams that occurred in it before; 0 for a short one."""
    grams = [tuple(ids[start : start + 3]) for start in range(len(ids) - 2)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Pearson's correlation; 0 where one of the two does not vary."""
    table = torch.tensor([list(first), list(second)], dtype=torch.float64)
    if len(first) < 2 or bool((table.std(dim=1, correction=0) < 1e-12).any()):
        return 0.0
    return float(torch.corrcoef(table)[0, 1])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
