"""Pairwise reward models with TRL's RewardTrainer on sequence-classification heads, beside two baselines."""

from __future__ import annotations

from dataclasses import asdict

from trl import RewardConfig, RewardTrainer

from rlhf import ranks
from rlhf.evaluation.reward import judge_pairs
from rlhf.models.load import BASE, Source, add_adapter, load_scorer, merge_adapter, save_model
from rlhf.stages.context import StageContext, StageResult
from rlhf.stages.costs import account
from rlhf.stages.reward_pairs import PAIRS, examined, record_pairs
from rlhf.stages.tokens import scored_pair_tokens
from rlhf.stages.training import finish, fit, trainer_arguments
from rlhf.store import write_json


def _merged(context: StageContext) -> Source:
    """What the scorer starts from; a policy's adapter is merged into its base, which stays beside the new adapter."""
    if context.source.adapter is None:
        return context.source
    folder, dtype = context.folder / BASE, context.device.trained_dtype
    return merge_adapter(context.run.model, context.source, folder, dtype=dtype, seed=context.run.seed)


def run(context: StageContext) -> StageResult:
    """Train one score per text and leave the scorer in `folder/model`; held-out accuracy comes with its baselines."""
    job, codec = context.run, context.codec
    scorer = context.load(load_scorer, _merged(context))
    if job.adapter.name == "lora":
        scorer = add_adapter(scorer, job.model, job.adapter, scorer=True, seed=job.seed)
    train = scored_pair_tokens(codec, context.corpus.train, context.store)
    trainer = RewardTrainer(
        model=scorer,
        args=trainer_arguments(RewardConfig, context, max_length=None),
        train_dataset=train,
        eval_dataset=scored_pair_tokens(codec, context.corpus.validation, context.store),
        processing_class=codec.tokenizer,
    )
    history = fit(trainer, context)
    costs = account(context, scorer, train, history)
    save_model(scorer, codec.tokenizer, context.folder / "model")
    judged = judge_pairs(scorer, codec, context.corpus, context.run.evaluation)
    if ranks.first():
        write_json(context.folder / PAIRS, asdict(judged))
        record_pairs(examined(context.corpus.test, judged, context.run.evaluation), context.tracked)
    finish(context)
    return StageResult(metrics=costs | judged.metrics(), curves=history.curves)
