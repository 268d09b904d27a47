"""The reference's log-probabilities are computed once, kept, and change nothing but the time that DPO takes."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from trl import DPOConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference

from rlhf.models.bridge import BridgeCollator
from rlhf.models.load import load_policy
from rlhf.stages import dpo
from rlhf.stages.context import StageContext
from rlhf.stages.references import COLUMNS, computed_before
from rlhf.stages.tokens import pair_tokens
from tests.bench import context_of, curve, few, stage_run

LIVE = "++method.trainer.precompute_ref_log_probs=false"
WORDS = ("++method.trainer.warmup_steps=0", "++method.trainer.eval_steps=2")


def context(folder: Path, *words: str, store: Path | None = None) -> StageContext:
    model = next((word.partition("=")[2] for word in words if word.startswith("model=")), "tiny_gpt2")
    rest = [word for word in words if not word.startswith("model=")]
    made = context_of(stage_run("dpo", model, *WORDS, *rest, steps=4), folder, few("preference"))
    return replace(made, references=store, console=Console(file=io.StringIO(), width=200))


def asked_before(made: StageContext) -> bool:
    return computed_before(made.run, made.method, made.device.precision, len(made.corpus.train))


@pytest.mark.parametrize(
    "words",
    [
        ("model=tiny_gpt2",),
        ("model=tiny_mt5",),
        ("model=tiny_gpt2", "adapter=lora"),
        ("model=tiny_mt5", "adapter=lora"),
    ],
    ids=" ".join,
)
def test_losses_are_those_of_a_reference_that_is_asked_at_every_step(words: tuple[str, ...], tmp_path: Path) -> None:
    before, live = (
        context(tmp_path / "before", *words, store=tmp_path / "kept"),
        context(tmp_path / "live", *words, LIVE),
    )
    assert asked_before(before) and not asked_before(live)
    found, hoped = dpo.run(before), dpo.run(live)
    # rows are padded as their batch needs, so last bits differ, which Adam carries from step to step
    for name, bound in (
        ("train/loss", 1e-6),
        ("eval/loss", 1e-6),
        ("train/rewards/margins", 1e-5),
        ("train/logps/chosen", 1e-5),
    ):
        assert len(curve(found, name)) >= 2
        assert curve(found, name) == pytest.approx(curve(hoped, name), rel=bound, abs=bound), name
    assert found.metrics["final/loss"] == pytest.approx(hoped.metrics["final/loss"], abs=1e-6)
    # and the next stage, which reads them, is the same to the last bit
    again = context(tmp_path / "again", *words, store=tmp_path / "kept")
    third = dpo.run(again)
    assert "the reference was asked before" in again.console.file.getvalue()
    assert "the reference was asked before" not in before.console.file.getvalue()
    assert curve(third, "train/loss") == curve(found, "train/loss")
    assert third.metrics["final/loss"] == found.metrics["final/loss"]


@pytest.mark.parametrize("model", ["tiny_gpt2", "tiny_mt5"])
def test_kept_values_are_trls_own(model: str, tmp_path: Path) -> None:
    made = context(tmp_path / "own", f"model={model}", store=tmp_path / "kept")
    dpo.run(made)
    kept = {file.stem: load_file(file) for file in (tmp_path / "kept" / "values").iterdir()}
    assert {part: len(values[COLUMNS[0]]) for part, values in kept.items()} == {"train": 16, "validation": 6, "test": 6}
    collator = DataCollatorForPreference(pad_token_id=made.codec.pad_id)
    trainer = dpo.TokenPairTrainer(
        model=made.load(load_policy),
        args=DPOConfig(
            output_dir=str(tmp_path), max_length=None, per_device_train_batch_size=5, use_cpu=True, bf16=False,
            report_to="none", disable_tqdm=True, remove_unused_columns=False, precompute_ref_log_probs=True,
        ),
        data_collator=BridgeCollator(collator) if model == "tiny_mt5" else collator,
        train_dataset=pair_tokens(made.codec, made.corpus.train),
        processing_class=made.codec.tokenizer,
    )  # fmt: skip
    for name in COLUMNS:
        hoped = torch.tensor(trainer.train_dataset[name])
        assert float((kept["train"][name] - hoped).abs().max()) < 1e-5 * float(hoped.abs().max())
        assert float(hoped.std()) > 0.1


def test_another_loss_reads_them_and_damage_or_reuse_false_does_not(tmp_path: Path) -> None:
    store = tmp_path / "kept"
    dpo.run(context(tmp_path / "one", store=store))
    written = (store / "result.json").stat().st_mtime_ns
    other = context(tmp_path / "two", "method.beta=0.5", "method.loss_type=[ipo]", store=store)
    dpo.run(other)
    assert "the reference was asked before" in other.console.file.getvalue()
    assert (store / "result.json").stat().st_mtime_ns == written
    (store / "values" / "test.safetensors").write_bytes(b"")
    for words in (("method.beta=0.5",), ("reuse=false",)):
        anew = context(tmp_path / words[0], *words, store=store)
        dpo.run(anew)
        assert "the reference was asked before" not in anew.console.file.getvalue()
        assert (store / "result.json").stat().st_mtime_ns > written
        written = (store / "result.json").stat().st_mtime_ns
    assert sorted(path.name for path in tmp_path.glob("kept*")) == ["kept"]
    assert json.loads((store / "result.json").read_text())["seconds"] > 0


def test_a_stage_that_reads_them_costs_what_one_that_computes_them_does(tmp_path: Path) -> None:
    store = tmp_path / "kept"
    flops = []
    for name in ("one", "two"):
        made = context(tmp_path / name, store=store)
        with made.meter:
            dpo.run(made)
        flops.append(made.meter.report()["cost/flops"])
    assert flops[0] == flops[1]


@pytest.mark.parametrize(
    ("words", "before"),
    [
        ((), True),
        (("adapter=lora",), True),
        (("precision=bf16",), False),
        (("precision=bf16", "++method.trainer.precompute_ref_log_probs=true"), True),
        (("++method.trainer.sync_ref_model=true",), False),
        (("++method.trainer.disable_dropout=false",), False),
        (("adapter=lora", "quantization=nf4"), False),
        (("++method.trainer.max_steps=3",), False),  # 12 of 16 pairs would be seen
        (("++method.trainer.max_steps=3", "++method.trainer.gradient_accumulation_steps=2"), True),
        (("++method.trainer.max_steps=-1", "method.trainer.num_train_epochs=0.5"), False),
    ],
    ids=str,
)
def test_it_is_left_to_trl_where_numbers_would_not_be_the_same(
    words: tuple[str, ...], before: bool, tmp_path: Path
) -> None:
    assert asked_before(context(tmp_path, *words)) is before


def test_several_processes_leave_it_to_trl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = context(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not asked_before(made)
