"""The bridge against plain encoder-decoder forwards and against hand-written SFT and DPO, one row at a time."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import MT5Config, MT5ForConditionalGeneration, T5Config, T5ForConditionalGeneration
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.utils import add_fused_lm_head

from rlhf.models.bridge import BridgeCollator, as_causal, split
from rlhf.models.load import add_adapter, save_model

from .conftest import LORA, NF4

SIZES = {"vocab_size": 60, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0}
SIZES |= {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
ROWS = [([5, 9, 11, 7, 1], [20, 21, 22, 1]), ([8, 1], [30, 1]), ([6, 7, 8, 9, 10, 11, 1], [40, 41, 42, 43, 44, 45, 1])]
OUTPUTS = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")


def build(kind: str, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    if kind == "mt5":
        return MT5ForConditionalGeneration(MT5Config(**SIZES)).eval()
    flan = kind == "flan"  # T5 v1.1: gated activation, decoder states not rescaled
    proj = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False} if flan else {"feed_forward_proj": "relu"}
    model = T5ForConditionalGeneration(T5Config(**SIZES, **proj)).eval()
    assert model.config.scale_decoder_outputs is not flan
    return model


def batch_of(rows: list[tuple[list[int], list[int]]], side: str, extra: int = 0) -> dict[str, torch.Tensor]:
    width = max(len(p) + len(r) for p, r in rows) + extra
    ids, tokens, response = [], [], []
    for prompt, answer in rows:
        blank = [0] * (width - len(prompt) - len(answer))
        marks = ([0] * len(prompt) + [1] * len(answer), [1] * (len(prompt) + len(answer)), prompt + answer)
        padded = [m + blank if side == "right" else blank + m for m in marks]
        response.append(padded[0])
        tokens.append(padded[1])
        ids.append(padded[2])
    batch = {"input_ids": ids, "attention_mask": tokens, "response_mask": response}
    return {key: torch.tensor(value) for key, value in batch.items()}


def plain_logits(model: torch.nn.Module, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """One row, no padding, the model's own forward: logits (answer length, vocabulary)."""
    decoder = torch.tensor([[0, *answer[:-1]]])
    return model(input_ids=torch.tensor([prompt]), decoder_input_ids=decoder).logits[0]


def plain_logprobs(model: torch.nn.Module, prompt: list[int], answer: list[int]) -> torch.Tensor:
    logp = plain_logits(model, prompt, answer).log_softmax(-1)
    return logp.gather(1, torch.tensor(answer)[:, None])[:, 0]


