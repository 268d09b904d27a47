"""Latency: numbers that must agree with one another, and a policy slowed by a known amount; no time is expected."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pytest
import torch
from torch import nn

from rlhf.evaluation.contract import Tools
from rlhf.evaluation.live.latency import METRICS, Timing, histogram, measure, summary
from rlhf.models.load import load_policy
from tests.bench import codec_of, run_of, source_of, toy

SLEEP = 0.01


def tools(seed: int = 3) -> Tools:
    def unused(*_: Any) -> Any:
        raise AssertionError("not for latency")

    return Tools(unused, unused, unused, 50, seed, Path("unused"), lambda line: None)


class Slow(nn.Module):
    """An output head that takes at least `SLEEP` seconds, and notes the rows of each call."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head
        self.rows: list[int] = []

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        self.rows.append(len(states))
        time.sleep(SLEEP)
        return self.head(states)


def world(model: str) -> tuple[Any, Any, list[Any], Any]:
    """(policy, codec, questions, settings of latency) of a policy that is slowed."""
    run = run_of("method=sft", f"model={model}", "evaluation.max_new_tokens=6", "evaluation.batch_size=4",
                 "evaluation.latency.questions=5", "evaluation.latency.bins=3", "dataset.languages=[en]")  # fmt: skip
    policy = load_policy(run.model, source_of(run), run.quantization, dtype=torch.float32, device="cpu", seed=0)
    policy.lm_head = Slow(policy.lm_head)
    return policy, codec_of(run), list(toy(run).test[:7]), run.evaluation.latency


@pytest.fixture(scope="module", params=["tiny_gpt2", "tiny_mt5"])
def found(request):
    policy, codec, questions, spec = world(request.param)
    return measure(policy, codec, questions, spec, tools()), policy, codec, questions, spec


def value(findings: Any, name: str) -> float:
    return findings.scores[f"latency/{name}"].value


def test_latency_follows_the_evaluation_where_it_is_not_told_otherwise(found) -> None:
    spec = found[-1]
    assert (spec.batch_size, spec.max_new_tokens, spec.temperature) == (4, 6, 1.0)


def test_every_metric_is_there_and_is_of_the_questions_that_were_timed(found) -> None:
    findings = found[0]
    assert set(findings.scores) == {metric.name for metric in METRICS}
    for name in ("seconds_mean", "first_token_seconds", "tokens"):
        score = findings.scores[f"latency/{name}"]
        assert score.n == 5
        assert score.each[5:] == (None, None)
    for name in ("seconds_median", "seconds_p95", "seconds_max"):
        assert findings.scores[f"latency/{name}"].n == 5


def test_seconds_are_ordered_and_the_mean_is_of_each(found) -> None:
    each = found[0].scores["latency/seconds_mean"].each[:5]
    assert value(found[0], "seconds_mean") == pytest.approx(fmean(each))
    assert value(found[0], "seconds_median") == pytest.approx(median(each))
    assert value(found[0], "seconds_max") == max(each)
    low, mid, p95, high = min(each), *(value(found[0], f"seconds_{name}") for name in ("median", "p95", "max"))
    assert low <= mid <= p95 <= high


def test_the_parts_of_an_answer_add_up(found) -> None:
    """Seconds to the first token, plus those of each token after it, are all seconds."""
    findings = found[0]
    seconds = findings.scores["latency/seconds_mean"].each[:5]
    first = findings.scores["latency/first_token_seconds"].each[:5]
    tokens = findings.scores["latency/tokens"].each[:5]
    assert all(0 < a <= b for a, b in zip(first, seconds, strict=True))
    after = sum(count - 1 for count in tokens)
    assert findings.scores["latency/seconds_per_token"].n == after
    assert sum(first) + after * value(findings, "seconds_per_token") == pytest.approx(sum(seconds))
    assert value(findings, "tokens_per_second") == pytest.approx(sum(tokens) / sum(seconds))
    assert findings.scores["latency/tokens_per_second"].n == sum(tokens)


def test_a_policy_that_sleeps_at_every_token_is_as_slow_as_that_at_least(found) -> None:
    findings, *_, spec = found
    seconds = findings.scores["latency/seconds_mean"].each[:5]
    first = findings.scores["latency/first_token_seconds"].each[:5]
    tokens = findings.scores["latency/tokens"].each[:5]
    assert all(spent >= count * SLEEP for spent, count in zip(seconds, tokens, strict=True))
    assert all(spent >= SLEEP for spent in first)
    assert value(findings, "seconds_per_token") >= SLEEP
    assert value(findings, "tokens_per_second") <= 1 / SLEEP
    assert value(findings, "throughput") <= spec.batch_size / SLEEP  # a sleep per step of a batch


