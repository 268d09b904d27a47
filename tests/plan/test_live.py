"""The counter of bytes on computations small enough to add up by hand."""

from __future__ import annotations

import torch
from torch import nn

from rlhf.plan.live import Live
from rlhf.plan.skeleton import without_data


def test_a_tensor_counts_until_it_is_gone() -> None:
    """Two tensors of 4,000 and 8,000 bytes live together; the third is made when the first is gone."""
    with without_data(), Live([], vocabulary=7, tile=9, touched_only=True) as live:
        first = torch.zeros(1000)
        second = torch.zeros(2000)
        del first
        third = torch.zeros(500)
        del second, third
    assert live.peak.activations == 12_000
    assert live.peak.total == 12_000


def test_a_view_is_no_memory() -> None:
    with without_data(), Live([], vocabulary=7, tile=9, touched_only=True) as live:
        whole = torch.zeros(10, 100)
        kept = [whole[0], whole.t(), whole.view(1000)]
        assert kept
    assert live.peak.total == 4000


def test_logits_gradients_and_activations_are_told_apart() -> None:
    """A linear head: a gradient of 100 x 16 x 4 bytes, made while logits and their gradient (1,600 each) are there."""
    with without_data():
        head = nn.Linear(16, 100, bias=False)
        states = torch.zeros(4, 16)
        with Live(head.parameters(), vocabulary=100, tile=9, touched_only=True) as live:
            logits = head(states)
            logits.square().sum().backward()
    assert live.peak.gradients == 6400
    assert live.peak.logits == 3200


def test_columns_of_the_tile_that_are_never_written_take_no_memory_on_a_cpu() -> None:
    sizes = []
    for touched_only in (True, False):
        with without_data(), Live([], vocabulary=100, tile=1000, touched_only=touched_only) as live:
            torch.empty(8, 1000)
        sizes.append(live.peak.logits)
    assert sizes == [3200, 32_000]
