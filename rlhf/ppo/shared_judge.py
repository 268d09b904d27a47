"""A reward model on the policy's own frozen base: one adapter and one head more instead of another model.

It serves where the reward stage is an adapter on the very base that the policy's adapter lies on: with `adapter=lora`
and `upstream.reward.starts_from=base`. A reward stage that started from an SFT adapter has a merged base of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from peft.utils import set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from rlhf.data.rows import Row
from rlhf.models.adapter import cast_inputs
from rlhf.models.codec import Codec
from rlhf.models.load import BASE, Source
from rlhf.models.score import score
from rlhf.models.states import plain_model
from rlhf.ppo.rewards.base import Scorer
from rlhf.ppo.roles import Roles

REWARD = "reward"  # the adapter's name on the policy
ADAPTER = "adapter_model.safetensors"


def on_same_base(folder: Path, policy: Any, source: Source) -> bool:
    """Whether the reward stage in `folder` is an adapter on the base that `source`, the policy's weights, names."""
    if not isinstance(policy, PeftModel) or not (folder / "model" / "adapter_config.json").exists():
        return False
    if (folder / BASE).exists():
        return False
    named = LoraConfig.from_pretrained(str(folder / "model")).base_model_name_or_path
    return str(named) == str(source.base) or Path(str(named)).resolve() == Path(str(source.base)).resolve()


def add_judge(policy: PeftModel, folder: Path, head_name: str) -> Any:
    """Load the stage's adapter onto the policy, frozen; return a classifier made of the policy's trunk and its head."""
    settings = LoraConfig.from_pretrained(str(folder / "model"))
    assert isinstance(settings, LoraConfig)
    settings.modules_to_save = None
    policy.add_adapter(REWARD, settings)
    base = plain_model(policy)
    config = copy.deepcopy(base.config)
    config.num_labels = 1
    with torch.device("meta"):
        classifier: Any = AutoModelForSequenceClassification.from_config(config)
    stored = load_file(folder / "model" / ADAPTER)
    head = {k.rpartition(f"{head_name}.")[2]: v for k, v in stored.items() if f".{head_name}." in k}
    lora = {k: v for k, v in stored.items() if "lora_" in k}
    if base.config.is_encoder_decoder:  # the classifier holds the whole model as `transformer`
        lora = {k.replace("base_model.model.transformer.", "base_model.model."): v for k, v in lora.items()}
        for part in ("shared", "encoder", "decoder"):
            setattr(classifier.transformer, part, getattr(base, part))
    else:
        setattr(classifier, base.base_model_prefix, base.base_model)
    outcome: Any = set_peft_model_state_dict(policy, lora, adapter_name=REWARD)
    assert not outcome.unexpected_keys, outcome.unexpected_keys[:3]
    module = getattr(classifier, head_name).to_empty(device=next(base.parameters()).device).float()
    module.load_state_dict(head)
    cast_inputs(module)
    for name, weight in policy.named_parameters():
        if f".{REWARD}." in name:
            weight.requires_grad_(False)
    return classifier.eval()


def shared_scorer(roles: Roles, classifier: Any, codec: Codec, batch_size: int) -> Scorer:
    """Score with the policy's trunk, the reward adapter switched on for the span of the call."""

    def scores(rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
        pairs = [(row.prompt, answer) for row, answer in zip(rows, answers, strict=True)]
        with roles.acting("reward"):
            return score(classifier, codec, pairs, batch_size)

    return scores