def test_the_histogram_holds_every_answer_once(found) -> None:
    each = found[0].scores["latency/seconds_mean"].each[:5]
    table = found[0].tables["seconds per answer"]
    assert table.columns == ("from seconds", "to seconds", "answers")
    assert len(table.rows) == 3
    assert sum(count for *_, count in table.rows) == 5
    assert (table.rows[0][0], table.rows[-1][1]) == pytest.approx((min(each), max(each)))
    assert all(left[1] == right[0] for left, right in zip(table.rows, table.rows[1:], strict=False))


def test_one_at_a_time_and_together_call_the_model_as_they_say(found) -> None:
    """At batch 1 a call per token of the timed answers and of the two that warm up; then batches of 4 and 3.

    The throughput counts tokens of all seven answers.
    """
    findings, policy, *_ = found
    tokens = findings.scores["latency/tokens"].each[:5]
    rows = policy.lm_head.rows
    assert rows.count(1) == sum(tokens) + tokens[0] + tokens[1]
    assert rows[: rows.count(1)] == [1] * rows.count(1)
    batches = rows[rows.count(1) :]
    assert batches[:2] == [4, 4]  # the warm-up: two tokens
    assert set(batches[2:]) == {4, 3}
    assert 7 <= findings.scores["latency/throughput"].n <= 7 * 6


def test_answers_are_fixed_by_the_seed_and_nothing_is_left_on_the_model(found) -> None:
    findings, policy, codec, questions, spec = found
    again = measure(policy, codec, questions, spec, tools())
    assert again.scores["latency/tokens"] == findings.scores["latency/tokens"]
    assert again.scores["latency/throughput"].n == findings.scores["latency/throughput"].n
    assert not policy._forward_pre_hooks


def test_more_is_asked_for_than_there_is(found) -> None:
    _, policy, codec, questions, spec = found
    few = measure(policy, codec, questions[:2], spec.model_copy(update={"warmup": 5}), tools())
    assert few.scores["latency/seconds_mean"].n == 2
    assert any("one batch of 2" in note for note in few.notes)


def test_answers_of_one_token_have_no_time_between_tokens(found) -> None:
    _, policy, codec, questions, spec = found
    short = spec.model_copy(update={"max_new_tokens": 1, "questions": 2, "warmup": 0})
    findings = measure(policy, codec, questions, short, tools())
    assert "latency/seconds_per_token" not in findings.scores
    assert any("seconds_per_token" in note for note in findings.notes)
    seconds, first = (findings.scores[f"latency/{name}"].each for name in ("seconds_mean", "first_token_seconds"))
    assert seconds == first


def test_numbers_by_hand() -> None:
    """Seconds 1 to 21 in steps of 1: median 11, the 95% quantile the 20th, max 21; 3 tokens each, 0.5 to the first."""
    timings = [Timing(float(seconds), 0.5, 3) for seconds in range(1, 22)]
    scores = summary(timings, 30, tools())
    found = {name.removeprefix("latency/"): (score.value, score.n) for name, score in scores.items()}
    total = 21 * 22 / 2
    assert found == {
        "seconds_mean": (11.0, 21),
        "seconds_median": (11.0, 21),
        "seconds_p95": (20.0, 21),
        "seconds_max": (21.0, 21),
        "first_token_seconds": (0.5, 21),
        "tokens": (3.0, 21),
        "tokens_per_second": (pytest.approx(63 / total), 63),
        "seconds_per_token": (pytest.approx((total - 10.5) / 42), 42),
    }
    assert scores["latency/seconds_mean"].each[21:] == (None,) * 9
    for name in ("seconds_median", "tokens_per_second", "seconds_per_token"):
        score = scores[f"latency/{name}"]
        assert len(score.draws) == 50 and score.low < score.value < score.high
    assert scores["latency/seconds_p95"].low is None
    assert histogram([1.0, 1.5, 2.0, 3.0], 2).rows == ((1.0, 2.0, 2), (2.0, 3.0, 2))


def test_metrics_are_described_in_full() -> None:
    assert all(m.meaning and m.unit and m.estimator and m.range and m.source and m.fooled for m in METRICS)
