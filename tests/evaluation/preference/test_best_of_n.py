"""Best-of-n against all subsets of a pool, and its KL against the exact distribution of the best answer."""

from __future__ import annotations

import math
from itertools import combinations, permutations, product
from pathlib import Path

import pytest
import torch

from rlhf.data.rows import Row
from rlhf.evaluation.contract import Tools
from rlhf.evaluation.live.best_of_n import (
    COLUMNS,
    GAIN,
    GOLD,
    KL,
    REWARD,
    TITLE,
    expected_best,
    findings,
    kl,
    measure,
    pools,
    rank_weights,
)
from rlhf.models.load import load_policy
from tests.bench import codec_of, run_of, source_of, user

POOL = [0.3, -1.0, 2.5, 0.3, 0.9]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_the_expected_best_is_the_mean_over_all_subsets(n: int) -> None:
    subsets = list(combinations(POOL, n))
    assert expected_best(POOL, POOL, n) == pytest.approx(sum(map(max, subsets)) / len(subsets))
    assert sum(rank_weights(5, n)) == pytest.approx(1.0)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_gold_reward_is_that_of_the_chosen_answer(n: int) -> None:
    """Of equal scores the first one drawn is taken: over all orders of drawing each is as often."""
    scores, gold = [1.0, 1.0, 0.0, 2.0, 1.0], [10.0, 20.0, 5.0, -3.0, 60.0]
    chosen = [gold[max(drawn, key=lambda at: scores[at])] for drawn in permutations(range(5), n)]
    assert expected_best(scores, gold, n) == pytest.approx(sum(chosen) / len(chosen))


def best_distribution(chances: list[float], scores: list[float], n: int) -> list[float]:
    """How likely each answer is the best of n, by going through all draws."""
    found = [0.0] * len(chances)
    for drawn in product(range(len(chances)), repeat=n):
        found[max(drawn, key=lambda at: scores[at])] += math.prod(chances[at] for at in drawn)
    return found


def divergence(left: list[float], right: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(left, right, strict=True) if p > 0)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_kl_is_met_from_below_the_finer_the_answers(n: int) -> None:
    """Exact for a density: of m equally likely answers without ties the KL rises to it with m, and never above."""
    exact = []
    for m in (4, 16, 48):
        chances = [1 / m] * m
        exact.append(divergence(best_distribution(chances, list(map(float, range(m))), n), chances))
    assert exact == sorted(exact) and exact[-1] <= kl(n) + 1e-12
    assert exact[-1] == pytest.approx(kl(n), abs=0.02)


def test_the_kl_of_the_best_of_many_equal_answers_is_their_cumulative_chances() -> None:
    """Best of n of m answers in order: chance of the i-th is (i/m)^n - ((i-1)/m)^n, whose KL nears log n - (n-1)/n."""
    for n, m in ((2, 2000), (16, 20000)):
        best = [(at / m) ** n - ((at - 1) / m) ** n for at in range(1, m + 1)]
        assert divergence(best, [1 / m] * m) == pytest.approx(kl(n), abs=2e-3)
    assert kl(1) == 0.0


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_kl_is_an_upper_bound_where_answers_are_few_or_score_alike(n: int) -> None:
    chances = [0.55, 0.25, 0.15, 0.05]
    for scores in ([0.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0], [1.0, 1.0, 1.0, 2.0]):
        assert divergence(best_distribution(chances, scores, n), chances) < kl(n)


def test_the_table_by_hand() -> None:
    """Pools of two questions: 0, 1 and 4, 2; gold 5, 6 and 7, 8. One answer: 0.5 and 3; the best of 2: 1 and 4."""
    found = findings([[0.0, 1.0], [4.0, 2.0]], [[5.0, 6.0], [7.0, 8.0]], [1, 2], 3, 100, 0)
    table = found.tables[TITLE]
    assert table.columns == COLUMNS
    first, second = (dict(zip(COLUMNS, row, strict=True)) for row in table.rows)
    assert (first["n"], first["kl"], first["reward"], first["gold"]) == (1, 0.0, 1.75, 6.5)
    assert (second["n"], second["reward"], second["gold"]) == (2, 2.5, 6.5)
    assert second["kl"] == pytest.approx(math.log(2) - 0.5)
    assert found.scores[REWARD.name].each == (1.0, 4.0, None)
    assert found.scores[GAIN.name].each == (0.5, 1.0, None)
    assert found.scores[GOLD.name].value == 6.5 and found.scores[KL.name].n == 2
    without = findings([[0.0, 1.0]], None, [2], 1, 100, 0)
    assert GOLD.name not in without.scores and [row[-1] for row in without.tables[TITLE].rows] == [None]


@pytest.fixture(scope="module")
def bench():
    run = run_of(
        "evaluation.best_of_n.questions=3", "evaluation.best_of_n.numbers=[1,4]", "evaluation.max_new_tokens=5"
    )
    policy = load_policy(run.model, source_of(run), run.quantization, dtype=torch.float32, device="cpu", seed=0)
    return policy, codec_of(run), run.evaluation.best_of_n


ROWS = [Row(user(f"Question {at}?"), str(at)) for at in range(4)]


def tools(judge, gold=None) -> Tools:
    return Tools(
        train=lambda shape: [],
        logprobs=lambda rows, texts: iter(()),
        judge=lambda: judge,
        resamples=50,
        seed=0,
        store=Path("nowhere"),
        say=lambda line: None,
        gold=gold,
    )


def test_a_policy_is_asked_the_first_questions_and_its_answers_are_judged(bench) -> None:
    """Scored by length, gold being the same number turned round: the longest answer has the lowest gold reward."""
    policy, codec, spec = bench
    asked = []

    def judge(pairs):
        asked.extend(pairs)
        return [float(len(text)) for _, text in pairs]

    found = measure(policy, codec, ROWS, spec, tools(judge, gold=lambda row, text: -float(len(text))))
    assert [prompt for prompt, _ in asked] == [row.prompt for row in ROWS[:3] for _ in range(4)]
    lengths = [[len(text) for _, text in asked[first : first + 4]] for first in (0, 4, 8)]
    assert found.scores[REWARD.name].each == (*map(max, lengths), None)
    assert found.scores[GOLD.name].value == -found.scores[REWARD.name].value
    one = dict(zip(COLUMNS, found.tables[TITLE].rows[0], strict=True))
    assert one["reward"] == pytest.approx(sum(map(sum, lengths)) / 12)
    assert found.notes


def test_pools_differ_within_a_question_and_do_not_depend_on_the_others(bench) -> None:
    policy, codec, spec = bench
    found = pools(policy, codec, ROWS, 4, spec, 0)
    assert pools(policy, codec, ROWS[:2], 4, spec, 0) == found[:2]
    assert all(len(set(pool)) > 1 for pool in found)
    assert pools(policy, codec, ROWS, 4, spec, 1) != found


def test_without_a_judge_nothing_is_measured_and_that_is_said(bench) -> None:
    policy, codec, spec = bench
    found = measure(policy, codec, ROWS, spec, tools(None))
    assert found.scores == {} and "evaluation.judge" in found.notes[0]
