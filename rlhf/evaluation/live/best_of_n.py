"""Best-of-n: what is had without any training by sampling n answers and taking the one that the judge scores highest.

It is the baseline of every policy that is trained against a judge: its KL to the policy that it samples from is known,
so that it stands on the same plot of reward against KL. It is measured on the models that training starts from.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from rlhf.data.rows import Row
from rlhf.evaluation.comparison.statistics import bootstrap_mean
from rlhf.evaluation.contract import Findings, Scores, Table, Tools
from rlhf.evaluation.metrics import Metric
from rlhf.evaluation_spec import BestOfNSpec

ROLES = ("base", "start", "sft")  # whose answers are chosen from; a trained policy is what is compared with them
TITLE = "best of n"
COLUMNS = ("n", "kl", "reward", "low", "high", "gold")

_POOL = "one pool of N answers to each question; the expected best of n of them is the mean over all subsets of n: sum "
_POOL += "over i of (the i-th smallest score) x C(i - 1, n - 1) / C(N, n); mean over questions"
_FOOLED = "a judge that is wrong about few answers is wrong about the best of many: see preference/best_of_n_gold"

REWARD = Metric(
    "preference/best_of_n_reward",
    "expected judge's score of the best of n answers, n being the largest of evaluation.best_of_n.numbers",
    "judge's score",
    _POOL,
    "higher",
    "any",
    "Nakano et al. 2021, arXiv 2112.09332, appendix I",
    _FOOLED,
    reads="pair",
)
GAIN = Metric(
    "preference/best_of_n_gain",
    "that minus the expected score of one answer",
    "judge's score",
    "mean of paired differences over questions",
    "higher",
    "0 and more",
    "Nakano et al. 2021, arXiv 2112.09332, appendix I",
    _FOOLED,
    reads="pair",
)
GOLD = Metric(
    "preference/best_of_n_gold",
    "known true reward of the answer that the judge chooses (toy world only)",
    "gold score",
    "the same weights on the gold rewards in the order of the judge's scores, those of equal scores shared evenly",
    "higher",
    "any",
    "Gao et al. 2022, arXiv 2210.10760",
    "phrases of the toy world's tables count, in whatever sense they stand",
    reads="pair",
)
KL = Metric(
    "preference/best_of_n_kl",
    "KL(best of n, the policy that it samples from); an upper bound where two answers can have the same score",
    "nats per response",
    "log n - (n - 1) / n",
    None,
    "0 and more",
    "Beirami et al. 2024, arXiv 2401.01879",
    "far above the true KL where n nears the number of answers that the policy can give",
    reads="pair",
)
METRICS = (REWARD, GAIN, GOLD, KL)


def kl(n: int) -> float:
    """KL(best of n || policy) in nats: exact where no two answers score alike and none is likely, else an upper bound.

    Beirami et al. 2024 (arXiv 2401.01879).
    """
    return math.log(n) - (n - 1) / n


def rank_weights(pool: int, n: int) -> list[float]:
    """The chance of each of `pool` answers, the worst first, to be the best of n of them drawn without replacement."""
    return [math.comb(place, n - 1) / math.comb(pool, n) for place in range(pool)]


def expected_best(scores: Sequence[float], values: Sequence[float], n: int) -> float:
    """Expected value of the answer with the highest score among n of the pool; of equal scores each is as likely.

    With `values` the scores themselves it is the expected best score.
    """
    weights = rank_weights(len(scores), n)
    order = sorted(range(len(scores)), key=lambda at: scores[at])
    total, place = 0.0, 0
    while place < len(order):
        end = place
        while end < len(order) and scores[order[end]] == scores[order[place]]:
            end += 1
        alike = order[place:end]
        total += sum(weights[place:end]) * sum(values[at] for at in alike) / len(alike)
        place = end
    return total


def measure(policy: Any, codec: Any, questions: Sequence[Row], spec: BestOfNSpec, tools: Tools) -> Findings:
    """Sample a pool of answers to the first `spec.questions` questions, score them, and take the best of each n."""
    judge = tools.judge()
    if judge is None:
        return Findings({}, {}, ("No best-of-n: nobody chooses. Set evaluation.judge.",))
    asked, most = list(questions[: spec.questions]), max(spec.numbers)
    texts = pools(policy, codec, asked, most, spec, tools.seed)
    flat = [(row, text) for row, pool in zip(asked, texts, strict=True) for text in pool]
    scores = _in_pools(judge([(row.prompt, text) for row, text in flat]), most)
    gold = _in_pools([tools.gold(row, text) for row, text in flat], most) if tools.gold else None
    return findings(scores, gold, spec.numbers, len(questions), tools.resamples, tools.seed)


def findings(
    scores: Sequence[Sequence[float]],
    gold: Sequence[Sequence[float]] | None,
    numbers: Sequence[int],
    questions: int,
    resamples: int,
    seed: int,
) -> Findings:
    """What the judge's scores (and gold rewards) of each question's pool say; the first of `questions` have one."""
    rows, means = [], {}
    for n in sorted({1, *numbers}):
        each = [expected_best(pool, pool, n) for pool in scores]
        means[n] = each
        reward = bootstrap_mean(each, resamples, seed)
        true = None if gold is None else _mean(map(expected_best, scores, gold, [n] * len(gold)))
        rows.append((n, kl(n), reward.mean, reward.low, reward.high, true))
    most = max(numbers)
    unasked = (None,) * (questions - len(scores))
    gains = [best - one for best, one in zip(means[most], means[1], strict=True)]
    found = {REWARD.name: means[most], GAIN.name: gains}
    if gold is not None:
        found[GOLD.name] = [expected_best(pool, true, most) for pool, true in zip(scores, gold, strict=True)]
    given = {}
    for name, each in found.items():
        interval = bootstrap_mean(each, resamples, seed)
        given[name] = Scores(interval.mean, len(each), interval.low, interval.high, (*each, *unasked))
    given[KL.name] = Scores(kl(most), len(scores))
    notes = ("The KL of best-of-n is an upper bound: it is exact only where no two answers can score alike.",)
    shown = [row for row in rows if row[0] in numbers]
    return Findings(given, {TITLE: Table(COLUMNS, tuple(shown))}, notes)


def pools(
    policy: Any, codec: Any, questions: Sequence[Row], size: int, spec: BestOfNSpec, seed: int
) -> list[list[str]]:
    """Sample `size` answers to each question; the random numbers of one belong to the seed and the question's place."""
    import torch

    from rlhf.models.sample import sample_ids

    draws = []
    for place in range(len(questions)):
        own = torch.Generator().manual_seed(random.Random(f"best_of_n/{seed}/{place}").getrandbits(62))
        draws.append(torch.rand(size, spec.max_new_tokens, generator=own, dtype=torch.float64))
    prompts = [codec.prompt_ids(row.prompt) for row in questions for _ in range(size)]
    drawn = sample_ids(
        policy, codec, prompts, torch.cat(draws), temperature=spec.temperature, batch_size=spec.batch_size
    )
    return _in_pools([codec.decode(ids) for ids in drawn.ids], size)


def _in_pools(values: Sequence[Any], size: int) -> list[list[Any]]:
    return [list(values[first : first + size]) for first in range(0, len(values), size)]


def _mean(values: Any) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
