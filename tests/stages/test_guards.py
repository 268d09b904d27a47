"""Runs that learn nothing end with one line that says so, and leave no half stage behind."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from mlflow.tracking import MlflowClient

from rlhf.errors import RunFailure, UserError
from rlhf.job import execute
from rlhf.models.load import load_policy, load_tokenizer, save_model
from rlhf.stages.training import newest_whole_checkpoint, trainer_arguments
from tests.bench import QUIET, context_of, corpus_of, curve, pair, run_of, source_of, stage_run, train

ROWS = [pair("Hi", "Sure, thank you.", "No."), pair("Where is it?", "It will arrive.", "Bad.")] * 2


@pytest.mark.parametrize("method", ["sft", "reward", "dpo"])
def test_an_absurd_learning_rate_ends_the_run_with_its_step_and_a_remedy(method: str, tmp_path: Path) -> None:
    words = [
        "++method.trainer.learning_rate=1e30",
        "++method.trainer.warmup_steps=0",
        "++method.trainer.max_grad_norm=0",
    ]
    with pytest.raises(RunFailure) as failure:
        train(stage_run(method, "tiny_gpt2", *words, steps=6), tmp_path, corpus_of(ROWS))
    assert failure.value.place.startswith(f"{method} step ")
    assert "is nan" in failure.value.problem or "is inf" in failure.value.problem
    assert "method.trainer.learning_rate" in failure.value.remedy


def poisoned(run, folder: Path) -> Path:
    """A copy of the run's model in which every embedding is infinite."""
    source = source_of(run)
    model = load_policy(run.model, source, run.quantization, dtype=torch.float32, device="cpu", seed=0)
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(math.inf)
    save_model(model, load_tokenizer(run.model, source), folder)
    return folder


@pytest.mark.parametrize("model", ["tiny_gpt2", "tiny_mt5"])
def test_weights_that_are_infinite_end_the_run_at_once(model: str, tmp_path: Path) -> None:
    run = stage_run("sft", model, steps=2)
    folder = poisoned(run, tmp_path / "start")
    run = stage_run("sft", model, f"method.starts_from={folder}", steps=2)
    source = source_of(run)
    with pytest.raises(RunFailure, match="sft step 1: loss is nan"):
        train(run, tmp_path / "work", corpus_of(ROWS), type(source)(folder, None, "folder"))


def test_a_nan_between_two_logged_steps_is_seen_before_the_stage_ends(tmp_path: Path) -> None:
    """Logged at step 1 and every 100 steps: steps 2 to 6 are never logged, and the weights are lost in them."""
    words = [
        "++method.trainer.learning_rate=1e30",
        "++method.trainer.warmup_steps=2",
        "++method.trainer.logging_steps=100",
    ]
    with pytest.raises(RunFailure, match="nan|inf"):
        train(stage_run("sft", "tiny_gpt2", *words, steps=6), tmp_path, corpus_of(ROWS))


def test_an_adapter_that_cannot_reach_the_output_ends_the_run(tmp_path: Path) -> None:
    """A last normalisation of scale 0 gives the same logits whatever the layers below say: gradients are exactly 0."""
    run = stage_run("sft", "tiny_gpt2", "adapter=lora", steps=4)
    source = source_of(run)
    model = load_policy(run.model, source, run.quantization, dtype=torch.float32, device="cpu", seed=0)
    with torch.no_grad():
        model.transformer.ln_f.weight.zero_()
    save_model(model, load_tokenizer(run.model, source), tmp_path / "start")
    with pytest.raises(RunFailure, match="gradient is exactly zero") as failure:
        train(run, tmp_path / "work", corpus_of(ROWS), type(source)(tmp_path / "start", None, "folder"))
    assert failure.value.place == "sft step 1"
    assert "adapter.targets" in failure.value.remedy


def test_a_loss_that_has_reached_zero_may_have_zero_gradients(tmp_path: Path) -> None:
    """Hinge: pairs whose margin exceeds 1 have no loss and no gradient; a run at a high rate saturates all of them."""
    words = ["method.loss_type=[hinge]", "method.beta=5.0", "++method.trainer.warmup_steps=0"]
    result = train(stage_run("dpo", "tiny_gpt2", *words, steps=60), tmp_path, corpus_of(ROWS))
    norms, losses = curve(result, "train/grad_norm"), curve(result, "train/loss")
    assert norms[-2:] == [0.0, 0.0] and losses[-1] < 1e-3 < losses[0]


