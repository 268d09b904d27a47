"""Our PPO on a task of scripts/bench_ppo.py, from the same parts as rlhf/stages/ppo.py.

python scripts/bench_ppo_ours.py TASK_AS_JSON RESULT_FILE
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from bench_ppo_task import (
    Clock,
    Task,
    classifier,
    forget_peak,
    judge,
    peak,
    policy,
    prompts,
    read_task,
    resident,
    rule_table,
    tokenizer,
    write_result,
)
from transformers import TrainingArguments
from transformers.trainer_callback import PrinterCallback

import rlhf.ppo.rollout as rollout_module
from rlhf.compose import jobs, parse_words
from rlhf.config import PPO, LoraAdapter, Run
from rlhf.data.rows import Row
from rlhf.model_spec import TemplateSpec
from rlhf.models.activations import fuse_activations
from rlhf.models.adapter import add_adapter
from rlhf.models.codec import Codec
from rlhf.models.load import trainable_parameters
from rlhf.ppo.actor_critic import ActorCritic
from rlhf.ppo.control import KLControl
from rlhf.ppo.experience import Experience
from rlhf.ppo.guard import CollapseGuard
from rlhf.ppo.rewards import Combined, Scorer, model_scorer
from rlhf.ppo.roles import Roles, copy_adapter, without_dropout
from rlhf.ppo.rollout import Rollouts, Share
from rlhf.ppo.trainer import PPOTrainer
from rlhf.stages import ppo as _whole_stage  # noqa: F401  so that memory counts what a run's process has imported

PLAIN = TemplateSpec(
    name="plain",
    chat=False,
    system="",
    user="{content}",
    assistant="{content}",
    response_prefix="",
    response="{content}",
)


class Laps(PPOTrainer):
    """The trainer, with its update charged to the clock."""

    clock: Clock

    def training_step(self, *args: Any, **given: Any) -> Any:
        """Credit and improve."""
        self.clock.switch("update")
        found = super().training_step(*args, **given)
        self.clock.lap(score=self.measured["reward/score"], kl=self.measured["kl/k1_policy_to_reference"])
        return found


def settings(task: Task) -> Run:
    """Our settings for the task: those that TRL has are its own, what it lacks is off, the rest our defaults.

    The critic's learning rate is ours alone (TRL has one rate for both).
    """
    method = {
        "max_prompt_tokens": task.prompt,
        "max_response_tokens": task.response,
        "prompts_per_step": task.batch,
        "epochs": task.epochs,
        "minibatches": task.minibatches,
        "microbatch_tokens": task.microbatch_tokens,
        "temperature": 1.0,
        "critic.kind": "separate" if task.separate_critic else "shared",
        "critic.learning_rate": task.learning_rate,
        "kl.coefficient": task.kl_coefficient,
        "kl.target": "null",  # TRL's is fixed
        "kl.max_update": "null",  # TRL always makes all epochs
        "normalize_rewards": 0,
        "missing_eos_penalty": 0.0,
        "reward_clip": "null",
        "trainer.learning_rate": task.learning_rate,
        "trainer.lr_scheduler_type": "constant",
        "trainer.warmup_steps": 0,
        "trainer.max_steps": task.all_steps,
    }
    words = ["method=ppo", "model=tiny_gpt2", "tracking=none", f"seed={task.seed}", f"hardware.device={task.device}"]
    words += ["adapter=lora", "adapter.r=8", "adapter.alpha=16"] if task.lora else []
    [(_, run)] = jobs(parse_words([*words, *(f"method.{name}={value}" for name, value in method.items())]))
    return run


def load_roles(task: Task, run: Run) -> Roles:
    """Policy, reference and critic, as the stage makes them."""
    start: Any = fused(policy(task), task)
    if isinstance(run.adapter, LoraAdapter):
        adapted = add_adapter(start, run.model, run.adapter, scorer=False, seed=task.seed)
        if task.separate_critic:
            copy_adapter(adapted, "critic", trainable=True)
        roles = Roles(adapted, None, None)
    else:
        critic = fused(policy(task), task) if task.separate_critic else None
        roles = Roles(start, fused(policy(task), task), critic)
    without_dropout(roles)
    return roles


def fused(model: Any, task: Task) -> Any:
    """Do to a model what `load_policy` and `load_scorer` do to theirs, unless the task is to show what that gives."""
    if not task.plain_gelu:
        fuse_activations(model)
    return model


def scorer(task: Task, codec: Codec) -> Scorer:
    """The task's reward on texts."""
    if task.reward == "model":
        return model_scorer(fused(classifier(task), task), codec, task.batch)
    table = rule_table(task).tolist()

    def scores(_: Sequence[Row], answers: Sequence[str]) -> list[float]:
        return [sum(table[int(word)] for word in text.split()) / task.response**0.5 for text in answers]

    return scores


