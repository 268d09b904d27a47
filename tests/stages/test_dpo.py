"""DPO through TRL is the DPO of the paper: its losses equal ours, on every family, in full and under LoRA."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from trl import DPOConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference

from rlhf.losses import implicit_rewards, preference_loss
from rlhf.models.bridge import BridgeCollator
from rlhf.models.load import Source, load_policy
from rlhf.models.sample import response_logprobs
from rlhf.stages.dpo import TokenPairTrainer
from rlhf.stages.tokens import pair_tokens
from tests.bench import POLICIES, codec_of, corpus_of, curve, few, source_of, stage_run, train

LN2 = math.log(2)
LOSSES = [
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
    "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
]  # fmt: skip


def policy_of(run, source: Source | None = None):
    return load_policy(
        run.model, source or source_of(run), run.quantization, dtype=torch.float32, device="cpu", seed=run.seed
    )


def sums(model, codec, rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probs of the chosen and of the rejected responses, each (pairs,), from a plain forward."""
    prompts = [codec.prompt_ids(row.prompt) for row in rows] * 2
    responses = [codec.response_ids(row.chosen) for row in rows] + [codec.response_ids(row.rejected) for row in rows]
    found = response_logprobs(model, codec, prompts, responses, batch_size=5, temperature=1.0)
    return torch.stack([row.sum() for row in found]).chunk(2)


def our_loss(policy, reference, codec, rows, beta: float) -> torch.Tensor:
    """(pairs,) losses by our own formula from plain forwards."""
    (chosen, rejected), (chosen_ref, rejected_ref) = sums(policy, codec, rows), sums(reference, codec, rows)
    return preference_loss(implicit_rewards(chosen, chosen_ref, beta), implicit_rewards(rejected, rejected_ref, beta))


@pytest.mark.parametrize("model", POLICIES)
def test_trl_loss_equals_ours_on_the_same_rows(model: str, tmp_path: Path) -> None:
    run = stage_run("dpo", model)
    codec, rows = codec_of(run), few("preference").train[:12]
    policy, reference = policy_of(run), policy_of(run)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in policy.parameters():
            weight += 0.05 * weight.std() * torch.randn(weight.shape, generator=generator) if weight.dim() > 1 else 0
    hoped = our_loss(policy, reference, codec, rows, 0.4)
    assert (hoped - LN2).abs().max() > 0.01  # the policy is not the reference
    collator = DataCollatorForPreference(pad_token_id=codec.pad_id)
    trainer = TokenPairTrainer(
        model=policy,
        ref_model=reference,
        args=DPOConfig(
            output_dir=str(tmp_path),
            beta=0.4,
            max_length=None,
            per_device_eval_batch_size=4,
            use_cpu=True,
            bf16=False,
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
        ),  # fmt: skip
        data_collator=BridgeCollator(collator) if run.model.family == "seq2seq" else collator,
        train_dataset=pair_tokens(codec, rows),
        processing_class=codec.tokenizer,
    )
    found = trainer.evaluate(pair_tokens(codec, rows))
    assert found["eval_loss"] == pytest.approx(hoped.mean().item(), abs=1e-5)


@pytest.mark.parametrize("adapter", ["none", "lora"])
@pytest.mark.parametrize("model", POLICIES)
def test_first_loss_is_ln_2_and_final_loss_is_that_of_the_saved_model(model: str, adapter: str, tmp_path: Path) -> None:
    run = stage_run("dpo", model, f"adapter={adapter}", "++method.trainer.warmup_steps=0", steps=3)
    corpus = few("preference")
    result = train(run, tmp_path, corpus)
    assert curve(result, "train/loss")[0] == pytest.approx(LN2, abs=1e-4)
    base = source_of(run)
    saved = tmp_path / "model"
    source = Source(saved, None, "folder") if adapter == "none" else Source(base.base, saved, base.kind)
    losses = our_loss(policy_of(run, source), policy_of(run), codec_of(run), corpus.test, run.method.beta)
    assert abs(losses.mean().item() - LN2) > 1e-3
    assert result.metrics["final/loss"] == pytest.approx(losses.mean().item(), abs=1e-4)


