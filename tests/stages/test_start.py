"""An adapter is read on the weights that it was trained on, whatever the configuration's own model is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from rlhf.models.load import BASE, Source, load_policy
from rlhf.stages.start import Finished, Origin, starting_weights
from tests.bench import source_of, stage_run, train, weights_of

pytestmark = pytest.mark.slow
WORDS = ("++method.trainer.warmup_steps=0",)


def finished(folder: Path, start: Source) -> Finished:
    return Finished(stage_run("sft", "tiny_gpt2").method, folder, "f", {}, False, Origin(start, "o", None, None))


def adapter_in(folder: Path, base: Path | str) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}), encoding="utf-8")
    return folder


def whole_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").touch()
    return folder


def test_an_adapter_that_began_at_a_folder_stays_on_it(tmp_path: Path) -> None:
    adapter_in(tmp_path / "stage" / "model", "anything")
    own, start = Source("configured", None, "hub"), Source(tmp_path / "whole", None, "folder")
    stage = finished(tmp_path / "stage", start)
    assert stage.source(own) == Source(tmp_path / "whole", tmp_path / "stage" / "model", "folder")
    whole_in(tmp_path / "stage" / BASE)  # of a scorer whose policy's adapter was merged
    assert stage.source(own).base == tmp_path / "stage" / BASE


def test_starting_from_an_adapter_takes_the_folder_it_names_with_it(tmp_path: Path) -> None:
    own, whole = Source("configured", None, "hub"), whole_in(tmp_path / "whole")
    for name, base, expected in (
        ("there", whole, Source(whole, tmp_path / "there", "folder")),
        ("gone", tmp_path / "nowhere", Source("configured", tmp_path / "gone", "hub")),
        ("hub", "someone/something", Source("configured", tmp_path / "hub", "hub")),
    ):
        folder = adapter_in(tmp_path / name, base)
        method = stage_run("sft", "tiny_gpt2").method.model_copy(update={"starts_from": str(folder)})
        assert starting_weights(method, None, own) == expected


def test_what_lora_learned_on_a_trained_model_is_measured_on_that_model(tmp_path: Path) -> None:
    train(stage_run("sft", "tiny_gpt2", *WORDS, steps=3), tmp_path / "first")
    run = stage_run("sft", "tiny_gpt2", "adapter=lora", *WORDS, steps=2)
    start = Source(tmp_path / "first" / "model", None, "folder")
    train(run, tmp_path / "second", source=start)
    source = finished(tmp_path / "second", start).source(source_of(run))
    loaded = load_policy(run.model, source, run.quantization, dtype=torch.float32, device="cpu", seed=run.seed)
    kept = weights_of(tmp_path / "first" / "model")["transformer.wte.weight"]
    assert (loaded.get_base_model().transformer.wte.weight == kept).all()
