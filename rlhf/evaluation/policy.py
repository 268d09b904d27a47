"""How a policy is measured: the same prompts, sampling settings and judge, whatever trained it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from rlhf.config import EvaluationSpec
from rlhf.data.rows import Corpus, Row
from rlhf.evaluation.comparison.statistics import bootstrap_mean, mean_interval, standard_error, wilson, wins
from rlhf.evaluation.preference.implicit import implicit_pairs
from rlhf.evaluation.prompts import distinct_prompts
from rlhf.kl import response_kl, stepwise_kl
from rlhf.models.codec import Codec
from rlhf.models.sample import Samples, response_logits, response_logprobs, sample

Judge = Callable[[Sequence[tuple[Any, str]]], list[float]]


@dataclass(frozen=True)
class Answers:
    """A policy's answers to the evaluation prompts with their scores, as kept in a stage's folder."""

    texts: list[str]
    metrics: dict[str, float]
    rewards: list[float] | None  # the judge's
    gold: list[float] | None

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> Answers:
        """Read what `dump` wrote."""
        return cls(**values)

    def dump(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def evaluation_prompts(corpus: Corpus, spec: EvaluationSpec) -> list[Row]:
    """Draw up to `spec.prompts` rows of the test split with distinct prompts."""
    return distinct_prompts(corpus.test, spec)


def answer(
    policy: Any,
    reference: Any | None,
    codec: Codec,
    corpus: Corpus,
    spec: EvaluationSpec,
    judge: Judge | None,
    progress: Callable[[int], None] | None,
) -> Answers:
    """Sample the policy once on the evaluation prompts and measure those samples.

    `corpus` holds demonstrations (`final/nll` is nats per held-out response token). `reference` is the model the policy
    started from; without one (the start itself) no KL is given.
    """
    rows = evaluation_prompts(corpus, spec)
    samples = sample(
        policy,
        codec,
        [row.prompt for row in rows],
        max_new_tokens=spec.max_new_tokens,
        temperature=spec.temperature,
        batch_size=spec.batch_size,
        seed=spec.seed,
        progress=progress,
    )
    rewards = judge([(row.prompt, text) for row, text in zip(rows, samples.texts, strict=True)]) if judge else None
    gold = [corpus.gold(row, text) for row, text in zip(rows, samples.texts, strict=True)] if corpus.gold else None
    nll = held_out_nll(policy, codec, corpus.test, spec.batch_size)
    metrics = {
        "final/nll": nll,
        **perplexity(nll),
        "final/response_tokens": _mean([len(ids) for ids in samples.ids]),
        "final/eos_share": _mean([float(done) for done in samples.finished]),
        "final/distinct_2": distinct_2(samples.ids),
    }
    if rewards is not None:
        metrics["final/reward"] = _mean(rewards)
    if gold is not None:
        metrics["final/reward_gold"] = _mean(gold)
    if reference is not None:
        metrics |= sampled_kl(policy, reference, codec, samples, spec)
    return Answers(samples.texts, metrics, rewards, gold)


def held_out_nll(policy: Any, codec: Codec, rows: Sequence[Row], batch_size: int) -> float:
    """Nats per token of the held-out reference answers, every token weighted alike."""
    logprobs = response_logprobs(
        policy,
        codec,
        [codec.prompt_ids(row.prompt) for row in rows],
        [codec.response_ids(row.completion or "") for row in rows],
        batch_size=batch_size,
        temperature=1.0,
    )
    return -float(torch.cat(list(logprobs)).double().mean())


def perplexity(nll: float) -> dict[str, float]:
    """Return `final/perplexity` of nats per token; nothing where it is too large for a float."""
    try:
        return {"final/perplexity": math.exp(nll)}
    except OverflowError:
        return {}


@torch.no_grad()
def sampled_kl(policy: Any, reference: Any, codec: Codec, samples: Samples, spec: EvaluationSpec) -> dict[str, float]:
    """KL(policy || reference) from the policy's own samples, in nats per response and per token."""
    total = 0.0
    for first in range(0, len(samples.ids), spec.batch_size):
        prompts = samples.prompt_ids[first : first + spec.batch_size]
        responses = samples.ids[first : first + spec.batch_size]
        logits = response_logits(policy, codec, prompts, responses)
        reference_logits = response_logits(reference, codec, prompts, responses)
        lengths = torch.tensor([len(row) for row in responses], device=logits.device)
        mask = torch.arange(logits.shape[1], device=logits.device) < lengths[:, None]
        total += float(response_kl(stepwise_kl(logits, reference_logits, spec.temperature), mask).sum())
    tokens = sum(map(len, samples.ids))
    return {"final/kl": total / len(samples.ids), "final/kl_per_token": total / max(tokens, 1)}


def against(ours: Answers, reference: Answers, spec: EvaluationSpec) -> dict[str, float]:
    """Compare two policies' answers to the same prompts: win rate by the judge and paired gains, with 95% intervals."""
    metrics: dict[str, float] = {}
    if ours.rewards is not None and reference.rewards is not None:
        share = mean_interval(wins(ours.rewards, reference.rewards), spec.bootstrap, spec.seed)
        metrics |= {"final/win_rate": share.mean, "final/win_rate_low": share.low, "final/win_rate_high": share.high}
        metrics |= _gain("final/reward_difference", ours.rewards, reference.rewards, spec)
    if ours.gold is not None and reference.gold is not None:
        metrics |= _gain("final/reward_gold_difference", ours.gold, reference.gold, spec)
    return metrics


def _gain(name: str, ours: Sequence[float], theirs: Sequence[float], spec: EvaluationSpec) -> dict[str, float]:
    gain = bootstrap_mean([a - b for a, b in zip(ours, theirs, strict=True)], spec.bootstrap, spec.seed)
    return {name: gain.mean, f"{name}_low": gain.low, f"{name}_high": gain.high}


def pair_margin(
    policy: Any, reference: Any, codec: Codec, rows: Sequence[Row], beta: float, batch_size: int
) -> tuple[dict[str, float], list[float]]:
    """Implicit-reward margin (chosen minus rejected) on held-out pairs: mean, standard error, accuracy with interval.

    With them, for each pair, whether chosen is the higher one: 1, 0, 0.5 on a tie.
    """
    margins = implicit_pairs(policy, reference, codec, rows, beta, batch_size).margins
    error = {"final/margin_se": standard_error(margins)} if len(margins) > 1 else {}
    right = wins(margins, [0.0] * len(margins))
    share = wilson(sum(right), len(right))
    accuracy = {"final/accuracy": share.mean, "final/accuracy_low": share.low, "final/accuracy_high": share.high}
    return {"final/margin": _mean(margins), **error, **accuracy}, right


def distinct_2(ids: Sequence[Sequence[int]]) -> float:
    """Share of distinct token bigrams among all bigrams of all answers (Li et al. 2016, arXiv 1510.03055)."""
    bigrams = [pair for row in ids for pair in zip(row, row[1:], strict=False)]
    return len(set(bigrams)) / len(bigrams) if bigrams else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
