"""Scores: batched equals one by one, and the head reads the end of each row whatever follows it."""

from __future__ import annotations

import pytest
import torch

from rlhf.models.score import left_padded, right_padded, score

from .conftest import ANSWERS, CHATS

FAMILIES = ["tiny_gpt2", "tiny_mt5", "tiny_llama", "tiny_bert"]
PAIRS = [(messages, answer) for messages in CHATS for answer in ANSWERS]


def test_padding_by_hand() -> None:
    ids, mask = right_padded([[5, 6, 7], [8], []], 0)
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0], [0, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    ids, mask = left_padded([[5, 6, 7], [8]], 0)
    assert ids.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_batch_scores_like_unpadded_rows_through_the_plain_model(name: str, tiny) -> None:
    bench = tiny(name)
    model = bench.scorer()
    truth = []
    for messages, answer in PAIRS:
        with torch.no_grad():
            truth.append(model(torch.tensor([bench.codec.scorer_ids(messages, answer)])).logits.item())
    for batch_size in (1, 4, len(PAIRS)):
        assert score(model, bench.codec, PAIRS, batch_size) == pytest.approx(truth, abs=1e-5)
    assert len(set(truth)) == len(PAIRS)


@pytest.mark.parametrize("name", ["tiny_gpt2", "tiny_llama"])
def test_the_head_reads_the_state_of_the_last_token(name: str, tiny) -> None:
    bench = tiny(name)
    model = bench.scorer()
    ids = torch.tensor([bench.codec.scorer_ids(CHATS[0], ANSWERS[0])])
    with torch.no_grad():
        state = getattr(model, model.base_model_prefix)(ids).last_hidden_state[0, -1]
        by_hand = (model.score.weight @ state).item()
    longer = (CHATS[2], ANSWERS[2])  # pads the first row
    assert score(model, bench.codec, [(CHATS[0], ANSWERS[0]), longer], 2)[0] == pytest.approx(by_hand, abs=1e-5)


def test_training_mode_is_restored_and_order_kept(tiny) -> None:
    bench = tiny("tiny_gpt2")
    model = bench.scorer().train()
    forwards = score(model, bench.codec, PAIRS, 4)
    assert model.training
    assert score(model, bench.codec, PAIRS[::-1], 4)[::-1] == pytest.approx(forwards, abs=1e-5)
    assert score(model, bench.codec, [], 4) == []
