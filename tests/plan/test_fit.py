"""The search for the smallest change, with an estimate that can be worked out by hand."""

from __future__ import annotations

from rlhf.config import Run
from rlhf.plan.fit import changes, replaced, smallest_change

from .conftest import run_of

WORDS = ("model=tiny_gpt2", "method=sft", "tracking=none")


def rows_at_once(run: Run, place: str) -> int:
    """A stage needs 10 bytes per row of a batch, 5 with recomputation, 1 byte with an adapter."""
    trainer = run.method.trainer
    each = 5 if trainer["gradient_checkpointing"] else 10
    return 1 if run.adapter.name == "lora" else each * trainer["per_device_train_batch_size"]


def smallest(room: int):
    return smallest_change(run_of(*WORDS), WORDS, "method", None, room, rows_at_once)


def test_the_batch_is_halved_no_further_than_needed() -> None:
    change = smallest(40)  # 8 rows take 80 bytes, 4 take 40
    assert change is not None
    assert change.words == (
        "method.trainer.per_device_train_batch_size=4",
        "method.trainer.gradient_accumulation_steps=2",
        "method.trainer.per_device_eval_batch_size=4",
    )
    assert change.bytes == 40


def test_where_evaluation_needs_most_its_batch_is_halved() -> None:
    def held_out(run: Run, place: str) -> int:
        return run.method.trainer["per_device_eval_batch_size"]

    change = smallest_change(run_of(*WORDS), WORDS, "method", None, 10, held_out)
    assert change is not None
    assert change.words == ("method.trainer.per_device_eval_batch_size=8",)


def test_recomputation_comes_where_one_row_is_too_much() -> None:
    change = smallest(5)  # one row takes 10 bytes, recomputed 5
    assert change is not None
    assert change.words[-1] == "method.trainer.gradient_checkpointing=true"
    assert change.words[0] == "method.trainer.per_device_train_batch_size=1"


def test_an_adapter_comes_after_what_changes_no_result() -> None:
    change = smallest(1)
    assert change is not None
    assert change.words == ("adapter=lora",)


def test_nothing_fits_into_nothing() -> None:
    assert smallest(0) is None


def test_ppo_takes_smaller_microbatches() -> None:
    run = run_of("method=ppo")
    (group, effect), *_ = changes(run, run.method, "method")
    assert group[0] == ["method.microbatch_tokens=8192"]
    assert group[-1] == ["method.microbatch_tokens=256"]  # of prompts of 128 and answers of 64 tokens one still fits
    assert effect == "same result, more time"


def test_a_change_takes_the_place_of_what_was_said() -> None:
    words = ["model=gpt2", "++method.trainer.per_device_train_batch_size=8", "adapter=none"]
    added = ["method.trainer.per_device_train_batch_size=4", "adapter=lora"]
    assert replaced(words, added) == ["model=gpt2", *added]
