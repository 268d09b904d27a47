"""TRL 1.12's PPOTrainer on a task of scripts/bench_ppo.py, in TRL's own environment.

python scripts/bench_ppo_trl.py TASK_AS_JSON RESULT_FILE
"""

from __future__ import annotations

import tempfile
from types import SimpleNamespace
from typing import Any

import torch
import trl.experimental.ppo.ppo_trainer as trl_ppo
from bench_ppo_task import (
    Clock,
    Task,
    classifier,
    config,
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
from datasets import Dataset
from peft import LoraConfig
from torch import Tensor, nn
from transformers import PreTrainedModel, TrainerCallback
from trl.experimental.ppo import PPOConfig, PPOTrainer


class RuleBackbone(nn.Module):
    """Its one hidden number at each place is the rule's score of the response up to there."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task
        self.register_buffer("table", torch.cat([rule_table(task), torch.zeros(2)]))

    def forward(self, input_ids: Tensor, **_: Any) -> Any:
        """Score ids (rows, prompt + response)."""
        scores = self.table[input_ids]
        scores[:, : self.task.prompt] = 0
        return SimpleNamespace(hidden_states=((scores.cumsum(1) / self.task.response**0.5).unsqueeze(-1),))


class RuleReward(PreTrainedModel):
    """The rule in the shape of a reward model."""

    base_model_prefix = "transformer"

    def __init__(self, task: Task) -> None:
        super().__init__(config(task))
        self.transformer = RuleBackbone(task)
        self.score = nn.Identity()
        self.post_init()


class Laps(TrainerCallback):
    """Ends the clock's step with each of the trainer's."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.logged: dict[str, float] = {}

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Leave out what came before."""
        self.clock.__post_init__()

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        """Keep score and KL (nats per response)."""
        self.logged = {"score": logs["objective/scores"], "kl": logs["objective/kl"]}

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """One step is done."""
        self.clock.lap(**self.logged)


def settings(task: Task) -> PPOConfig:
    """TRL's settings for the task; what is not named is TRL's default, with which bench_ppo_ours.py agrees."""
    return PPOConfig(
        output_dir=tempfile.mkdtemp(prefix="bench_ppo_trl_"),
        report_to=[],
        save_strategy="no",
        logging_strategy="steps",
        logging_steps=1,
        disable_tqdm=True,
        per_device_train_batch_size=task.batch // task.minibatches,
        gradient_accumulation_steps=task.minibatches,
        num_mini_batches=task.minibatches,
        num_ppo_epochs=task.epochs,
        total_episodes=task.batch * task.all_steps,
        response_length=task.response,
        local_rollout_forward_batch_size=task.batch,
        num_sample_generations=0,
        learning_rate=task.learning_rate,
        lr_scheduler_type="constant",
        kl_coef=task.kl_coefficient,
        temperature=1.0,
        stop_token=None,
        gradient_checkpointing=False,
        bf16=task.precision == "bf16",
        use_cpu=task.device == "cpu",
        seed=task.seed,
    )


def put_clock_into(trainer: PPOTrainer, clock: Clock, *, collect_garbage: bool) -> None:
    """Charge sampling, scoring (old and reference log-probs, values, score, advantages), update and gc to phases."""
    generate, collect = trl_ppo.batch_generation, trl_ppo.gc.collect

    def timed_generation(*args: Any, **given: Any) -> Any:
        clock.switch("generate")
        found = generate(*args, **given)
        clock.switch("score")
        return found

    def timed_collection() -> None:
        with clock.within("gc"):
            collect()

    trl_ppo.batch_generation = timed_generation
    trl_ppo.gc = SimpleNamespace(collect=timed_collection if collect_garbage else lambda: None)
    trainer.model.register_forward_pre_hook(lambda *_: clock.switch("update"))  # policy and value together: training


def main() -> None:
    """Train as the task says and leave the result."""
    task, file = read_task()
    memory = {"imports": resident()}
    clock = Clock(task.device)
    start, reward = policy(task), (RuleReward(task) if task.reward == "rule" else classifier(task))
    lora = LoraConfig(
        r=8, lora_alpha=16, target_modules=["c_attn", "c_proj"], task_type="CAUSAL_LM", fan_in_fan_out=True
    )
    memory["models"] = resident()
    forget_peak(task)
    trainer = PPOTrainer(
        args=settings(task),
        processing_class=tokenizer(task),
        model=start,
        ref_model=None,
        reward_model=reward,
        value_model=classifier(task),
        train_dataset=Dataset.from_list([{"input_ids": ids} for ids in prompts(task)]),
        peft_config=lora if task.lora else None,
        callbacks=[Laps(clock)],
    )
    put_clock_into(trainer, clock, collect_garbage=task.collect_garbage)
    trainer.train()
    memory |= peak(task)
    trained = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
    judged = judge(task, trainer.policy_model) if task.reward == "rule" else None
    write_result(file, task, clock, memory, trained, judged)


if __name__ == "__main__":
    main()
