"""Direct preference optimisation with TRL's DPOTrainer and its losses; encoder-decoders go through the bridge."""

from __future__ import annotations

from typing import Any

from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from rlhf.config import DPO
from rlhf.models.bridge import BridgeCollator
from rlhf.models.load import add_adapter, load_policy, save_model
from rlhf.stages.context import StageContext, StageResult
from rlhf.stages.costs import account
from rlhf.stages.tokens import pair_tokens
from rlhf.stages.training import finish, fit, trainer_arguments


class TokenPairTrainer(DPOTrainer):
    """TRL's trainer over rows that are token ids already; its SFT and reward trainers accept such rows as they are.

    TRL tokenises prompt and answer as one text, which loses T5's `</s>` at the end of the prompt.
    """

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


def run(context: StageContext) -> StageResult:
    """Train against the frozen start as reference and leave the policy in `folder/model`.

    Under an adapter TRL keeps a frozen copy of it as the reference; otherwise the start is loaded a second time.
    """
    job, codec, method = context.run, context.codec, context.method
    assert isinstance(method, DPO)
    policy = context.load(load_policy)
    reference = None
    if job.adapter.name == "lora":
        policy = add_adapter(policy, job.model, job.adapter, scorer=False, seed=job.seed)
    elif job.adapter.name == "none":
        reference = context.load(load_policy)
        reference.requires_grad_(False)
    train = pair_tokens(codec, context.corpus.train)
    collator = DataCollatorForPreference(pad_token_id=codec.pad_id)
    trainer = TokenPairTrainer(
        model=policy,
        ref_model=reference,
        args=trainer_arguments(
            DPOConfig,
            context,
            max_length=None,
            beta=method.beta,
            loss_type=method.loss_type,
            label_smoothing=method.label_smoothing,
        ),
        data_collator=BridgeCollator(collator) if job.model.family == "seq2seq" else collator,
        train_dataset=train,
        eval_dataset=pair_tokens(codec, context.corpus.validation),
        processing_class=codec.tokenizer,
    )
    history = fit(trainer, context)
    final = trainer.evaluate(pair_tokens(codec, context.corpus.test), metric_key_prefix="final")
    costs = account(context, policy, train, history, reference_forward=True)
    save_model(policy, codec.tokenizer, context.folder / "model")
    finish(context)
    return StageResult(metrics=costs | {"final/loss": final["final_loss"]}, curves=history.curves)
