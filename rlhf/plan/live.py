"""Counts the bytes that tensors hold while a computation runs on tensors without data.

The real forward and backward code runs under torch's fake tensors: shapes, types and lifetimes are real, numbers are
not there. So what is counted is what the libraries keep, not what a formula thinks they keep.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Peak:
    """Bytes alive at the moment when most were, by what they are for; what was there before is not counted."""

    activations: int
    logits: int  # tensors as wide as the vocabulary that are no gradient of a weight
    gradients: int  # of weights

    @property
    def total(self) -> int:
        """All of them together."""
        return self.activations + self.logits + self.gradients


class Live(TorchDispatchMode):
    """Watches storages come and go within its span; those of `weights` are not counted.

    A tensor of a trained weight's shape and type is that weight's gradient. Logits are told by their last dimension,
    the vocabulary's. `tile` is the width of TRL's buffer for pieces of logits: where the vocabulary is narrower, its
    other columns are never written, so a CPU gives them no memory (`touched_only`).
    """

    def __init__(self, weights: Iterable[Tensor], *, vocabulary: int, tile: int, touched_only: bool) -> None:
        super().__init__()
        held = list(weights)
        self._held = [weight.untyped_storage() for weight in held]  # kept, so that no id is used twice
        self._seen: dict[int, None] = dict.fromkeys(map(id, self._held))
        self._trained = {(tuple(each.shape), each.dtype) for each in held if each.requires_grad and each.dim() > 1}
        self._vocabulary, self._tile, self._touched_only = vocabulary, tile, touched_only
        self._now = {"activations": 0, "logits": 0, "gradients": 0}
        self.peak = Peak(0, 0, 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, then count what it has made."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._seen:
            return
        self._seen[key] = None
        kind, size = self._kind(tensor, storage.nbytes())
        self._now[kind] += size
        weakref.finalize(storage, self._forget, key, kind, size)
        if sum(self._now.values()) > self.peak.total:
            self.peak = Peak(**self._now)

    def _kind(self, tensor: Tensor, size: int) -> tuple[str, int]:
        if (tuple(tensor.shape), tensor.dtype) in self._trained:
            return "gradients", size
        width = tensor.shape[-1] if tensor.dim() else 0
        if width == self._tile > self._vocabulary:
            return "logits", size * self._vocabulary // self._tile if self._touched_only else size
        wide = tensor.is_floating_point() and width in (self._vocabulary, self._tile)
        return ("logits" if wide else "activations"), size

    def _forget(self, key: int, kind: str, size: int) -> None:
        del self._seen[key]
        self._now[kind] -= size
