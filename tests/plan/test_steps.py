"""Steps without data against the same steps on real tensors, and what an evaluation adds."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch

from rlhf.plan.live import Peak
from rlhf.plan.memory import needs
from rlhf.plan.skeleton import build, without_data
from rlhf.plan.stages import Corpora, device_of
from rlhf.plan.steps import Setting, Shape, language_step, reward_step, with_fused_head
from rlhf.plan.whole import work_of

from .conftest import run_of

PLAIN = Setting(None, False, 1, True)


def peak(run: Any, kind: str, learning: bool, *, real: bool) -> Peak:
    """Bytes of a step of SFT, of DPO with a live reference, or of a reward model; on `real` tensors or without data."""
    shape = Shape(4, 24, 12)
    with nullcontext() if real else without_data():
        model = build(run, scorer=kind == "reward", dtype=torch.float32, adapter=True)
        if kind == "reward":
            return reward_step(model, shape, PLAIN, learning=learning)
        reference = build(run, scorer=False, dtype=torch.float32, adapter=False) if kind == "dpo" else None
        with_fused_head([model] if reference is None else [model, reference])
        return language_step(model, reference, shape, PLAIN, learning=learning)


@pytest.mark.parametrize("learning", [True, False])
@pytest.mark.parametrize("kind", ["sft", "dpo", "reward"])
@pytest.mark.parametrize("words", [("model=tiny_gpt2",), ("model=tiny_mt5",), ("model=tiny_llama", "adapter=lora")])
def test_a_step_without_data_takes_what_it_takes_with_data(words: tuple[str, ...], kind: str, learning: bool) -> None:
    run = run_of(*words)
    planned, real = peak(run, kind, learning, real=False), peak(run, kind, learning, real=True)
    # rows without padding need no mask, which is seen with data alone; those of a real batch need it
    assert 0.99 * real.total < planned.total < 1.1 * real.total
    assert (planned.gradients > 0) == learning or run.adapter.name == "lora"


def test_held_out_rows_count_where_more_of_them_are_read_at_once_than_are_learned_from() -> None:
    moments = []
    for held_out in (1, 64):
        run = run_of(
            "method=sft",
            "model=tiny_gpt2",
            "dataset.rows=200",
            "++method.trainer.per_device_train_batch_size=1",
            f"++method.trainer.per_device_eval_batch_size={held_out}",
        )
        device, _ = device_of(run)
        work = work_of(run.model, run.method, Corpora().of(run, "demonstration"), run.evaluation, 1)
        moments.append(needs(run, run.method, work, device, 0).peak)
    assert [moment.name for moment in moments] == ["training step", "evaluation"]
    assert moments[1].total > 3 * moments[0].total  # 16 held-out rows, longer ones too
