"""What every method owes: it fits one example, moves what trains and nothing else, and repeats itself bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rlhf.stages import dpo, reward, sft
from tests.bench import POLICIES, SCORERS, corpus_of, curve, few, pair, same, source_of, stage_run, train, weights_of

MODULES = {"sft": sft, "reward": reward, "dpo": dpo}
CASES = [(method, model) for method in ("sft", "dpo") for model in POLICIES] + [("reward", model) for model in SCORERS]
EXAMPLE = pair("Where is my order?", "It will arrive on Monday, thank you.", "I do not know. Go away.")
# a constant added to every score cancels between chosen and rejected: the pairwise loss gives it no gradient
WITHOUT_GRADIENT = ("out_proj.bias", "classifier.bias")


def loader_of(method: str) -> str:
    return "load_scorer" if method == "reward" else "load_policy"


@pytest.fixture
def loaded(monkeypatch):
    """`loaded(method)` -> list of (model, weights as they were) that the stage loads from now on."""

    def watch(method: str) -> list[tuple[torch.nn.Module, dict[str, torch.Tensor]]]:
        module, name, found = MODULES[method], loader_of(method), []
        plain = getattr(module, name)

        def load(*args, **kwargs):
            model = plain(*args, **kwargs)
            found.append((model, {key: value.detach().clone() for key, value in model.named_parameters()}))
            return model

        monkeypatch.setattr(module, name, load)
        return found

    return watch


@pytest.mark.slow
@pytest.mark.parametrize(("method", "model"), CASES)
def test_one_repeated_example_is_fitted_to_almost_no_loss(method: str, model: str, tmp_path: Path) -> None:
    """DPO at a rate so low that its gradient does not fall to exactly zero, which ends a run."""
    rate = ["++method.trainer.learning_rate=3e-4"] if method == "dpo" else []
    run = stage_run(method, model, "++method.trainer.learning_rate=5e-3", *rate, steps=30)
    result = train(run, tmp_path, corpus_of([EXAMPLE] * 4))
    losses = curve(result, "train/loss")
    assert losses[0] > 0.4
    assert losses[-1] < 0.05


@pytest.mark.parametrize(("method", "model"), CASES)
def test_full_fine_tuning_moves_every_weight(method: str, model: str, tmp_path: Path, loaded) -> None:
    found = loaded(method)
    run = stage_run(method, model, "++method.trainer.warmup_steps=0", steps=2)
    train(run, tmp_path)
    policy, before = found[0]
    still = [name for name, weight in policy.named_parameters() if torch.equal(weight, before[name])]
    assert [name for name in still if not name.endswith(WITHOUT_GRADIENT)] == []
    if method == "dpo":  # the reference was loaded second
        reference, untouched = found[1]
        assert all(torch.equal(weight, untouched[name]) for name, weight in reference.named_parameters())


@pytest.mark.parametrize(("method", "model"), CASES)
def test_lora_leaves_the_base_bit_identical_and_moves_the_adapter(
    method: str, model: str, tmp_path: Path, loaded
) -> None:
    found = loaded(method)
    run = stage_run(method, model, "adapter=lora", "++method.trainer.warmup_steps=0", steps=3)
    train(run, tmp_path)
    [(scorer, before)] = found  # under an adapter no second model is loaded as reference
    base = {name.replace(".base_layer", ""): weight for name, weight in scorer.named_parameters()}
    heads = ("score", "classifier", "classification_head", "pooler")
    frozen = [name for name in before if not name.startswith(heads)]
    assert len(frozen) > 10
    for name in frozen:
        assert torch.equal(base[name], before[name]), name
    adapter = weights_of(tmp_path / "model")
    halves = [weight for name, weight in adapter.items() if "lora_B" in name]
    assert len(halves) >= 4
    assert all(weight.abs().max() > 0 for weight in halves)  # they start at exactly zero
    assert not (tmp_path / "model" / "model.safetensors").exists()


@pytest.mark.parametrize(("method", "adapter"), [("sft", "none"), ("reward", "none"), ("dpo", "none"), ("dpo", "lora")])
def test_the_seed_decides_curves_and_weights_bit_for_bit(method: str, adapter: str, tmp_path: Path) -> None:
    results = {}
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        run = stage_run(method, "tiny_gpt2", f"adapter={adapter}", f"seed={seed}", steps=4)
        results[name] = train(run, tmp_path / name)
    first, again, other = (weights_of(tmp_path / name / "model") for name in ("first", "again", "other"))
    assert results["first"].curves == results["again"].curves
    assert same(first, again)
    assert not same(first, other)
    assert curve(results["first"], "train/loss") != curve(results["other"], "train/loss")


@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize("model", POLICIES)
def test_an_empty_answer_and_a_cut_one_train_like_any_other(method: str, model: str, tmp_path: Path) -> None:
    rows = [pair("Hi", "", "no"), pair("Hi", "Sure! " * 40, "no " * 40), pair("x " * 300, "Yes, of course.", "")]
    run = stage_run(method, model, "method.max_response_tokens=8", "method.max_prompt_tokens=16", steps=2, batch=3)
    result = train(run, tmp_path, corpus_of(rows))
    assert all(0 < loss < 20 for loss in curve(result, "train/loss"))


def test_a_stage_reads_its_split_only(tmp_path: Path) -> None:
    """Other held-out rows change neither the training losses nor the weights."""
    run = stage_run("sft", "tiny_gpt2", steps=3)
    whole = few("demonstration")
    train(run, tmp_path / "left", whole)
    train(run, tmp_path / "right", corpus_of(list(whole.train), [EXAMPLE] * 3))
    assert same(weights_of(tmp_path / "left/model"), weights_of(tmp_path / "right/model"))


def test_training_starts_from_the_source_it_is_given(tmp_path: Path) -> None:
    """A learning rate of almost nothing leaves the start's weights, to rounding."""
    run = stage_run("sft", "tiny_gpt2", "++method.trainer.learning_rate=1e-9", steps=2)
    train(run, tmp_path)
    start, end = weights_of(Path(source_of(run).base)), weights_of(tmp_path / "model")
    assert start.keys() == end.keys()
    assert all(torch.allclose(start[name], end[name], atol=1e-7) for name in start)
