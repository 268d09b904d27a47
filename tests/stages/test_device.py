"""What a machine has not got is refused by the key that asked for it."""

from __future__ import annotations

import pytest
import torch

from rlhf.errors import UserError
from rlhf.stages.device import choose_device
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
