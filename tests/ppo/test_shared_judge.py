"""A reward adapter on the policy's base scores as the reward model loaded by itself, and leaves the policy be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf.config import Run
from rlhf.data.rows import Row
from rlhf.fingerprint import file_sizes
from rlhf.models.load import Source, add_adapter, load_policy
from rlhf.models.sample import response_logprobs
from rlhf.ppo.rewards.base import RewardParts
from rlhf.ppo.rewards.stage import folder_scorer
from rlhf.ppo.roles import Roles, copy_adapter
from rlhf.ppo.shared_judge import add_judge, on_same_base, shared_scorer
from tests.bench import POLICIES, codec_of, few, source_of, stage_run, train

ANSWERS = ["Sure.", "I am sorry, I will look into it at once and call you back.", "No", ""]
PARTS = RewardParts(gold=None, stage=None, device="cpu", dtype=torch.float32, batch_size=3)


def finished(run: Run, folder: Path, source: Source | None = None) -> Path:
    """Train a reward stage, and leave beside its model what the pipeline does."""
    train(run, folder, source=source)
    (folder / "run.json").write_text(run.model_dump_json(), encoding="utf-8")
    (folder / "result.json").write_text(json.dumps({"sizes": file_sizes(folder / "model")}), encoding="utf-8")
    return folder


def adapted_policy(run: Run, dtype: torch.dtype) -> Any:
    """A policy with a new adapter on the base that the judge's adapter lies on."""
    policy = load_policy(run.model, source_of(run), run.quantization, dtype=dtype, device="cpu", seed=1)
    return add_adapter(policy, run.model, run.adapter, scorer=False, seed=3)


def answered() -> list[Row]:
    """As many rows as there are answers."""
    return list(few("demonstration").train[: len(ANSWERS)])


@pytest.mark.slow
@pytest.mark.parametrize("model", POLICIES)
def test_shared_judge_scores_as_the_one_loaded_by_itself(model: str, tmp_path: Path) -> None:
    run = stage_run("reward", model, "adapter=lora", steps=6)
    folder = finished(run, tmp_path / "reward")
    rows = answered()
    alone = folder_scorer("judge", folder, PARTS)(rows, ANSWERS)
    assert len({round(score, 4) for score in alone}) > 1

    source, codec = source_of(run), codec_of(run)
    policy = adapted_policy(run, torch.float32)
    prompts, responses = [codec.prompt_ids(rows[0].prompt)], [codec.response_ids("Thank you.")]
    before = response_logprobs(policy, codec, prompts, responses, batch_size=1, temperature=1.0)[0]
    assert on_same_base(folder, policy, source)
    classifier = add_judge(policy, folder, run.model.classifier_head)
    copy_adapter(policy, "critic", trainable=True)
    roles = Roles(policy, None, None)
    trained = {name for name, weight in roles.named_parameters() if weight.requires_grad}
    own = sum(weight.numel() for name, weight in policy.named_parameters() if "lora_" not in name)

    shared = shared_scorer(roles, classifier, codec, batch_size=3)(rows, ANSWERS)

    assert shared == pytest.approx(alone, abs=1e-5)
    after = response_logprobs(policy, codec, prompts, responses, batch_size=1, temperature=1.0)[0]
    assert torch.equal(before, after)
    assert {name for name, weight in roles.named_parameters() if weight.requires_grad} == trained
    assert all(".default." in name or ".critic." in name for name in trained)
    head = sum(weight.numel() for weight in getattr(classifier, run.model.classifier_head).parameters())
    shared_with = {weight.data_ptr() for weight in policy.parameters()}
    extra = [weight for weight in classifier.parameters() if weight.data_ptr() not in shared_with]
    assert sum(weight.numel() for weight in extra) == head < own / 10


@pytest.mark.slow
@pytest.mark.parametrize("model", POLICIES)
def test_shared_judge_reads_a_base_in_bf16(model: str, tmp_path: Path) -> None:
    run = stage_run("reward", model, "adapter=lora", steps=2)
    folder = finished(run, tmp_path / "reward")
    policy = adapted_policy(run, torch.bfloat16)
    classifier = add_judge(policy, folder, run.model.classifier_head)
    rows = answered()
    shared = shared_scorer(Roles(policy, None, None), classifier, codec_of(run), batch_size=2)(rows, ANSWERS)
    alone = folder_scorer("judge", folder, replace(PARTS, dtype=torch.bfloat16))(rows, ANSWERS)
    assert shared == pytest.approx(alone, abs=0.05)


@pytest.mark.slow
def test_a_merged_base_is_not_shared(tmp_path: Path) -> None:
    run = stage_run("sft", "tiny_gpt2", "adapter=lora", steps=2)
    train(run, tmp_path / "sft")
    reward = stage_run("reward", "tiny_gpt2", "adapter=lora", steps=2)
    sft = Source(base=source_of(run).base, adapter=tmp_path / "sft" / "model", kind="folder")
    policy = load_policy(run.model, sft, run.quantization, dtype=torch.float32, device="cpu", seed=1)
    assert not on_same_base(finished(reward, tmp_path / "reward", sft), policy, sft)
