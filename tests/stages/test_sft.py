"""SFT learns response tokens and nothing of the prompt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from rlhf.models.load import load_policy
from rlhf.models.sample import response_logprobs
from rlhf.pipeline import STAGES
from rlhf.stages.tokens import IGNORED, demonstration_tokens, pair_tokens, scored_pair_tokens
from tests.bench import POLICIES, codec_of, context_of, corpus_of, curve, pair, source_of, stage_run, train

ROWS = [
    pair("Where is my order?", "It will arrive on Monday.", "No."),
    pair("Hello, I want to book a room in Rome for two nights, please.", "Sure!", "I cannot help with that."),
    pair("Hi", "Thank you for waiting. Your room is booked, have a nice stay.", "Bye."),
]


@pytest.mark.parametrize("model", POLICIES)
def test_labels_are_the_response_and_prompts_carry_none(model: str) -> None:
    run = stage_run("sft", model)
    codec = codec_of(run)
    rows = demonstration_tokens(codec, ROWS)
    for row, ids, labels, length in zip(ROWS, rows["input_ids"], rows["labels"], rows["length"], strict=True):
        prompt, response = codec.prompt_ids(row.prompt), codec.response_ids(row.completion)
        assert ids == prompt + response
        assert labels == [-100] * len(prompt) + response
        assert response[-1] == codec.eos_id
        assert length == len(ids)
    batch = DataCollatorForLanguageModeling(pad_token_id=codec.pad_id)(
        [{"input_ids": i, "labels": x} for i, x in zip(rows["input_ids"], rows["labels"], strict=True)]
    )
    counted = (batch["labels"] != IGNORED).sum(dim=1).tolist()
    assert counted == [len(codec.response_ids(row.completion)) for row in ROWS]  # padding carries no loss either


def test_steps_epochs_and_speed_are_told(tmp_path: Path) -> None:
    """Two steps of two of four rows are one epoch."""
    run = stage_run("sft", "tiny_gpt2", steps=2, batch=2)
    context = context_of(run, tmp_path, corpus_of([*ROWS, pair("Bye", "See you soon.", "So?")]))
    with context.meter:
        result = STAGES["sft"](context)
    report = {**context.meter.report(), **result.metrics}
    assert (report["cost/steps"], report["cost/epochs"]) == (2.0, 1.0)
    assert report["cost/steps_per_second"] * report["cost/seconds"] == pytest.approx(2)
    assert report["cost/samples_per_second"] * report["cost/seconds"] == pytest.approx(4)


@pytest.mark.parametrize("model", POLICIES)
def test_the_loss_is_the_mean_over_response_tokens_alone(model: str, tmp_path: Path) -> None:
    """First step's loss = -(sum of response log-probs of the start) / (number of response tokens), over the batch."""
    run = stage_run("sft", model, steps=1, batch=3)
    result = train(run, tmp_path, corpus_of(ROWS))
    context = context_of(run, tmp_path)
    start = load_policy(run.model, source_of(run), run.quantization, dtype=torch.float32, device="cpu", seed=0)
    logprobs = response_logprobs(
        start,
        context.codec,
        [context.codec.prompt_ids(row.prompt) for row in ROWS],
        [context.codec.response_ids(row.completion) for row in ROWS],
        batch_size=1,
        temperature=1.0,
    )
    assert curve(result, "train/loss")[0] == pytest.approx(-torch.cat(logprobs).mean().item(), abs=1e-4)


@pytest.mark.parametrize("model", POLICIES)
def test_accumulation_weights_every_token_alike(model: str, tmp_path: Path) -> None:
    """Three rows of very different length in one batch of 3 or in 3 batches of 1: the same loss."""
    losses = []
    for name, batch, accumulation in (("one", 3, 1), ("three", 1, 3)):
        words = f"++method.trainer.gradient_accumulation_steps={accumulation}"
        result = train(stage_run("sft", model, words, steps=2, batch=batch), tmp_path / name, corpus_of(ROWS))
        losses.append(curve(result, "train/loss"))
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_pairs_keep_prompt_and_answers_apart_for_dpo_and_joined_for_a_scorer() -> None:
    run = stage_run("dpo", "tiny_mt5")
    codec = codec_of(run)
    pairs, scored = pair_tokens(codec, ROWS), scored_pair_tokens(codec, ROWS)
    for index, row in enumerate(ROWS):
        assert pairs[index]["prompt_ids"] == codec.prompt_ids(row.prompt)
        assert pairs[index]["chosen_ids"] == codec.response_ids(row.chosen)
        assert pairs[index]["rejected_ids"] == codec.response_ids(row.rejected)
        longest = max(len(codec.response_ids(row.chosen)), len(codec.response_ids(row.rejected)))
        assert pairs[index]["length"] == len(codec.prompt_ids(row.prompt)) + longest
        assert scored[index]["chosen_ids"] == codec.scorer_ids(row.prompt, row.chosen)
        assert scored[index]["rejected_ids"].count(codec.eos_id) == 1