def put_clock_into(rollouts: Rollouts, clock: Clock) -> None:
    """Charge sampling to one phase and everything else of a rollout (log-probs, values, scores) to another."""
    sample_ids, collect = rollout_module.sample_ids, rollouts.collect

    def timed_sampling(*args: Any, **given: Any) -> Any:
        with clock.within("generate"):
            return sample_ids(*args, **given)

    def timed_collection(*args: Any) -> Experience:
        with clock.within("score"):
            return collect(*args)

    rollout_module.sample_ids = timed_sampling
    rollouts.collect = timed_collection  # type: ignore[assignment, method-assign]


def rollouts_of(task: Task, learner: ActorCritic, codec: Codec, reward: Combined, method: PPO) -> Rollouts:
    """The rollouts on the task's prompts."""
    rows = [
        Row(({"role": "user", "content": " ".join(map(str, ids))},), group=str(place))
        for place, ids in enumerate(prompts(task))
    ]
    return Rollouts(
        learner,
        codec,
        rows,
        reward,
        None,
        method,
        seed=task.seed,
        share=Share(0, 1),
        autocast=partial(torch.autocast, task.device, torch.bfloat16, task.precision == "bf16"),
    )


def trainer_of(task: Task, learner: ActorCritic, rollouts: Rollouts, method: PPO) -> Laps:
    """The trainer with the clock in it."""
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(prefix="bench_ppo_ours_"),
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        logging_first_step=True,
        remove_unused_columns=False,
        use_cpu=task.device == "cpu",
        bf16=task.precision == "bf16",
        seed=task.seed,
        per_device_train_batch_size=task.batch,
        ignore_data_skip=True,
        **{name: value for name, value in method.trainer.items() if name not in ("eval_steps", "save_steps")},
    )

    def watch(_: PPOTrainer, metrics: dict[str, float], __: Experience) -> None:
        learner.guard.check(metrics)

    trainer = Laps(learner, arguments, rollouts, rollouts.rows[:1], method, watch)
    trainer.remove_callback(PrinterCallback)
    trainer.clock = Clock(task.device)
    put_clock_into(rollouts, trainer.clock)
    return trainer


def main() -> None:
    """Train as the task says and leave the result."""
    task, file = read_task()
    memory = {"imports": resident()}
    run = settings(task)
    method = run.method
    assert isinstance(method, PPO)
    codec = Codec(tokenizer(task), run.model.model_copy(update={"template": PLAIN}), task.prompt, task.response)
    roles, reward = load_roles(task, run), Combined({"reward": (1.0, scorer(task, codec))})
    memory["models"] = resident()
    forget_peak(task)
    learner = ActorCritic(
        roles,
        codec,
        shared=not task.separate_critic,
        temperature=method.temperature,
        control=KLControl(method.kl),
        guard=CollapseGuard(method.guard),
    ).eval()
    trainer = trainer_of(task, learner, rollouts_of(task, learner, codec, reward, method), method)
    trainer.train()
    memory |= peak(task)
    judged = judge(task, roles.policy) if task.reward == "rule" else None
    write_result(file, task, trainer.clock, memory, trainable_parameters(learner)[0], judged)


if __name__ == "__main__":
    main()
