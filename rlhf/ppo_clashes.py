"""What cannot go together in `method=ppo`, one line each; asked by `rlhf.build` at the door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rlhf.config import PPO, FileDataset, Run


def ppo_clashes(run: Run, method: PPO) -> Iterator[str]:
    """Tell what PPO cannot do with the data or the sizes that it was given."""
    steps = method.trainer.get("max_steps")
    if "max_steps" not in method.trainer or (type(steps) is int and steps < 1):  # a wrong type is check_trainer's
        yield (
            f"method.trainer.max_steps: should be above 0, got {steps}, as rollouts have no end of their own. "
            "Write a number of steps: method.trainer.max_steps=100."
        )
    if method.prompts_per_step < method.minibatches:
        yield (
            f"method.minibatches: {method.prompts_per_step} prompts do not make {method.minibatches} minibatches. "
            "Lower method.minibatches, or raise method.prompts_per_step."
        )
    if method.kl.coefficient == 0 and (method.kl.target is not None or method.guard.on_collapse == "rollback"):
        yield (
            "method.kl.coefficient: from 0 neither a target nor a rollback can raise it by a factor. Set it above 0, "
            "or set method.kl.target=null and method.guard.on_collapse=warn."
        )
    if method.kl.estimator == "k2" and method.whiten_rewards:
        yield (
            "method.whiten_rewards: it divides the rewards by another number at each step, but not the KL, which k2 "
            "charges as a loss, so its price would change from step to step. Use method.kl.estimator=k1, which charges "
            "it in the reward, or method.whiten_rewards=false."
        )
    if not method.rewards:
        yield (
            "method.rewards: it is empty, so nothing is rewarded. Name a source: "
            "method.rewards={judge: {kind: stage, weight: 1.0, folder: null}}."
        )
    if method.trainer.get("gradient_checkpointing") and run.adapter.name != "none" and method.critic.kind == "separate":
        yield (
            "method.trainer.gradient_checkpointing: the recomputed critic would run with the policy's adapter. "
            "Use method.critic.kind=shared, or method.trainer.gradient_checkpointing=false."
        )
    for name, source in method.rewards.items():
        place = f"method.rewards.{name}"
        if source.kind == "gold" and isinstance(run.dataset, FileDataset):
            trained = "a reward model" if run.dataset.has_pairs else "a finished reward model"
            which = "null" if run.dataset.has_pairs else "FOLDER"
            yield (
                f"{place}.kind: the gold reward is known only for support_toy, not for {run.dataset.name}. "
                f"Use {trained}: method.rewards={{judge: {{kind: stage, weight: 1.0, folder: {which}}}}}, or a "
                "function of your own."
            )
        if source.weight == 0 and len(method.rewards) == 1:
            yield f"{place}.weight: it is 0, so nothing is rewarded. Give it another weight: {place}.weight=1."
        for key in ("folder", "path"):
            folder = getattr(source, key, None)
            local = key == "folder" or source.kind == "linear" or is_path(str(folder))
            if folder is not None and local and not Path(folder).expanduser().exists():
                yield f"{place}.{key}: there is no {folder}. Give one that exists."


def is_path(value: str) -> bool:
    """Whether a value that may be a folder or a hub id (OWNER/NAME) can be no hub id."""
    return value.startswith((".", "/", "~")) or "\\" in value or value.count("/") > 1
