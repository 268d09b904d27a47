"""PPO on transformers' Trainer: each of its steps samples, credits and improves.

The Trainer's life cycle (checkpoints, resuming, callbacks, schedules, logging, `accelerate launch`) stays as it is. Its
data loader yields the step's `Experience`; `training_step` credits it and makes all optimizer steps of the update, so
that the optimizer step which the Trainer makes afterwards finds no gradient and moves nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainingArguments

from rlhf.config import PPO
from rlhf.data.rows import Row
from rlhf.evaluation.ppo import metrics as names
from rlhf.models.states import token_batches
from rlhf.ppo import credit as credits
from rlhf.ppo.actor_critic import ActorCritic
from rlhf.ppo.checks import check_first_pass, check_generation, check_start
from rlhf.ppo.credit import Credit, Moments
from rlhf.ppo.experience import Experience
from rlhf.ppo.loss import Metrics, policy_loss, reference_loss, value_loss
from rlhf.ppo.measure import describe
from rlhf.ppo.rollout import HELD_OUT, SHUFFLING, Rollouts, keyed


class PPOTrainer(Trainer):
    """Trains an `ActorCritic` on `rollouts`; `held_out` prompts are answered at every evaluation.

    `watch(metrics, experience)` is called after each step with everything that was measured (see `Watch`).
    """

    def __init__(
        self,
        model: ActorCritic,
        args: TrainingArguments,
        rollouts: Rollouts,
        held_out: Sequence[Row],
        method: PPO,
        watch: Callable[[PPOTrainer, dict[str, float], Experience], None],
    ) -> None:
        super().__init__(model=model, args=args, eval_dataset=list(held_out))
        self.learner = model
        self.rollouts = rollouts
        self.held_out = held_out
        self.method = method
        self.watch = watch
        # float32 throughout: batches of other shapes give the same log-probs
        self.exact = not args.bf16 and all(weight.dtype == torch.float32 for weight in model.parameters())
        self.measured: dict[str, float] = {}
        self.healed = False  # whether `watch` has taken the newest step back

    def get_train_dataloader(self) -> Any:
        """Where the Trainer takes its batches from: one experience per step."""
        return self.rollouts.of_steps(lambda: self.state.global_step)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The Trainer's optimizer in two groups: the policy at its learning rate, the critic at its own."""
        if self.optimizer is None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args)
            critic = self.learner.critic_parameters()
            chosen = {id(weight) for weight in critic}
            policy = [weight for _, weight in self.learner.trained() if id(weight) not in chosen]
            decay = self.args.weight_decay
            groups = [{"params": policy, "weight_decay": decay}, {"params": critic, "weight_decay": decay}]
            groups[1]["lr"] = self.method.critic.learning_rate
            self.optimizer = kind(groups, **options)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The Trainer's schedule without the first point of a warm-up, whose rate of 0 would waste a whole rollout.

        Step i, from 0 on, has the rate of point i + 1 of a schedule that is one step longer, so that the last step's
        is not 0 instead.
        """
        if self.args.get_warmup_steps(num_training_steps) == 0:
            return super().create_scheduler(num_training_steps, optimizer)
        scheduler = super().create_scheduler(num_training_steps + 1, optimizer)
        if isinstance(scheduler, LambdaLR):
            self.lr_scheduler = LambdaLR(scheduler.optimizer, [_one_later(rate) for rate in scheduler.lr_lambdas])
        return self.lr_scheduler

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Credit the step's experience, improve on it, measure; returns the mean loss of the update."""
        experience: Experience = inputs["experience"]
        self.healed = False
        began = time.perf_counter()
        check_generation(experience, self.accelerator.gather, exact=self.exact, step=self.state.global_step)
        if self.state.global_step == 0:
            check_start(experience, self.accelerator.gather)
        given = self.credit(experience)
        model.train(self.args.gradient_checkpointing)  # transformers recomputes in training mode alone; dropout is 0
        updated = self.improve(model, experience, given)
        model.eval()
        self.measured = describe(self.learner, experience, given, updated, self.reduce) | {
            names.SECONDS_UPDATE.name: time.perf_counter() - began
        }
        self.learner.control.update(self.measured[names.KL_K1.name], self.method.prompts_per_step)
        self.watch(self, self.measured, experience)
        # a rollback has taken back what is not finite; nothing of it is left to tell
        if self.healed:
            self.measured = {name: value for name, value in self.measured.items() if math.isfinite(value)}
        return torch.tensor(self.measured.get("loss", 0.0), device=self.args.device)

    def credit(self, experience: Experience) -> Credit:
        """Scores of responses become whitened advantages and returns of tokens, over the samples of all processes."""
        method, progress = self.method, self.learner.progress
        scores = credits.shaped_scores(
            experience.scores,
            experience.finished,
            mean=float(progress.reward_mean),
            std=float(progress.reward_std),
            clip=method.reward_clip,
            missing_eos_penalty=method.missing_eos_penalty,
        )
        in_reward = self.learner.control.value if method.kl.estimator == "k1" else 0.0
        mask = experience.mask
        rewards = credits.token_rewards(scores, experience.logp_old, experience.logp_reference, mask, in_reward)
        if method.whiten_rewards:
            rewards = credits.whiten(rewards, mask, self._moments(rewards, mask), shift_mean=False)
        advantages, returns = credits.generalized_advantages(
            rewards, experience.values, mask, gamma=method.gamma, lam=method.gae_lambda
        )
        of = self._moments(advantages, mask)
        return Credit(rewards, credits.whiten(advantages, mask, of), returns, of)

    def improve(self, model: Any, experience: Experience, given: Credit) -> dict[str, float]:
        """Make the optimizer steps of one update; it ends early when the policy is too far from the sampling one."""
        sums: dict[str, float] = {}
        steps, passes, newest = 0, 0, {}
        for turn in range(self.method.epochs):
            for rows in self._minibatches(len(experience.rows), turn):
                newest = self._accumulate(model, experience, given, rows)
                if steps == 0:
                    check_first_pass(newest, self.exact, self.state.global_step)
                limit = self.method.kl.max_update
                if steps and limit is not None and newest[names.KL_OLD_TO_NEW.name] > limit:
                    model.zero_grad()
                    return _told(sums, steps, newest, passes)
                newest["grad_norm"] = self._step()
                steps += 1
                for name, value in newest.items():
                    sums[name] = sums.get(name, 0.0) + value
            passes = turn + 1
        return _told(sums, steps, newest, passes)

    def _accumulate(self, model: Any, experience: Experience, given: Credit, rows: list[int]) -> dict[str, float]:
        """Forward and backward over one minibatch in pieces of `microbatch_tokens`; gradients and metrics add up."""
        tokens = float(self.reduce(experience.lengths[rows].sum().double()))
        lengths = [len(experience.prompt_ids[row]) + len(experience.response_ids[row]) for row in rows]
        pieces = [[rows[place] for place in piece] for piece in token_batches(lengths, self.method.microbatch_tokens)]
        totals: dict[str, Tensor] = {}
        for piece in pieces:
            with nullcontext() if piece is pieces[-1] else self.accelerator.no_sync(model):
                loss, metrics = self.loss(model, experience, given, piece, tokens)
                # DDP averages gradients over processes, and this loss is already a share of the mean over all of them
                self.accelerator.backward(loss * self.accelerator.num_processes)
            for name, value in {**metrics, "loss": loss.detach()}.items():
                totals[name] = totals.get(name, 0.0) + value
        summed = self.reduce(torch.stack([value.double() for value in totals.values()]))
        return dict(zip(totals, summed.tolist(), strict=True))

    def loss(
        self, model: Any, experience: Experience, given: Credit, piece: list[int], tokens: float
    ) -> tuple[Tensor, Metrics]:
        """The objective on some rows as their share of the mean over `tokens` response tokens."""
        method = self.method
        found = model([experience.prompt_ids[row] for row in piece], [experience.response_ids[row] for row in piece])
        width = found.mask.shape[1]

        def of(per_token: Tensor) -> Tensor:
            return per_token[piece, :width]

        policy, metrics = policy_loss(
            found.logp, of(experience.logp_old), of(given.advantages), found.mask, clip=method.clip, tokens=tokens
        )
        value, more = value_loss(
            found.values, of(experience.values), of(given.returns), found.mask, clip=method.critic.clip, tokens=tokens
        )
        loss = policy + method.critic.coefficient * value
        metrics |= more | {names.POLICY_LOSS.name: policy.detach(), names.VALUE_LOSS.name: value.detach()}
        if method.kl.estimator == "k2":
            penalty, _ = reference_loss(found.logp, of(experience.logp_reference), found.mask, tokens=tokens)
            # the advantages were divided by `scale`, so that the penalty must be, or its coefficient would mean another
            loss = loss + self.learner.control.value / given.scale.to(loss) * penalty
        return loss, metrics

    def _step(self) -> float:
        """Clip policy and critic, each by its own norm, and move the weights; returns the policy's norm."""
        assert self.optimizer is not None
        norms = [
            self.accelerator.clip_grad_norm_(group["params"], self.args.max_grad_norm or float("inf"))
            for group in self.optimizer.param_groups
        ]
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(norms[0])

    def _minibatches(self, count: int, turn: int) -> list[list[int]]:
        """Cut this process's rows into minibatches, in an order that belongs to (seed, step, turn)."""
        if self.method.minibatches == 1:
            return [list(range(count))]
        order = torch.randperm(count, generator=keyed(self.args.seed, SHUFFLING, self.state.global_step, turn))
        return [part.tolist() for part in order.tensor_split(self.method.minibatches)]

    def _moments(self, values: Tensor, mask: Tensor) -> Moments:
        return Moments(self.reduce(credits.moments(values, mask).values))

    def reduce(self, values: Tensor) -> Tensor:
        """Sum a tensor over all processes."""
        return self.accelerator.reduce(values, reduction="sum")

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Answer held-out prompts, always with the same random numbers, and log reward and KL."""
        rows = list(self.held_out if eval_dataset is None else eval_dataset)
        experience = self.rollouts.collect(rows, HELD_OUT, 0, at_once=self.args.per_device_eval_batch_size)
        found = describe(self.learner, experience, self.credit(experience), {}, self.reduce)
        logged = {f"{metric_key_prefix}_{name}": value for name, value in found.items() if "seconds" not in name}
        self.log(dict(logged))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, logged)
        return logged

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the step's measurements beside what the Trainer logs: its gradient norm is that of an empty step."""
        if "loss" in logs and self.measured:
            logs = {**logs, **self.measured}
        super().log(logs, start_time)


def _one_later(rate: Callable[[int], float]) -> Callable[[int], float]:
    return lambda step: rate(step + 1)


def _told(sums: Mapping[str, float], steps: int, newest: Mapping[str, float], passes: int) -> dict[str, float]:
    """Means over the optimizer steps of an update, but of the last minibatch how far the whole update went."""
    last = [metric.name for metric in (names.KL_OLD_TO_NEW, names.POLICY_RATIO, names.POLICY_LOG_RATIO_SIZE)]
    means = {name: value / steps for name, value in sums.items()}
    return means | {name: newest[name] for name in last} | {names.UPDATE_PASSES.name: float(passes)}
