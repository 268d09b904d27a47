"""Direct preference optimisation with TRL's DPOTrainer and its losses; encoder-decoders go through the bridge."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import send_to_device
from torch.utils.data import DataLoader
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from rlhf.config import DPO
from rlhf.models.bridge import BridgeCollator
from rlhf.models.load import add_adapter, load_policy, save_model
from rlhf.stages.context import StageContext, StageResult
from rlhf.stages.costs import account
from rlhf.stages.references import Pair, References, computed_before, shared
from rlhf.stages.tokens import pair_tokens
from rlhf.stages.training import finish, fit, trainer_arguments


class TokenPairTrainer(DPOTrainer):
    """TRL's trainer over rows that are token ids already; its SFT and reward trainers accept such rows as they are.

    TRL tokenises prompt and answer as one text, which loses T5's `</s>` at the end of the prompt. Where it asks for the
    reference's log-probabilities before training, it gets those of `references`, which may be an earlier stage's.
    """

    def __init__(self, *given: Any, references: References | None = None, **named: Any) -> None:
        self.references = references
        super().__init__(*given, **named)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        if self.references is None:
            return super()._precompute_ref_logps(dataset, name, batch_size)
        return self.references.add(dataset, name, lambda: self._reference_logps(dataset, batch_size))

    def _reference_logps(self, dataset: Any, batch_size: int) -> Pair:
        """Sums of log-probabilities of the chosen and of the rejected answers, each (rows,), by TRL's own forward."""
        found = []
        for batch in DataLoader(dataset, batch_size=batch_size, collate_fn=self.data_collator):
            inputs = send_to_device(batch, self.accelerator.device)
            found.append(self.compute_ref_log_probs(self.ref_model or self.model, inputs))
        chosen, rejected = zip(*found, strict=True)
        return torch.cat(chosen).cpu(), torch.cat(rejected).cpu()


def run(context: StageContext) -> StageResult:
    """Train against the frozen start as reference and leave the policy in `folder/model`.

    Under an adapter TRL keeps a frozen copy of it as the reference. Otherwise the start itself answers before it is
    trained, and is loaded a second time only where the reference must be asked at every step.
    """
    job, codec, method = context.run, context.codec, context.method
    assert isinstance(method, DPO)
    before = computed_before(job, method, context.device.precision, len(context.corpus.train))
    policy = context.load(load_policy)
    reference = None
    if job.adapter.name == "lora":
        policy = add_adapter(policy, job.model, job.adapter, scorer=False, seed=job.seed)
    elif not before:
        reference = context.load(load_policy)
        reference.requires_grad_(False)
    corpus = context.corpus
    parts = (corpus.train, corpus.validation, corpus.test)
    train, validation, test = (pair_tokens(codec, rows, context.store) for rows in parts)
    collator = DataCollatorForPreference(pad_token_id=codec.pad_id)
    kept = context.references if before and not shared() else None
    references = References(kept, take=job.reuses(method.name), model=job.model.name)
    with references.opened():
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
                precompute_ref_log_probs=before,
                precompute_ref_batch_size=method.trainer.get("per_device_eval_batch_size"),
            ),
            data_collator=BridgeCollator(collator) if job.model.family == "seq2seq" else collator,
            train_dataset=train,
            eval_dataset={"validation": validation, "test": test},
            processing_class=codec.tokenizer,
            references=None if shared() else references,
        )
    if references.read:
        context.console.print(f"  {method.name}: the reference was asked before (saved {references.seconds:.2g} s)")
        # so that stages of a sweep cost the same whichever came first
        context.meter.add_seconds(references.seconds - references.waited)
    held_out: Any = trainer.eval_dataset
    trainer.eval_dataset = held_out["validation"]
    history = fit(trainer, context)
    trainer.eval_dataset = held_out
    final = trainer.evaluate("test", metric_key_prefix="final")
    costs = account(context, policy, train, history, reference_passes=1.0 if before else history.epochs)
    save_model(policy, codec.tokenizer, context.folder / "model")
    finish(context)
    return StageResult(metrics=costs | {"final/loss": final["final_loss"]}, curves=history.curves)
