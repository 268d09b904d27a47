"""Proximal policy optimisation on any family: roles on one base under LoRA, separate models without."""

from __future__ import annotations

from functools import partial

import torch
from accelerate import PartialState
from peft import PeftModel
from rich.console import Console
from transformers import TrainingArguments

from rlhf import ranks
from rlhf.alike import all_alike
from rlhf.config import PPO
from rlhf.evaluation import metrics as names
from rlhf.evaluation.prompts import distinct_prompts
from rlhf.models.codec import Codec
from rlhf.models.load import add_adapter, load_policy, save_model
from rlhf.ppo.actor_critic import ActorCritic
from rlhf.ppo.control import KLControl
from rlhf.ppo.guard import CollapseGuard
from rlhf.ppo.rewards import Combined, RewardParts, Scorer, build_rewards
from rlhf.ppo.rewards.stage import folder_scorer
from rlhf.ppo.roles import Roles, copy_adapter, without_dropout
from rlhf.ppo.rollout import TRAINING, Rollouts, Share
from rlhf.ppo.shared_judge import add_judge, on_same_base, shared_scorer
from rlhf.ppo.trainer import PPOTrainer
from rlhf.stages.context import StageContext, StageResult
from rlhf.stages.costs import sizes_of
from rlhf.stages.training import finish, fit, newest_whole_checkpoint, trainer_arguments
from rlhf.stages.watch import Watch, flat_rewards

BEFORE = -1  # the step whose samples the normalisation of rewards is taken from


def run(context: StageContext) -> StageResult:
    """Train against the frozen start as reference and leave the policy in `folder/model`."""
    return complete(context, assemble(context))


def assemble(context: StageContext) -> PPOTrainer:
    """Load all that the stage needs, ready to train; nothing is sampled yet."""
    job, codec, method = context.run, context.codec, context.method
    assert isinstance(method, PPO)
    roles, judge = load_roles(context, shared=method.critic.kind == "shared")
    learner = ActorCritic(
        roles,
        codec,
        shared=method.critic.kind == "shared",
        temperature=method.temperature,
        control=KLControl(method.kl),
        guard=CollapseGuard(method.guard),
    ).eval()
    state = PartialState()
    assert method.prompts_per_step % state.num_processes == 0, "the door lets no other number through"
    arguments = trainer_arguments(
        TrainingArguments,
        context,
        per_device_train_batch_size=method.prompts_per_step // state.num_processes,
        gradient_accumulation_steps=1,
        ignore_data_skip=True,  # the prompts of a step follow from its number
    )
    rollouts = Rollouts(
        learner,
        codec,
        context.corpus.train,
        reward(context, method, judge),
        context.corpus.gold,
        method,
        seed=job.seed,
        share=Share(state.process_index, state.num_processes),
        autocast=partial(torch.autocast, context.device.kind, torch.bfloat16, arguments.bf16),
    )
    tell_repeats(method, len(rollouts.rows), context.console)
    held_out = distinct_prompts(context.corpus.validation, job.evaluation)
    return PPOTrainer(learner, arguments, rollouts, held_out, method, Watch(context, learner, method))


def complete(context: StageContext, trainer: PPOTrainer) -> StageResult:
    """Train, from the newest checkpoint where there is one, measure on the test set, and save."""
    learner, method = trainer.learner, trainer.method
    checkpoints = context.folder / "checkpoints"
    if not ranks.agreed(newest_whole_checkpoint(checkpoints) is not None if ranks.first() else None):
        normalize(learner, trainer.rollouts, method, context.console)  # a checkpoint holds what was found at the start
    history = fit(trainer, context, flat_rewards)
    held_out = distinct_prompts(context.corpus.test, context.run.evaluation)
    final = trainer.evaluate(held_out, metric_key_prefix="final")
    # with k2 the KL is charged in the loss, not in the reward
    charged = final["final_reward/non_score"] if method.kl.estimator == "k2" else 0.0
    context.meter.add_tokens(round(float(learner.progress.tokens)))
    context.meter.add_flops(round(float(learner.progress.flops)))
    context.meter.add_steps(trainer.state.global_step)
    context.meter.add_samples(trainer.state.global_step * method.prompts_per_step)
    context.meter.add_seconds(history.seconds_before)
    save_model(learner.roles.policy, context.codec.tokenizer, context.folder / "model")
    finish(context)
    metrics = {
        **sizes_of(learner),
        names.FINAL_LOSS.name: -final["final_reward/total"] - charged,
        names.FINAL_SYMPTOM_STEPS.name: float(learner.progress.symptom_steps),
        names.FINAL_ROLLBACKS.name: float(learner.progress.rollbacks),
    }
    return StageResult(metrics=metrics, curves=history.curves)


