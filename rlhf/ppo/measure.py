"""What is told of one step of PPO: every number over the samples of all processes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from rlhf.evaluation.ppo import metrics as names
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
    sources = {names.reward_source(name): own for name, own in experience.sources.items()}
    per_response |= sources
    columns = {name: [float(x) for x in values.tolist()] for name, values in per_response.items()}
    columns["ids"] = [tuple(ids) for ids in experience.response_ids]  # type: ignore[misc]
    whole = _gathered(columns)
    found = _rewards(whole, learner.control.value) | _divergence(whole) | diversity(whole["ids"])
    tokens = sum(whole["tokens"])
    if len(sources) > 1:  # a single one is the score itself
        found |= {name: _mean(whole[name]) for name in sources}
    found |= {
        names.KL_COEFFICIENT.name: learner.control.value,
        names.POLICY_ENTROPY.name: sum(whole["entropy"]) / tokens,
        names.POLICY_GENERATION_GAP.name: sum(whole["gap"]) / tokens,
        names.RESPONSE_TOKENS.name: _mean(whole["tokens"]),
        names.RESPONSE_EOS_SHARE.name: _mean(whole["finished"]),
        names.ADVANTAGE_MEAN.name: float(given.raw.mean),
        names.ADVANTAGE_STD.name: float(given.raw.variance.sqrt()),
        names.VALUE_EXPLAINED_VARIANCE.name: explained_variance(experience.values, given.returns, mask, reduce),
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
        names.REWARD_SCORE.name: float(scores.mean()),
        names.REWARD_SCORE_STD.name: float(scores.std(correction=0)),
        names.REWARD_P05.name: low,
        names.REWARD_P50.name: middle,
        names.REWARD_P95.name: high,
        names.REWARD_NON_SCORE.name: -coefficient * _mean(whole["k1"]),
        names.REWARD_TOTAL.name: _mean(whole["total"]),
        names.REWARD_LENGTH_CORRELATION.name: correlation(whole["score"], whole["tokens"]),
    }
    if "gold" in whole:
        gold = torch.tensor(whole["gold"], dtype=torch.float64)
        found |= {names.REWARD_GOLD.name: float(gold.mean()), names.REWARD_GOLD_STD.name: float(gold.std(correction=0))}
    return found


def _divergence(whole: Mapping[str, list[float]]) -> dict[str, float]:
    tokens = sum(whole["tokens"])
    return {
        names.KL_K1.name: _mean(whole["k1"]),
        names.KL_K3.name: _mean(whole["k3"]),
        names.KL_K1_PER_TOKEN.name: sum(whole["k1"]) / tokens,
        names.KL_K3_PER_TOKEN.name: sum(whole["k3"]) / tokens,
        names.KL_SQRT.name: math.sqrt(_mean(whole["k3"])),
    }


def diversity(rows: Sequence[tuple[int, ...]]) -> dict[str, float]:
    """How alike responses are, within themselves and to each other."""
    bigrams = [pair for row in rows for pair in zip(row, row[1:], strict=False)]
    same = Counter(rows)
    return {
        names.RESPONSE_DISTINCT_2.name: len(set(bigrams)) / len(bigrams) if bigrams else 1.0,
        names.RESPONSE_REPETITION.name: _mean([repetition(row) for row in rows]),
        names.RESPONSE_IDENTICAL_SHARE.name: sum(count for count in same.values() if count > 1) / len(rows),
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
