"""Tiny models of every family in PPO's roles, on prompts of three lengths: what tests of PPO's parts share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from accelerate import PartialState
from transformers import TrainingArguments

from rlhf.config import PPO
from rlhf.data.rows import Row
from rlhf.models.load import add_adapter
from rlhf.ppo.actor_critic import ActorCritic
from rlhf.ppo.control import KLControl
from rlhf.ppo.experience import Experience
from rlhf.ppo.guard import CollapseGuard
from rlhf.ppo.rewards import Combined
from rlhf.ppo.rollout import Rollouts, Share
from rlhf.ppo.trainer import PPOTrainer
from rlhf.stages.ppo import load_roles
from tests.bench import MODELS
from tests.models.conftest import CHATS, LORA, NONE, Tiny, model_spec
from tests.ppo.enumerable import method_of

ROWS = [Row(prompt=tuple(messages), group=str(index)) for index, messages in enumerate(CHATS)]


@cache
def tiny(name: str) -> Tiny:
    return Tiny(model_spec(name), MODELS)


def method(*overrides: str) -> PPO:
    return method_of("max_response_tokens=12", "max_prompt_tokens=96", "prompts_per_step=6", *overrides)


def learner_of(name: str, method: PPO, *, lora: bool = False, from_adapter: bool = False) -> ActorCritic:
    """Roles as the stage makes them; the value head is given weights, so that values are not all 0."""
    shared, one = method.critic.kind == "shared", tiny(name)

    def load(_: Any) -> Any:
        policy = one.policy()
        if not from_adapter:
            return policy
        adapted = add_adapter(policy, one.spec, LORA, scorer=False, seed=1)
        disturb(adapted, "lora_B")
        return adapted

    run = SimpleNamespace(adapter=LORA if lora else NONE, model=one.spec, seed=2)
    stage: Any = SimpleNamespace(run=run, load=load, judge=None)
    roles, _ = load_roles(stage, shared=shared)
    control, guard = KLControl(method.kl), CollapseGuard(method.guard)
    learner = ActorCritic(
        roles, one.codec, shared=shared, temperature=method.temperature, control=control, guard=guard
    ).eval()
    torch.nn.init.normal_(learner.value_head.weight, std=0.1, generator=torch.Generator().manual_seed(3))
    return learner


@torch.no_grad()
def disturb(model: torch.nn.Module, part: str, size: float = 0.05) -> None:
    """Add noise to the trained weights whose name holds `part`."""
    generator = torch.Generator().manual_seed(4)
    for name, weight in model.named_parameters():
        if part in name and weight.requires_grad:
            weight += size * torch.randn(weight.shape, generator=generator)


def rollouts_of(learner: ActorCritic, method: PPO) -> Rollouts:
    """Answers scored by how many letters they have."""

    def letters(rows: Sequence[Row], texts: Sequence[str]) -> list[float]:
        return [len(text) / 10 for text in texts]

    state = PartialState()
    share = Share(state.process_index, state.num_processes)
    return Rollouts(
        learner, learner.codec, ROWS, Combined({"letters": (1.0, letters)}), None, method, seed=0, share=share
    )


def trainer_of(learner: ActorCritic, method: PPO, folder: Path, **arguments: Any) -> PPOTrainer:
    """The real trainer on prompts of three lengths, two steps unless asked otherwise."""
    settings = {"use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "max_steps": 2}
    given = TrainingArguments(output_dir=str(folder), **settings | {"learning_rate": 1e-3} | arguments)
    return PPOTrainer(learner, given, rollouts_of(learner, method), ROWS, method, lambda *_: None)


def collected(learner: ActorCritic, method: PPO) -> Experience:
    rollouts = rollouts_of(learner, method)
    found = rollouts.collect(rollouts.prompts_of(0), 0, 0)
    lengths = [len(row) for row in found.response_ids]
    return found if len(set(lengths)) > 1 else cut(found, [12 - 2 * index for index in range(len(lengths))])


def cut(experience: Experience, lengths: list[int]) -> Experience:
    """The same experience with responses of other lengths: random models seldom end by themselves."""
    keep = torch.arange(experience.mask.shape[1]) < torch.tensor(lengths)[:, None]
    names = ("logp_generated", "logp_old", "logp_reference", "entropy", "values")
    per_token = {name: getattr(experience, name) * keep for name in names}
    ids = [row[:length] for row, length in zip(experience.response_ids, lengths, strict=True)]
    return replace(experience, response_ids=ids, mask=experience.mask & keep, **per_token)