def load_roles(context: StageContext, *, shared: bool) -> tuple[Roles, Scorer | None]:
    """Load policy, reference and (unless it shares the policy's trunk) critic, with every dropout at 0.

    Where the reward stage is an adapter on the policy's base, it is put on it, and its scorer is the second result.
    """
    job = context.run
    policy = context.load(load_policy)
    started_from_adapter = isinstance(policy, PeftModel)
    reference = critic = classifier = None
    if job.adapter.name == "lora":
        policy = add_adapter(policy, job.model, job.adapter, scorer=False, seed=job.seed)
        if started_from_adapter:
            copy_adapter(policy, "reference", trainable=False)
        if not shared:
            copy_adapter(policy, "critic", trainable=True)
        if context.judge is not None and on_same_base(context.judge, policy, context.source):
            classifier = add_judge(policy, context.judge, job.model.classifier_head)
    else:
        reference = context.load(load_policy)
        critic = None if shared else context.load(load_policy)
    roles = Roles(policy, reference, critic)
    without_dropout(roles)
    if classifier is None:
        return roles, None
    lengths = job.upstream.reward
    codec = Codec(context.codec.tokenizer, job.model, lengths.max_prompt_tokens, lengths.max_response_tokens)
    return roles, shared_scorer(roles, classifier, codec, job.evaluation.batch_size)


def reward(context: StageContext, method: PPO, judge: Scorer | None) -> Combined:
    """The weighted sum of the method's reward sources; `judge` scores in place of a reward model loaded by itself."""
    folder = context.judge

    def stage(name: str) -> Scorer:
        assert folder is not None, "the pipeline builds the reward stage of a method that uses one"
        return judge or folder_scorer(name, folder, parts, trusted=True)

    parts = RewardParts(
        gold=context.corpus.gold,
        stage=stage,
        device=context.device.kind,
        dtype=context.device.dtype,
        batch_size=context.run.evaluation.batch_size,
    )
    return build_rewards(method.rewards, parts)


def tell_repeats(method: PPO, rows: int, console: Console) -> None:
    """Say it where one step asks the same prompt several times."""
    if method.prompts_per_step > rows:
        console.print(
            f"  [yellow]note[/] method.prompts_per_step={method.prompts_per_step}: more than the {rows} training rows, "
            "so each step asks some of them more than once",
            highlight=False,
            soft_wrap=True,
        )


@torch.no_grad()
def normalize(learner: ActorCritic, rollouts: Rollouts, method: PPO, console: Console) -> None:
    """Set mean and standard deviation of the scores of the start's own answers, so that no judge's scale matters."""
    scores: list[torch.Tensor] = []
    steps = -(-method.normalize_rewards // method.prompts_per_step)
    for step in range(steps):
        scores.append(rollouts.collect(rollouts.prompts_of(step), TRAINING, BEFORE - step).scores.double())
    if scores:
        whole = rollouts.gathered(torch.cat(scores))
        spread = whole.std(correction=0)
        if all_alike(float(whole.mean()), float(spread)):
            console.print(
                f"  [yellow]note[/] all {len(whole)} answers of the start were scored {float(whole[0]):.4g}, so scores "
                "have no scale of their own and are only shifted",
                highlight=False,
            )
            spread = torch.ones_like(spread)
        learner.progress.reward_mean.copy_(whole.mean())
        learner.progress.reward_std.copy_(spread)
