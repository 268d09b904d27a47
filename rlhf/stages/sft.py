"""Supervised fine-tuning with TRL's SFTTrainer; encoder-decoders go through the seq2seq bridge."""

from __future__ import annotations

from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from rlhf.models.bridge import BridgeCollator
from rlhf.models.load import add_adapter, load_policy, save_model
from rlhf.stages.context import StageContext, StageResult
from rlhf.stages.costs import account
from rlhf.stages.tokens import demonstration_tokens
from rlhf.stages.training import finish, fit, trainer_arguments


def run(context: StageContext) -> StageResult:
    """Train on the demonstrations' response tokens and leave the policy in `folder/model`."""
    job, codec = context.run, context.codec
    policy = context.load(load_policy)
    if job.adapter.name == "lora":
        policy = add_adapter(policy, job.model, job.adapter, scorer=False, seed=job.seed)
    train = demonstration_tokens(codec, context.corpus.train, context.store)
    collator = DataCollatorForLanguageModeling(pad_token_id=codec.pad_id)
    trainer = SFTTrainer(
        model=policy,
        args=trainer_arguments(SFTConfig, context, max_length=None),
        data_collator=BridgeCollator(collator) if job.model.family == "seq2seq" else collator,
        train_dataset=train,
        eval_dataset=demonstration_tokens(codec, context.corpus.validation, context.store),
        processing_class=codec.tokenizer,
    )
    history = fit(trainer, context)
    costs = account(context, policy, train, history)
    save_model(policy, codec.tokenizer, context.folder / "model")
    finish(context)
    return StageResult(metrics=costs, curves=history.curves)