def fused(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> object:
    labels = batch["input_ids"].masked_fill(batch["response_mask"] == 0, -100)
    return model(**batch, labels=labels, fused_lm_head=True, use_cache=False)


def per_row(values: torch.Tensor, batch: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    keep = batch["response_mask"][:, 1:].bool()
    return [row[mask] for row, mask in zip(values, keep, strict=True)]


def largest_gap(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    assert left.keys() == right.keys()
    return max((left[name] - right[name]).abs().max().item() for name in left)


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad and p.grad is not None}


def test_split_worked_by_hand() -> None:
    # row 0: prompt 5 1, response 7 8, padded on the right; row 1: no prompt (truncated), response 9; left padding
    halves = split(
        torch.tensor([[5, 1, 7, 8, 0], [0, 0, 0, 0, 9]]),
        torch.tensor([[1, 1, 1, 1, 0], [0, 0, 0, 0, 1]]),
        torch.tensor([[0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]),
        pad=0,
        eos=1,
        start=2,
    )
    assert halves.encoder_ids.tolist() == [[5, 1], [1, 0]]
    assert halves.encoder_mask.tolist() == [[1, 1], [1, 0]]
    assert halves.decoder_ids.tolist() == [[2, 7], [2, 9]]
    assert halves.slots.tolist() == [[1, 2], [3, -1]]


@pytest.mark.parametrize("kind", ["mt5", "flan", "t5"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_every_fused_output_equals_the_plain_forward(kind: str, side: str) -> None:
    plain, bridged = build(kind), as_causal(build(kind))
    add_fused_lm_head(bridged, outputs=OUTPUTS)
    batch = batch_of(ROWS, side, extra=3)
    out = fused(bridged, batch)
    found = {name: per_row(getattr(out, name), batch) for name in OUTPUTS}
    for row, (prompt, answer) in enumerate(ROWS):
        logits = plain_logits(plain, prompt, answer)
        logp = logits.log_softmax(-1)
        truth = {
            "log_probs": logp.gather(1, torch.tensor(answer)[:, None])[:, 0],
            "entropy": -(logp.exp() * logp).sum(-1),
            "log_sum_sq_probs": (logp.exp() ** 2).sum(-1).log(),
            "mean_logits": logits.mean(-1),
            "is_top1": (logits.argmax(-1) == torch.tensor(answer)).float(),
        }
        for name in OUTPUTS:
            torch.testing.assert_close(found[name][row].float(), truth[name], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["mt5", "flan", "t5"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_equal_the_plain_forward(kind: str, checkpointing: bool) -> None:
    plain, bridged = build(kind), as_causal(build(kind))
    add_fused_lm_head(bridged)
    if checkpointing:
        bridged.gradient_checkpointing_enable()
        bridged.train()
    fused(bridged, batch_of(ROWS, "left", extra=2)).log_probs.sum().backward()
    sum(plain_logprobs(plain, p, a).sum() for p, a in ROWS).backward()
    truth = gradients(plain)
    assert largest_gap(gradients(bridged), truth) < 1e-5 * max(g.abs().max().item() for g in truth.values())


def test_truncated_rows_keep_what_can_be_predicted() -> None:
    model = as_causal(build("mt5"))
    add_fused_lm_head(model)
    no_response, no_prompt = ([4, 5, 1], []), ([], [20, 21, 22])
    batch = batch_of([no_response, no_prompt, ROWS[0]], "right")
    found = fused(model, batch).log_probs
    assert found[0].tolist() == [0.0] * found.size(1)
    # an empty prompt reads as a lone </s>; its first response token stands at position 0 and is predicted from nowhere
    torch.testing.assert_close(found[1, :2], plain_logprobs(model, [1], [20, 21, 22])[1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[2, 4:8], plain_logprobs(model, *ROWS[0]), atol=1e-5, rtol=0)


def test_a_batch_without_any_response_still_has_a_gradient() -> None:
    model = as_causal(build("mt5"))
    add_fused_lm_head(model)
    fused(model, batch_of([([4, 5, 1], []), ([6, 1], [])], "right")).log_probs.sum().backward()
    assert all(gradient.abs().max() == 0 for gradient in gradients(model).values())


def test_lora_switches_on_and_off(tiny) -> None:
    bench = tiny("tiny_mt5")
    model = add_adapter(bench.policy(), bench.spec, LORA, scorer=False, seed=0)
    add_fused_lm_head(model.get_base_model())
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    batch = batch_of(ROWS, "right", extra=1)
    adapted = per_row(fused(model, batch).log_probs, batch)
    with model.disable_adapter():
        base = per_row(fused(model, batch).log_probs, batch)
    plain = tiny("tiny_mt5").policy()
    for row, (prompt, answer) in enumerate(ROWS):
        torch.testing.assert_close(base[row], plain_logprobs(plain, prompt, answer), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(adapted[row], plain_logprobs(model, prompt, answer), atol=1e-5, rtol=1e-5)
        assert (adapted[row] - base[row]).abs().max() > 1e-2


def test_lora_gradients_survive_checkpointing(tiny) -> None:
    bench, found = tiny("tiny_mt5"), []
    for checkpointing in (False, True):
        model = add_adapter(bench.policy(), bench.spec, LORA, scorer=False, seed=0).train()
        add_fused_lm_head(model.get_base_model())
        if checkpointing:  # as TRL does it
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable()
        fused(model, batch_of(ROWS, "right")).log_probs.sum().backward()
        found.append(gradients(model))
    assert max(gradient.abs().max().item() for gradient in found[0].values()) > 0
    assert largest_gap(found[0], found[1]) < 1e-5


def test_a_quantized_model_answers_like_its_own_plain_forward(tiny) -> None:
    bench = tiny("tiny_mt5")
    model = bench.policy(NF4)
    add_fused_lm_head(model)
    batch = batch_of(ROWS, "left")
    with torch.no_grad():
        found = per_row(fused(model, batch).log_probs, batch)
        for row, (prompt, answer) in enumerate(ROWS):
            # 4-bit layers compute in bfloat16 (8 bits of mantissa), so batched and single rows round apart
            torch.testing.assert_close(found[row], plain_logprobs(model, prompt, answer), atol=5e-2, rtol=0)


def test_weights_names_saving_and_generation_stay_the_plain_models(tiny, tmp_path) -> None:
    bench = tiny("tiny_mt5")
    model = bench.policy()
    plain = MT5ForConditionalGeneration.from_pretrained(bench.source.base)
    assert model.state_dict().keys() == plain.state_dict().keys()
    save_model(model, bench.tokenizer, tmp_path)
    again = MT5ForConditionalGeneration.from_pretrained(tmp_path)
    assert largest_gap(dict(again.state_dict()), dict(plain.state_dict())) == 0
    prompt = torch.tensor([[5, 9, 1]])
    assert model.generate(prompt, max_new_tokens=5).tolist() == plain.generate(prompt, max_new_tokens=5).tolist()


def test_a_deep_copy_runs_itself() -> None:
    """Bridged or plain, it answers as its original until its own weights move, and the original stays."""
    model = as_causal(build("mt5"))
    twin = copy.deepcopy(model)
    bridged, plain = batch_of(ROWS, "left"), {"input_ids": torch.tensor([[5, 1]]), "labels": torch.tensor([[7, 1]])}

    def outputs(of: torch.nn.Module) -> list[torch.Tensor]:
        return [of(**bridged).last_hidden_state, of(**plain).logits]

    before = outputs(model)
    for ours, theirs in zip(outputs(twin), before, strict=True):
        assert torch.equal(ours, theirs)
    for weight in twin.parameters():
        weight.data *= 1.1
    for moved, same, old in zip(outputs(twin), outputs(model), before, strict=True):
        assert torch.equal(same, old) and not torch.allclose(moved, old)
    sum(output.sum() for output in outputs(twin)).backward()
    assert all(weight.grad is None for weight in model.parameters())
    assert all(weight.grad is not None for weight in twin.parameters())


def test_the_bridge_refuses_other_architectures(tiny) -> None:
    with pytest.raises(ValueError, match="gpt2"):
        as_causal(tiny("tiny_gpt2").policy())


PAIRS = [
    {"prompt_ids": [5, 9, 11, 7, 1], "chosen_ids": [20, 21, 22, 1], "rejected_ids": [23, 1]},
    {"prompt_ids": [8, 1], "chosen_ids": [30, 1], "rejected_ids": [31, 32, 33, 34, 1]},
    {"prompt_ids": [6, 7, 8, 1], "chosen_ids": [40, 41, 42, 43, 1], "rejected_ids": [44, 45, 46, 1]},
]


class TokenisedDPO(DPOTrainer):
    def _prepare_dataset(self, dataset, *args, **kwargs):
        return dataset


def dpo_trainer(model, reference, tokenizer, folder) -> DPOTrainer:
    args = DPOConfig(
        output_dir=str(folder), per_device_train_batch_size=3, beta=0.3, bf16=False, use_cpu=True, report_to=[],
        gradient_checkpointing=False, max_length=64, logging_steps=1, max_steps=1,
        disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    collator = BridgeCollator(DataCollatorForPreference(pad_token_id=0, max_length=64))
    return TokenisedDPO(
        model=model, ref_model=reference, args=args, data_collator=collator,
        train_dataset=Dataset.from_list(PAIRS), processing_class=tokenizer,
    )  # fmt: skip


def dpo_by_hand(model, reference, beta: float) -> torch.Tensor:
    """-log sigmoid(beta (log ratio chosen - log ratio rejected)), mean over pairs; one pair at a time, no padding."""
    losses = []
    for pair in PAIRS:
        ratio = {}
        for side in ("chosen_ids", "rejected_ids"):
            with torch.no_grad():
                held = plain_logprobs(reference, pair["prompt_ids"], pair[side]).sum()
            ratio[side] = plain_logprobs(model, pair["prompt_ids"], pair[side]).sum() - held
        losses.append(-F.logsigmoid(beta * (ratio["chosen_ids"] - ratio["rejected_ids"])))
    return torch.stack(losses).mean()


def test_trl_dpo_starts_at_ln_2_and_equals_the_formula_once_policies_differ(tiny, tmp_path) -> None:
    bench = tiny("tiny_mt5")
    policy, reference = bench.policy(), bench.policy()
    trainer = dpo_trainer(policy, reference, bench.tokenizer, tmp_path)
    batch = next(iter(trainer.get_train_dataloader()))
    assert trainer.compute_loss(policy, dict(batch)).item() == pytest.approx(math.log(2), abs=1e-4)

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    policy.zero_grad()
    loss = trainer.compute_loss(policy, dict(batch))
    loss.backward()
    found = gradients(policy)
    policy.zero_grad()
    truth = dpo_by_hand(policy, reference, beta=0.3)
    truth.backward()
    own = gradients(policy)
    assert abs(truth.item() - math.log(2)) > 0.01
    assert loss.item() == pytest.approx(truth.item(), abs=1e-5)
    assert largest_gap(found, own) < 1e-5 * max(1.0, max(g.abs().max().item() for g in own.values()))


def test_trl_dpo_with_lora_takes_the_adapter_off_for_the_reference(tiny, tmp_path) -> None:
    bench = tiny("tiny_mt5")
    policy = add_adapter(bench.policy(), bench.spec, LORA, scorer=False, seed=0)
    trainer = dpo_trainer(policy, None, bench.tokenizer, tmp_path)
    before = {n: p.clone() for n, p in policy.named_parameters() if ".default." in n}
    result = trainer.train()
    assert result.training_loss == pytest.approx(math.log(2), abs=1e-4)
    after = dict(policy.named_parameters())
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_trl_sft_equals_the_mean_nll_of_response_tokens(tiny, tmp_path) -> None:
    bench = tiny("tiny_mt5")
    policy = bench.policy()
    rows = [{"input_ids": p + a, "labels": [-100] * len(p) + a} for p, a in ROWS]
    args = SFTConfig(
        output_dir=str(tmp_path), per_device_train_batch_size=3, bf16=False, use_cpu=True, report_to=[],
        gradient_checkpointing=False, max_length=64, max_steps=1, disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    trainer = SFTTrainer(
        model=policy, args=args, train_dataset=Dataset.from_list(rows), processing_class=bench.tokenizer,
        data_collator=BridgeCollator(DataCollatorForLanguageModeling(pad_token_id=0)),
    )  # fmt: skip
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(policy, dict(batch))
    loss.backward()
    found = gradients(policy)
    policy.zero_grad()
    truth = -torch.cat([plain_logprobs(policy, p, a) for p, a in ROWS]).mean()
    truth.backward()
    assert loss.item() == pytest.approx(truth.item(), abs=1e-5)
    assert largest_gap(found, gradients(policy)) < 1e-5
    assert trainer.evaluate(Dataset.from_list(rows))["eval_loss"] == pytest.approx(truth.item(), abs=1e-4)
