"""What tests of reward sources share: rows, answers, specs by hand, and what a refusal says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from rlhf.data.rows import Row
from rlhf.errors import UserError
from rlhf.ppo.rewards import RewardParts, build_scorer
from rlhf.ppo_spec import RewardSourceSpec

PARTS = RewardParts(gold=None, stage=None, device="cpu", dtype=torch.float32, batch_size=3)
PROMPTS = (
    ({"role": "user", "content": "where is my order"},),
    (
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "good day , how can i help"},
        {"role": "user", "content": "i want to cancel my order please"},
    ),
)
ROWS = [Row(prompt=PROMPTS[number % 2], group=str(number)) for number in range(6)]
ANSWERS = [
    "i can help with that",
    "no",
    "",
    "thank you for waiting , your order is on its way to you",
    "please cancel",
    "i can help with that",
]
SPEC: TypeAdapter[Any] = TypeAdapter(RewardSourceSpec)


def spec(kind: str, **values: Any) -> Any:
    return SPEC.validate_python({"kind": kind, "weight": 1.0, **values})


def refusal(wanted: Any, parts: RewardParts = PARTS) -> UserError:
    with pytest.raises(UserError) as caught:
        build_scorer("own", wanted, parts)(ROWS, ANSWERS)
    assert "\n" not in str(caught.value)
    return caught.value
