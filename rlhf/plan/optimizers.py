"""Bytes that an optimizer keeps per trained weight, by the name it has in `method.trainer.optim`."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

QUANTIZED_BLOCK = 256  # weights per scale of an 8-bit state (bitsandbytes)
LEAST_QUANTIZED = 4096  # smaller weights keep 32-bit states
ADAM, ONE_MOMENT = 2, 1  # states of a weight's own size
STATES = {
    "sgd": 0, "adafactor": 0, "adagrad": ONE_MOMENT, "rmsprop": ONE_MOMENT, "lion": ONE_MOMENT,
}  # fmt: skip
DEFAULT = "adamw_torch_fused"


def optimizer_bytes(name: str, shapes: Sequence[tuple[int, ...]]) -> int:
    """Return the bytes of the states of `name` over trained float32 weights of `shapes`.

    Adam keeps two float32 per weight (8 bytes), in 8 bit two bytes and two float32 per 256 weights; RMSprop, Adagrad
    and Lion one of each; SGD without momentum nothing; Adafactor one float32 per row and one per column of a matrix. An
    optimizer that is not known is taken for Adam. The step counts (4 bytes per weight matrix) are left in.
    """
    words = name.removeprefix("paged_").split("_")
    kind = words[0]
    if kind == "adafactor":
        return sum(4 * (sum(shape[-2:]) * prod(shape[:-2]) if len(shape) > 1 else prod(shape)) for shape in shapes)
    states = STATES.get(kind, ADAM)
    if "8bit" in words:
        return states * sum(_quantized(prod(shape)) for shape in shapes)
    steps = 4 * len(shapes) if states == ADAM else 0
    return states * 4 * sum(map(prod, shapes)) + steps


def _quantized(count: int) -> int:
    """Bytes of one 8-bit state."""
    return 4 * count if count < LEAST_QUANTIZED else count + 4 * -(-count // QUANTIZED_BLOCK)
