"""Policy, reference and critic of PPO: separate models, or adapters that share one frozen base.

With LoRA, "default" is the policy's adapter, "reference" a frozen copy of the SFT adapter it started from (where there
is none, the base with adapters off is the reference), "critic" the value function's own and "reward" that of a judge
that was trained on the same base. Without, each is a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from peft import PeftModel
from torch import nn

Role = Literal["policy", "reference", "critic", "reward"]
POLICY = "default"  # PEFT's name of the adapter that is saved


def copy_adapter(model: PeftModel, name: str, *, trainable: bool) -> None:
    """Add an adapter with the settings and weights of the policy's, in its dtype and place."""
    model.add_adapter(name, model.peft_config[POLICY])
    weights = dict(model.named_parameters())
    for key, weight in weights.items():
        if f".{name}." in key:
            weight.data = weights[key.replace(f".{name}.", f".{POLICY}.")].data.clone()
            weight.requires_grad_(trainable)


class Roles(nn.Module):
    """The models behind the roles. `reference` and `critic` are models of their own, or None where adapters serve."""

    def __init__(self, policy: Any, reference: Any | None, critic: Any | None) -> None:
        super().__init__()
        self.policy = policy
        self.reference = reference
        self.critic = critic
        if reference is not None:
            reference.requires_grad_(False)
        if critic is not None and critic.get_output_embeddings().weight is not critic.get_input_embeddings().weight:
            critic.get_output_embeddings().requires_grad_(False)  # a critic predicts no tokens
        self._adapters = [(w, w.requires_grad) for name, w in self.named_parameters() if "lora_" in name]

    @contextmanager
    def acting(self, role: Role) -> Iterator[Any]:
        """Give the model that plays `role`; adapters are switched for the span and back.

        Switching makes PEFT flip `requires_grad` on adapters, and a weight whose flag is off at the time of the
        backward pass gets no gradient, so the flags are put back at once.
        """
        own = getattr(self, role, None)
        if own is not None:
            yield own
            return
        assert isinstance(self.policy, PeftModel), "without adapters every role has a model"
        adapters: Any = self.policy.base_model
        try:
            if role in self.policy.peft_config:
                adapters.set_adapter(role)
            else:
                adapters.disable_adapter_layers()
            self._restore_flags()
            yield self.policy
        finally:
            adapters.enable_adapter_layers()
            adapters.set_adapter(POLICY)
            self._restore_flags()

    def _restore_flags(self) -> None:
        for weight, trains in self._adapters:
            weight.requires_grad_(trains)


def without_dropout(model: nn.Module) -> None:
    """Set every dropout to 0, also rates that attention layers keep as numbers: old and new log-probs must agree."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if isinstance(value, float) and name.endswith(("dropout", "dropout_rate", "pdrop")):
                setattr(module, name, 0.0)
