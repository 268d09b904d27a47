"""Hits@1: ranks against literal log-probabilities, what a model that knows nothing gives, and who is a candidate."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf.data.rows import Row
from rlhf.evaluation.live import hits
from rlhf.models.load import load_policy
from rlhf.models.sample import response_logits
from tests.bench import POLICIES, codec_of, run_of, source_of
from tests.evaluation.persona.persona_world import row, tools

ANSWERS = [
    "I am Mia.",
    "It left today.",
    "Sure, for two nights?",
    "My dog drinks tea.",
    "No.",
    "Thank you for waiting!",
]
ROWS = [
    row("Who are you?", system="You are Mia.", answer=ANSWERS[0], group="0"),
    *(row(f"Question {at}?", answer=text, group=str(at)) for at, text in enumerate(ANSWERS[1:], start=1)),
]


@pytest.fixture(scope="module", params=POLICIES)
def bench(request):
    """(policy, codec, spec of 3 candidates)."""
    run = run_of("method=sft", f"model={request.param}", "evaluation.hits.candidates=3")
    policy = load_policy(run.model, source_of(run), run.quantization, dtype=torch.float32, device="cpu", seed=0)
    return policy, codec_of(run), run.evaluation.hits


def literal_mean(policy, codec, prompt, text: str) -> float:
    """Mean log-probability of an answer's tokens from one unbatched forward and a plain softmax."""
    ids = codec.response_ids(text)
    with torch.no_grad():
        chances = response_logits(policy, codec, [codec.prompt_ids(prompt)], [ids])[0].double().softmax(-1)
    return sum(math.log(chances[step, token]) for step, token in enumerate(ids)) / len(ids)


def test_hits_are_those_of_literal_log_probabilities(bench) -> None:
    policy, codec, spec = bench
    found = hits.measure(policy, codec, ROWS, spec, tools()).scores
    for at, own in enumerate(ROWS):
        options = hits.candidates_of(ROWS, at, 3, 0)
        values = [literal_mean(policy, codec, own.prompt, text) for text in options]
        assert found["persona/hits_at_1"].each[at] == float(values[0] == max(values))
    bare = ROWS[0].prompt[1:]
    values = [literal_mean(policy, codec, bare, text) for text in hits.candidates_of(ROWS, 0, 3, 0)]
    assert found["persona/hits_at_1_without_persona"].each == (float(values[0] == max(values)), *[None] * 5)
    assert (found["persona/hits_at_1"].n, found["persona/hits_at_1_without_persona"].n) == (6, 1)


def test_a_model_that_knows_nothing_scores_exactly_chance() -> None:
    """All weights zero: every token is as likely as any other, so that all candidates tie."""
    run = run_of("method=sft", "model=tiny_gpt2", "evaluation.hits.candidates=4")
    policy = load_policy(run.model, source_of(run), run.quantization, dtype=torch.float32, device="cpu", seed=0)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.zero_()
    found = hits.measure(policy, codec_of(run), ROWS, run.evaluation.hits, tools()).scores
    assert found["persona/hits_at_1"].each == (0.25,) * 6
    assert found["persona/hits_at_1"].value == found["persona/hits_at_1_chance"].value == 0.25


@pytest.mark.parametrize(
    ("scores", "gives"),
    [([-1.0, -2.0, -3.0], 1.0), ([-2.0, -1.0, -3.0], 0.0), ([-1.0, -1.0, -3.0], 0.5), ([-1.0, -1.0, -1.0], 1 / 3)],
)
def test_a_tie_for_the_first_place_is_shared(scores, gives: float) -> None:
    assert hits.hit(scores) == pytest.approx(gives)


def test_candidates_are_different_answers_of_other_groups() -> None:
    rows = [
        row("a", answer="Me too!", group="own"),
        row("b", answer="Same dialogue.", group="own"),
        row("c", answer="me  too", group="other"),  # says the same
        row("d", answer="", group="other"),
        row("e", answer="Yes.", group="other"),
        row("f", answer="yes", group="third"),  # says the same as the one before
        row("g", answer="No.", group="third"),
    ]
    options = hits.candidates_of(rows, 0, 3, 0)
    assert options is not None and options[0] == "Me too!"
    assert sorted(text.casefold().strip(".") for text in options[1:]) == ["no", "yes"]
    assert hits.candidates_of(rows, 0, 4, 0) is None


def test_candidates_do_not_depend_on_the_order_of_the_rows() -> None:
    back = ROWS[::-1]
    assert all(hits.candidates_of(ROWS, at, 4, 7) == hits.candidates_of(back, 5 - at, 4, 7) for at in range(6))


def test_too_few_answers_are_told_and_give_no_number(bench) -> None:
    policy, codec, spec = bench
    found = hits.measure(policy, codec, ROWS[:2], spec, tools())
    assert found.scores == {} and "left out" in found.notes[0]
    assert hits.measure(policy, codec, [], spec, tools()).scores == {}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=6)), max_size=8), st.integers(2, 4))
def test_any_rows_give_whole_lists_of_candidates_or_none(pairs, count: int) -> None:
    rows: list[Row] = [row("Hi", answer=text, group=group) for group, text in pairs]
    for at in range(len(rows)):
        options = hits.candidates_of(rows, at, count, 0)
        assert options is None or (len(options) == count and options[0] == hits.answer_of(rows[at]))