@pytest.mark.parametrize("model", POLICIES)
def test_a_second_stage_on_an_adapter_is_measured_against_that_adapter(model: str, tmp_path: Path) -> None:
    """DPO after LoRA SFT starts at ln 2 (reference: the SFT policy, not the bare base) and saves one adapter."""
    sft = stage_run("sft", model, "adapter=lora", "++method.trainer.warmup_steps=0", steps=4)
    train(sft, tmp_path / "sft")
    base = source_of(sft)
    start = Source(base.base, tmp_path / "sft/model", base.kind)
    run = stage_run("dpo", model, "adapter=lora", "++method.trainer.warmup_steps=0", steps=3)
    corpus = few("preference")
    result = train(run, tmp_path / "dpo", corpus, start)
    assert curve(result, "train/loss")[0] == pytest.approx(LN2, abs=1e-4)
    ends = Source(base.base, tmp_path / "dpo/model", base.kind)
    losses = our_loss(policy_of(run, ends), policy_of(run, start), codec_of(run), corpus.test, run.method.beta)
    assert result.metrics["final/loss"] == pytest.approx(losses.mean().item(), abs=1e-4)
    assert [path.name for path in (tmp_path / "dpo/model").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("model", ["tiny_gpt2", "tiny_mt5"])
def test_accumulated_loss_is_a_mean_per_pair(model: str, tmp_path: Path) -> None:
    """4 x batches of 4 = one batch of 16: the logged loss starts at ln 2, not at 4 ln 2, and the gradients agree."""
    found = []
    for name, batch, accumulation in (("whole", 16, 1), ("parts", 4, 4)):
        words = [f"++method.trainer.gradient_accumulation_steps={accumulation}", "++method.trainer.warmup_steps=0"]
        run = stage_run("dpo", model, *words, steps=2, batch=batch)
        found.append(train(run, tmp_path / name, corpus_of(list(few("preference").train))))
    whole, parts = (curve(result, "train/loss") for result in found)
    assert parts[0] == pytest.approx(LN2, abs=1e-4)
    assert whole[0] == pytest.approx(parts[0], abs=1e-5)
    assert whole[1] == pytest.approx(parts[1], abs=1e-3)
    norms = [curve(result, "train/grad_norm")[0] for result in found]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)


def test_trl_still_calls_what_we_override() -> None:
    """`TokenPairTrainer` overrides private methods: were one renamed, TRL would go its own way, in silence."""
    import inspect

    from trl import DPOTrainer

    written = {name for name, value in vars(TokenPairTrainer).items() if callable(value)} - {"__init__"}
    assert written & vars(DPOTrainer).keys() == {"_prepare_dataset", "_precompute_ref_logps"}
    assert written - vars(DPOTrainer).keys() == {"_reference_logps"}  # our own, which TRL's may not come to hide
    assert "self._precompute_ref_logps(" in inspect.getsource(DPOTrainer)
    for caller in (DPOTrainer.__init__, DPOTrainer.evaluate):
        assert "self._prepare_dataset(" in inspect.getsource(caller)


def test_the_list_of_losses_is_trls_own() -> None:
    import inspect

    from trl import DPOTrainer

    source = inspect.getsource(DPOTrainer._compute_loss)
    assert [name for name in LOSSES if f'loss_type == "{name}"' in source] == LOSSES
    assert source.count("loss_type == ") == len(LOSSES)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", ["tiny_gpt2", "tiny_mt5"])
def test_every_loss_trains(model: str, loss: str, tmp_path: Path) -> None:
    smoothing = ["method.label_smoothing=0.1"] if loss in ("exo_pair", "robust", "aot", "aot_unpaired") else []
    run = stage_run("dpo", model, f"method.loss_type=[{loss}]", *smoothing, "++method.trainer.warmup_steps=0", steps=2)
    corpus = few("preference")
    result = train(run, tmp_path, corpus_of(list(corpus.train[:8]), list(corpus.test[:4])))
    assert len(curve(result, "train/loss")) == 2
    assert all(math.isfinite(loss) for loss in curve(result, "train/loss"))
    assert all(norm > 0 for norm in curve(result, "train/grad_norm"))
    assert math.isfinite(result.metrics["final/loss"])


def test_first_losses_of_other_kinds_by_hand(tmp_path: Path) -> None:
    """At policy = reference every log-ratio is 0: hinge 1, bco 2 ln 2, nca 2 ln 2, sppo 2 (1 / (2 beta))^2 = 50."""
    for loss, hoped in {"hinge": 1.0, "bco_pair": 2 * LN2, "nca_pair": 2 * LN2, "sppo_hard": 50.0, "ipo": 25.0}.items():
        run = stage_run("dpo", "tiny_gpt2", f"method.loss_type=[{loss}]", "method.beta=0.1", steps=1)
        corpus = few("preference")
        result = train(run, tmp_path / loss, corpus_of(list(corpus.train[:4]), list(corpus.test[:4])))
        assert curve(result, "train/loss")[0] == pytest.approx(hoped, rel=1e-4), loss


def test_two_losses_add_up(tmp_path: Path) -> None:
    """Sigmoid + hinge starts at ln 2 + 1."""
    run = stage_run("dpo", "tiny_gpt2", "method.loss_type=[sigmoid,hinge]", steps=1)
    corpus = few("preference")
    result = train(run, tmp_path, corpus_of(list(corpus.train[:4]), list(corpus.test[:4])))
    assert curve(result, "train/loss")[0] == pytest.approx(LN2 + 1, abs=1e-4)
