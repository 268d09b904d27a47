from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from rlhf.compose import jobs, parse_words
from rlhf.errors import RunFailure
from rlhf.evaluation.reward import judge_pairs
from rlhf.models.load import load_policy, load_scorer
from rlhf.pipeline import Finished, Job
from rlhf.stages import training
from rlhf.stages.device import choose_device
from rlhf.stages.evaluate import Evaluator
from rlhf.tracking import NullRun, NullTracker

SMALL = [
    "dataset.rows=200",
    "tracking=none",
    "evaluation.prompts=6",
    "evaluation.max_new_tokens=8",
    "++method.trainer.max_steps=3",
    "++upstream.sft.trainer.max_steps=5",
    "++upstream.reward.trainer.max_steps=5",
]


def job_of(store: Path, *words: str) -> Job:
    ((_, run),) = jobs(parse_words([*SMALL, f"store={store}", *words]))
    return Job(run, choose_device(run), NullTracker(), NullRun(), Console(quiet=True))


def loaded(loader: Callable[..., Any], job: Job, finished: Finished) -> Any:
    """What the stage left, in the precision of the job."""
    run, device = job.run, job.device
    source = finished.source(job.base)
    return loader(run.model, source, run.quantization, dtype=device.dtype, device="cpu", seed=run.seed)


@pytest.mark.parametrize("words", [("adapter=none",), ("adapter=lora",), ("adapter=lora", "model=tiny_mt5")])
def test_the_judge_that_scores_is_the_reward_model_that_was_trained(words: tuple[str, ...], tmp_path: Path) -> None:
    """Loading a finished reward stage gives the held-out loss it ended with: head, adapter and base are its own."""
    job = job_of(tmp_path, *words)
    finished = job.build(job.run.upstream.reward, upstream=True)
    scorer = loaded(load_scorer, job, finished)
    again = judge_pairs(scorer.eval(), job.codec(finished.method), job.corpus("preference"), job.run.evaluation)
    assert again.metrics()["final/loss"] == pytest.approx(finished.result["metrics"]["final/loss"], abs=1e-6)


def test_a_policy_that_started_from_a_folder_is_compared_with_that_folder(tmp_path: Path) -> None:
    first = job_of(tmp_path / "a", "method=sft", "++method.trainer.max_steps=5")
    folder = first.build(first.run.method, upstream=False).folder / "model"
    words = ("method=dpo", f"method.starts_from={folder}", "++method.trainer.learning_rate=1e-12")
    job = job_of(tmp_path / "b", *words)
    rows = Evaluator(job).rows(job.build(job.run.method, upstream=False))
    assert [row.role for row in rows] == ["base", "start", "policy"]
    assert rows[-1].metrics["final/kl"] == pytest.approx(0.0, abs=1e-5)  # at this rate the policy is where it started
    assert rows[-1].metrics["final/margin"] == pytest.approx(0.0, abs=1e-5)
    assert rows[1].metrics["final/kl"] > 1e-3  # the folder is not the base


def test_one_job_builds_a_shared_stage_once_even_without_reuse(tmp_path: Path) -> None:
    job = job_of(tmp_path, "reuse=false", "evaluation.judge=reward")
    policy = job.build(job.run.method, upstream=False)
    judge = Evaluator(job).scorer
    assert judge is not None and judge.origin.start is policy.origin.start


def test_policies_are_loaded_from_where_stages_left_them(tmp_path: Path) -> None:
    job = job_of(tmp_path, "adapter=lora")
    finished = job.build(job.run.method, upstream=False)
    assert finished.source(job.base).adapter == finished.folder / "model"
    policy = loaded(load_policy, job, finished)
    assert set(policy.peft_config) == {"default"}  # TRL's frozen reference copy is not kept


def test_a_finished_stage_whose_files_are_damaged_is_built_anew(tmp_path: Path) -> None:
    words = ("method=sft", "++method.trainer.max_steps=2")
    first = job_of(tmp_path, *words)
    weights = first.build(first.run.method, upstream=False).folder / "model" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    again = job_of(tmp_path, *words)
    finished = again.build(again.run.method, upstream=False)
    assert not finished.reused and weights.read_bytes() == whole


def test_a_reused_stage_is_priced_by_the_hardware_of_the_job_that_reuses_it(tmp_path: Path) -> None:
    words = ("method=sft", "++method.trainer.max_steps=2")
    first = job_of(tmp_path, *words)
    measured = first.build(first.run.method, upstream=False).result["metrics"]
    assert "cost/usd" not in measured  # hardware=auto has no price
    again = job_of(tmp_path, *words, "hardware=cpu", "hardware.usd_per_hour=3600")
    finished = again.build(again.run.method, upstream=False)
    assert finished.reused
    assert finished.result["metrics"]["cost/usd"] == pytest.approx(measured["cost/seconds"])


ANSWERS = ("method=sft", "++method.trainer.max_steps=2")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """`measured(word, ...)` -> names of the policies whose answers a job had to sample; all jobs share one store."""
    store = tmp_path_factory.mktemp("answers")

    def files() -> dict[Path, int]:
        return {file: file.stat().st_mtime_ns for file in (store / "evaluations").glob("*.json")}

    def new(*words: str) -> list[str]:
        before = files()
        job = job_of(store, *ANSWERS, *words)
        Evaluator(job).rows(job.build(job.run.method, upstream=False))
        return sorted(file.name.partition("-")[0] for file, time in files().items() if before.get(file) != time)

    assert new() == ["base", "sft"]
    return new


@pytest.mark.parametrize(
    ("word", "sampled"),
    [
        ("evaluation.table_rows=2", []),  # is shown otherwise, not sampled otherwise
        ("evaluation.bootstrap=20", []),
        ("evaluation.temperature=0.5", ["base", "sft"]),
        ("evaluation.max_new_tokens=7", ["base", "sft"]),
        ("evaluation.prompts=5", ["base", "sft"]),
        ("evaluation.seed=1234", ["base", "sft"]),
        ("evaluation.judge=none", ["base", "sft"]),
        ("++method.trainer.max_steps=3", ["sft"]),  # another policy on the same base
        ("reuse=false", ["base", "sft"]),
    ],
)
def test_stored_answers_serve_the_same_model_settings_and_judge_alone(word: str, sampled: list[str], measured) -> None:
    assert measured(word) == sampled


def test_running_out_of_memory_keeps_the_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the batch may fit, so what was learned is not thrown away: the same command goes on from there."""
    words = ("method=sft", "++method.trainer.max_steps=4", "++method.trainer.save_steps=2")
    plain = training.Checkpoints.on_save

    def full(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        plain(self, args, state, control, **rest)
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    job = job_of(tmp_path, *words)
    with monkeypatch.context() as patched, pytest.raises(RunFailure, match="Halve .*batch_size") as failure:
        patched.setattr(training.Checkpoints, "on_save", full)
        job.build(job.run.method, upstream=False)
    assert failure.value.resumable
    (partial,) = tmp_path.glob("sft-*.partial")
    assert (partial / "checkpoints" / "checkpoint-2" / training.WHOLE).exists()
    again = job_of(tmp_path, *words)
    again.console = Console(file=io.StringIO())
    finished = again.build(again.run.method, upstream=False)
    assert "resumed from step 2" in again.console.file.getvalue()
    assert [step for step, _ in finished.result["curves"]["train/loss"]][-1] == 4
