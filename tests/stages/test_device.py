"""What a machine has not got is refused by the key that asked for it; what a stage held goes back to the system."""

from __future__ import annotations

import sys

import pytest
import torch

from rlhf.errors import UserError
from rlhf.evaluation.cost.meter import resident_bytes
from rlhf.stages.device import choose_device, release_memory
from tests.bench import run_of


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("hardware.device=cuda", "hardware.device=cuda (hardware=cpu)"),  # run_of asks for hardware=cpu
        ("hardware=t4", "hardware.device=cuda (hardware=t4)"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused_by_its_key(word: str, place: str) -> None:
    with pytest.raises(UserError) as refused:
        choose_device(run_of("method=sft", word))
    assert (refused.value.place, refused.value.remedy) == (place, "Use hardware=cpu or hardware.device=cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap")
def test_what_a_stage_held_is_given_back() -> None:
    """Blocks too small to be mapped by themselves, below one that is still held."""
    blocks = [torch.ones(16_000) for _ in range(3000)]  # of 64 kB, 192 MB in all
    last = blocks.pop()
    blocks.clear()
    before = resident_bytes()
    release_memory()
    assert resident_bytes() < before - 150e6
    assert last.sum() == 16_000
