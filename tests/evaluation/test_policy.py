"""How policies are measured: literal means on rows made by hand."""

from __future__ import annotations

import math

import pytest
import torch

from rlhf.data.rows import Row
from rlhf.evaluation.comparison.statistics import wilson
from rlhf.evaluation.policy import (
    Answers,
    against,
    answer,
    distinct_2,
    evaluation_prompts,
    held_out_nll,
    pair_margin,
    perplexity,
)
from rlhf.models.load import load_policy
from rlhf.models.sample import response_logits
from tests.bench import POLICIES, codec_of, corpus_of, pair, run_of, source_of, toy, user

ROWS = [
    pair("Where is my order?", "It will arrive on Monday.", "No."),
    pair("Hello, I want to book a room in Rome for two nights, please.", "Sure!", "I cannot help with that."),
    pair("Hi", "Thank you for waiting. Your room is booked, have a nice stay.", "Bye."),
]


def world(model: str):
    """(run, codec, policy, another policy with other weights)."""
    run = run_of("method=dpo", f"model={model}", "evaluation.max_new_tokens=6", "evaluation.prompts=3")
    policy, other = (
        load_policy(run.model, source_of(run), run.quantization, dtype=torch.float32, device="cpu", seed=0)
        for _ in range(2)
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in other.parameters():
            if weight.dim() > 1:
                weight += 0.2 * weight.std() * torch.randn(weight.shape, generator=generator)
    return run, codec_of(run), policy, other


@pytest.fixture(scope="module", params=POLICIES)
def bench(request):
    return world(request.param)


def literal_logprobs(model, codec, row: Row, text: str) -> list[float]:
    """Log-probs of the answer's tokens from one unbatched forward, a plain softmax over the vocabulary."""
    prompt, response = codec.prompt_ids(row.prompt), codec.response_ids(text)
    with torch.no_grad():
        probabilities = response_logits(model, codec, [prompt], [response])[0].double().softmax(-1)
    return [math.log(probabilities[step, token]) for step, token in enumerate(response)]


def test_perplexity_is_exp_of_nll_within_its_bounds(bench) -> None:
    """A uniform guess among 8 is 8; certainty is 1; what no float holds is absent."""
    assert perplexity(math.log(8)) == {"final/perplexity": pytest.approx(8.0)}
    assert perplexity(0.0) == {"final/perplexity": 1.0}
    assert perplexity(1000.0) == {}
    run, codec, policy, _ = bench
    found = answer(policy, None, codec, corpus_of(ROWS), run.evaluation, None, None).metrics
    assert found["final/perplexity"] == pytest.approx(math.exp(held_out_nll(policy, codec, ROWS, batch_size=2)))
    assert found["final/perplexity"] >= 1


def test_held_out_nll_is_the_mean_over_all_tokens(bench) -> None:
    """Every token counts alike: a long answer weighs more than a short one."""
    run, codec, policy, _ = bench
    per_row = [[-x for x in literal_logprobs(policy, codec, row, row.completion)] for row in ROWS]
    tokens = [x for row in per_row for x in row]
    found = held_out_nll(policy, codec, ROWS, batch_size=2)
    assert found == pytest.approx(sum(tokens) / len(tokens), abs=1e-4)
    assert len({len(row) for row in per_row}) > 1


def test_a_policy_has_no_margin_over_itself(bench) -> None:
    """Log-ratios of equal models are exactly zero: margin 0, error 0, accuracy one half by ties."""
    run, codec, policy, _ = bench
    found, right = pair_margin(policy, policy, codec, ROWS, beta=0.3, batch_size=2)
    ends = {"final/accuracy_low": wilson(1.5, 3).low, "final/accuracy_high": wilson(1.5, 3).high}
    assert found == {"final/margin": 0.0, "final/margin_se": 0.0, "final/accuracy": 0.5, **ends}
    assert right == [0.5] * 3
    alone, _ = pair_margin(policy, policy, codec, ROWS[:1], beta=0.3, batch_size=2)
    assert (alone["final/margin"], alone["final/accuracy"]) == (0.0, 0.5)
    assert "final/margin_se" not in alone  # of one pair there is none


def test_pair_margin_is_that_of_the_literal_log_ratios(bench) -> None:
    run, codec, reference, policy = bench
    margins = []
    for row in ROWS:
        reward = {}
        for text in (row.chosen, row.rejected):
            ours, theirs = (sum(literal_logprobs(model, codec, row, text)) for model in (policy, reference))
            reward[text] = 0.3 * (ours - theirs)
        margins.append(reward[row.chosen] - reward[row.rejected])
    found, right = pair_margin(policy, reference, codec, ROWS, beta=0.3, batch_size=2)
    assert right == [float(margin > 0) for margin in margins]
    mean = sum(margins) / 3
    assert found["final/margin"] == pytest.approx(mean, abs=1e-4)
    variance = sum((margin - mean) ** 2 for margin in margins) / 2
    assert found["final/margin_se"] == pytest.approx((variance / 3) ** 0.5, abs=1e-4)
    assert found["final/accuracy"] == pytest.approx(sum(margin > 0 for margin in margins) / 3)


def test_answer_measures_one_sample_per_prompt(bench) -> None:
    """The judge and the gold reward see the very texts that are kept; KL to oneself is 0, to another is not."""
    run, codec, policy, other = bench
    corpus = corpus_of(ROWS, gold=lambda row, text: float(len(text)))
    seen = []

    def judge(pairs):
        seen.extend(pairs)
        return [float(index) for index in range(len(pairs))]

    found = answer(policy, policy, codec, corpus, run.evaluation, judge, None)
    assert len(found.texts) == 3
    assert [text for _, text in seen] == found.texts
    assert [prompt for prompt, _ in seen] == [row.prompt for row in evaluation_prompts(corpus, run.evaluation)]
    assert found.metrics["final/reward"] == 1.0  # the mean of 0, 1, 2
    assert found.gold == [float(len(text)) for text in found.texts]
    assert found.metrics["final/reward_gold"] == pytest.approx(sum(map(len, found.texts)) / 3)
    assert found.metrics["final/kl"] == pytest.approx(0.0, abs=1e-5)
    assert 1 <= found.metrics["final/response_tokens"] <= 6
    assert 0 <= found.metrics["final/eos_share"] <= 1
    assert answer(other, policy, codec, corpus, run.evaluation, None, None).metrics["final/kl"] > 0.01
    alone = answer(policy, None, codec, corpus_of(ROWS), run.evaluation, None, None)
    assert alone.rewards is None and alone.gold is None
    assert not {"final/kl", "final/reward", "final/reward_gold"} & alone.metrics.keys()
    assert alone.texts == found.texts
    assert Answers.load(found.dump()) == found


def test_against_by_hand() -> None:
    """Two wins, a tie and a loss: 2.5 / 4; rewards differ by +1, +2, 0, -1: 0.5 on average; gold by 1 everywhere."""
    spec = run_of("method=dpo").evaluation
    ours = Answers([""] * 4, {}, [2.0, 3.0, 1.0, 0.0], [1.0, 2.0, 3.0, 4.0])
    reference = Answers([""] * 4, {}, [1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 2.0, 3.0])
    found = against(ours, reference, spec)
    assert found["final/win_rate"] == 0.625
    assert found["final/reward_difference"] == 0.5
    assert found["final/reward_difference_low"] < 0.5 < found["final/reward_difference_high"]
    gold = [found[f"final/reward_gold_difference{end}"] for end in ("", "_low", "_high")]
    assert gold == [1.0, 1.0, 1.0]
    judged_alone = against(Answers([""], {}, None, None), reference, spec)
    assert judged_alone == {}


def test_against_pairs_the_answers() -> None:
    """The same gain of 0.1 on every prompt is certain although rewards spread from 0 to 90: differences are paired."""
    spec = run_of("method=dpo").evaluation
    rewards = [float(10 * index) for index in range(10)]
    better = Answers([""] * 10, {}, [reward + 0.1 for reward in rewards], None)
    found = against(better, Answers([""] * 10, {}, rewards, None), spec)
    assert found["final/reward_difference_low"] == pytest.approx(0.1)
    assert found["final/win_rate"] == found["final/win_rate_high"] == 1.0
    assert found["final/win_rate_low"] == pytest.approx(10 / (10 + 1.959964**2))  # Wilson's end of 10 of 10


def test_distinct_2_by_hand() -> None:
    """1 2, 2 1, 1 2 | 2 3: four bigrams, of which 1 2 comes twice: 3 / 4. No bigram across two answers."""
    assert distinct_2([[1, 2, 1, 2], [2, 3]]) == 0.75
    assert distinct_2([[7], []]) == 0.0
    assert distinct_2([[5, 5, 5, 5]]) == pytest.approx(1 / 3)


def test_evaluation_prompts_are_distinct_and_do_not_depend_on_the_rows_order() -> None:
    run = run_of("method=dpo", "evaluation.prompts=5")
    rows = [Row(user(f"question {index % 8}"), group=str(index), completion=str(index)) for index in range(24)]
    found = evaluation_prompts(corpus_of(rows), run.evaluation)
    prompts = [row.prompt for row in found]
    assert len(prompts) == 5
    assert len({str(prompt) for prompt in prompts}) == 5
    assert [row.prompt for row in evaluation_prompts(corpus_of(rows[::-1]), run.evaluation)] == prompts
    other = run.evaluation.model_copy(update={"seed": 1})
    assert [row.prompt for row in evaluation_prompts(corpus_of(rows), other)] != prompts
    more = run.evaluation.model_copy(update={"prompts": 100})
    assert len(evaluation_prompts(corpus_of(rows), more)) == 8


def test_evaluation_prompts_come_from_the_test_split() -> None:
    run = run_of("method=dpo")
    corpus = toy(run, "demonstration")
    held_out = {str(row.prompt) for row in corpus.test}
    assert {str(row.prompt) for row in evaluation_prompts(corpus, run.evaluation)} <= held_out
