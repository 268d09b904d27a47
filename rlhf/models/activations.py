"""One kernel for GPT-2's and T5's activation function where transformers runs seven."""

from __future__ import annotations

from torch import nn
from transformers.activations import NewGELUActivation


def fuse_activations(model: nn.Module) -> None:
    """Replace `gelu_new` by torch's own tanh approximation of GELU, the same function (to 2.4e-7) in one kernel.

    A PPO step of a small GPT-2 takes 12% less time and keeps 80 MiB less for its backward pass (scripts/bench_ppo.py).
    """
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, NewGELUActivation):
                setattr(module, name, nn.GELU(approximate="tanh"))