def test_weights_that_do_not_move_end_the_run(tmp_path: Path) -> None:
    """At a learning rate of 0 gradients and loss look alive."""
    words = ["++method.trainer.learning_rate=0.0", "++method.trainer.warmup_steps=0"]
    with pytest.raises(RunFailure, match="no trainable weight has moved"):
        train(stage_run("sft", "tiny_gpt2", *words, steps=2), tmp_path, corpus_of(ROWS))


def test_a_run_as_short_as_its_warm_up_is_no_failure(tmp_path: Path) -> None:
    """The rate of the first warm-up step is 0, so nothing can have moved."""
    result = train(stage_run("sft", "tiny_gpt2", "++method.trainer.warmup_steps=3", steps=1), tmp_path, corpus_of(ROWS))
    assert curve(result, "train/learning_rate") == [0.0]


def test_a_failed_stage_leaves_nothing_behind_and_its_run_is_marked(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    words = ["++method.trainer.learning_rate=1e30", "++method.trainer.max_grad_norm=0", "++method.trainer.max_steps=6"]
    words += ["tracking=mlflow", f"tracking.uri={database}", "++method.trainer.logging_steps=1", "method=sft"]
    run = run_of(*words, store=tmp_path / "stages")
    with pytest.raises(RunFailure):
        execute(run, tmp_path / "job", words, None, QUIET)
    assert [path.name for path in (tmp_path / "stages").iterdir() if path.is_dir()] == ["models"]  # the base model
    client = MlflowClient(database)
    [tracked] = client.search_runs([client.get_experiment_by_name(run.tracking.experiment).experiment_id])
    assert tracked.info.status == "FAILED"
    assert tracked.data.tags["error"].startswith("sft step ")
    outcome = (tmp_path / "job/result.json").read_text()
    assert '"status": "failed"' in outcome and '"exit_code": 1' in outcome


def test_a_failed_upstream_stage_is_marked_as_well(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    words = ["++upstream.sft.trainer.learning_rate=1e30", "++upstream.sft.trainer.max_grad_norm=0", "method=dpo"]
    words += ["++upstream.sft.trainer.max_steps=6", "++upstream.sft.trainer.logging_steps=1"]
    words += ["tracking=mlflow", f"tracking.uri={database}"]
    run = run_of(*words, store=tmp_path / "stages")
    with pytest.raises(RunFailure, match="sft step"):
        execute(run, tmp_path / "job", words, None, QUIET)
    client = MlflowClient(database)
    runs = client.search_runs([client.get_experiment_by_name(run.tracking.experiment).experiment_id])
    assert {(r.data.tags["role"], r.info.status) for r in runs} == {("job", "FAILED"), ("stage", "FAILED")}


def test_a_value_that_the_library_refuses_is_named(tmp_path: Path) -> None:
    from trl import SFTConfig

    run = stage_run("sft", "tiny_gpt2", "++method.trainer.debug=cosines")
    with pytest.raises(UserError, match="method.trainer") as refusal:
        trainer_arguments(SFTConfig, context_of(run, tmp_path))
    assert "cosines" in str(refusal.value)


def test_a_half_written_checkpoint_is_ignored_and_removed(tmp_path: Path) -> None:
    for step, whole in ((4, True), (12, True), (8, True), (16, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if whole:
            (tmp_path / f"checkpoint-{step}" / "whole.json").write_text('{"sizes": {}}')
    assert newest_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-12"  # by number, not by name
    assert not (tmp_path / "checkpoint-16").exists()
    assert newest_whole_checkpoint(tmp_path / "none") is None


def test_a_checkpoint_damaged_since_is_given_up_for_the_one_before(tmp_path: Path) -> None:
    for step, size in ((4, 3), (8, 5)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "model.safetensors").write_bytes(b"xxx")
        (tmp_path / f"checkpoint-{step}" / "whole.json").write_text(json.dumps({"sizes": {"model.safetensors": size}}))
    assert newest_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-4"
    assert not (tmp_path / "checkpoint-8").exists()


def test_guards_leave_an_ordinary_run_alone(tmp_path: Path) -> None:
    result = train(stage_run("dpo", "tiny_gpt2", steps=3), tmp_path, corpus_of(ROWS))
    assert len(curve(result, "train/loss")) == 3
