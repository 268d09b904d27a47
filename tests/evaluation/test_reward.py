"""Held-out pairs scored by a reward model: each field from scores that are known."""

from __future__ import annotations

import math

import pytest
import torch

from rlhf.evaluation.comparison.statistics import wilson
from rlhf.evaluation.reward import judge_pairs
from rlhf.models.load import load_scorer
from rlhf.models.score import score
from tests.bench import codec_of, corpus_of, pair, run_of, source_of

TRAIN = [pair("a", "a long answer", "short"), pair("b", "another long one", "no")]
TEST = [pair("c", "good answer", "bad"), pair("d", "ok", "a bad answer"), pair("e", "same", "same")]


@pytest.fixture(scope="module", params=["tiny_gpt2", "tiny_mt5", "tiny_bert"])
def judged(request):
    run = run_of("method=reward", "method.starts_from=base", f"model={request.param}")
    codec = codec_of(run)
    scorer = load_scorer(run.model, source_of(run), run.quantization, dtype=torch.float32, device="cpu", seed=0)
    return judge_pairs(scorer, codec, corpus_of(TRAIN, TEST), run.evaluation).metrics(), scorer, codec


def test_fields_follow_from_the_scores(judged) -> None:
    """Loss is the mean of -log sigmoid(chosen - rejected); the pair of equal answers is a tie, half right."""
    found, scorer, codec = judged
    margins = []
    for row in TEST:  # one text at a time
        chosen, rejected = (score(scorer, codec, [(row.prompt, text)], 1)[0] for text in (row.chosen, row.rejected))
        margins.append(chosen - rejected)
    assert margins[2] == 0
    losses = [math.log(1 + math.exp(-margin)) for margin in margins]
    assert found["final/loss"] == pytest.approx(sum(losses) / 3, abs=1e-5)
    assert found["final/margin"] == pytest.approx(sum(margins) / 3, abs=1e-5)
    right = sum(margin > 0 for margin in margins) + 0.5
    assert found["final/accuracy"] == pytest.approx(right / 3)
    interval = wilson(right, 3)
    assert (found["final/accuracy_low"], found["final/accuracy_high"]) == (interval.low, interval.high)


def test_baselines_stand_beside_the_accuracy(judged) -> None:
    """Training pairs prefer the longer answer; of the held-out ones the first is longer, the second shorter, a tie."""
    found, _, _ = judged
    assert found["final/accuracy_length_rule"] == pytest.approx(0.5)
    assert 0 <= found["final/accuracy_bag_of_words"] <= 1
