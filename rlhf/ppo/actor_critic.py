"""What PPO trains: a policy with a value function, and what a checkpoint must hold to go on exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rlhf.models.codec import Codec
from rlhf.models.states import plain_model, response_states, token_logprobs
from rlhf.ppo.control import KLControl
from rlhf.ppo.guard import CollapseGuard
from rlhf.ppo.roles import Role, Roles


@dataclass(frozen=True)
class Predictions:
    """Per-token outputs (rows, width), float32, 0 outside the mask; None where not asked for."""

    logp: Tensor
    mask: Tensor
    values: Tensor | None
    entropy: Tensor | None


class Loaded(NamedTuple):
    """What `load_state_dict` answers: nothing was missing, nothing was left over."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Progress(nn.Module):
    """Counts and reward normalisation, kept as buffers so that they travel with the checkpoint."""

    tokens: Tensor
    flops: Tensor
    rollbacks: Tensor
    symptom_steps: Tensor
    reward_mean: Tensor
    reward_std: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, value in (
            ("tokens", 0.0),
            ("flops", 0.0),
            ("rollbacks", 0.0),
            ("symptom_steps", 0.0),
            ("reward_mean", 0.0),
            ("reward_std", 1.0),
        ):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))


class ActorCritic(nn.Module):
    """Policy and value function in one module, so that one backward pass (and one DDP wrapper) serves both.

    `shared`: the value head reads the policy's own states, and its gradient reaches them. Otherwise it reads those of
    the critic role. The head is float32 and starts at zero, so that the first advantages are the rewards.
    """

    def __init__(
        self, roles: Roles, codec: Codec, *, shared: bool, temperature: float, control: KLControl, guard: CollapseGuard
    ) -> None:
        super().__init__()
        base = plain_model(roles.policy)
        config = base.config.get_text_config(decoder=True)
        self.roles = roles
        self.codec = codec
        self.shared = shared
        self.temperature = temperature
        self.value_head = nn.Linear(config.hidden_size, 1, device=next(base.parameters()).device)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)
        self.control = control
        self.guard = guard
        self.progress = Progress()

    def forward(
        self,
        prompt_ids: Sequence[Sequence[int]],
        response_ids: Sequence[Sequence[int]],
        *,
        role: Role = "policy",
        with_entropy: bool = False,
    ) -> Predictions:
        """Log-probs of the responses under `role`, with values beside those of the policy."""
        with self.roles.acting(role) as model:
            found = response_states(model, self.codec, prompt_ids, response_ids)
            head = plain_model(model).get_output_embeddings()
            chosen = found.states[found.mask]
            logp, entropy = token_logprobs(
                chosen, head, found.tokens[found.mask], self.temperature, with_entropy=with_entropy
            )
        values = self._values(found.states, found.mask, prompt_ids, response_ids) if role == "policy" else None
        return Predictions(
            _laid_out(logp, found.mask),
            found.mask,
            None if values is None else _laid_out(values, found.mask),
            None if entropy is None else _laid_out(entropy, found.mask),
        )

    def _values(self, states: Tensor, mask: Tensor, prompt_ids: Any, response_ids: Any) -> Tensor:
        if not self.shared:
            with self.roles.acting("critic") as critic:
                states = response_states(critic, self.codec, prompt_ids, response_ids).states
        with torch.autocast(states.device.type, enabled=False):
            return self.value_head(states[mask].float()).squeeze(-1)

    def critic_parameters(self) -> list[nn.Parameter]:
        """What the critic's learning rate is for: the head, and a separate critic's trunk or adapter."""
        return [
            w for name, w in self.trained() if name.startswith(("value_head.", "roles.critic.")) or ".critic." in name
        ]

    def trained(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Names and weights that the optimizer moves."""
        return [(name, weight) for name, weight in self.named_parameters() if weight.requires_grad]

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:  # type: ignore[override]
        """What a checkpoint holds: trained weights, and the state of KL control, guard and counts; no frozen base."""
        state: dict[str, Tensor] = {name: weight.detach() for name, weight in self.trained()}
        for part in ("control", "guard", "progress"):
            state |= {f"{part}.{name}": buffer for name, buffer in getattr(self, part).named_buffers()}
        return state

    @torch.no_grad()
    def load_state_dict(self, state_dict: Mapping[str, Any], *_: Any, **__: Any) -> Any:
        """Take what `state_dict` gave; everything else stays as it was loaded."""
        own = self.state_dict()
        if own.keys() != state_dict.keys():
            raise ValueError(f"the checkpoint differs from the model in {sorted(own.keys() ^ state_dict.keys())[:3]}")
        for name, tensor in own.items():
            tensor.copy_(state_dict[name])
        return Loaded([], [])

    def gradient_checkpointing_enable(self, **options: Any) -> None:
        """Recompute activations in the backward pass (transformers calls this on its own models)."""
        for model in (self.roles.policy, self.roles.critic):
            if model is not None:
                model.gradient_checkpointing_enable(**options)
                if hasattr(model, "enable_input_require_grads"):
                    model.enable_input_require_grads()


def _laid_out(flat: Tensor, mask: Tensor) -> Tensor:
    """Put the masked entries (n,) back at their places (rows, width), 0 elsewhere."""
    return torch.zeros(mask.shape, dtype=flat.dtype, device=flat.device).masked_scatter(mask, flat)
