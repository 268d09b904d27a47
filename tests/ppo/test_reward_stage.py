"""A finished reward stage of any family judges as when it was trained; other folders are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from rlhf.compose import jobs, parse_words
from rlhf.models.codec import Codec
from rlhf.models.load import load_scorer, load_tokenizer
from rlhf.models.score import score
from rlhf.pipeline import Finished, Job
from rlhf.ppo.rewards import RewardParts, build_scorer
from rlhf.ppo.rewards.stage import folder_scorer
from rlhf.stages.device import choose_device
from rlhf.tracking import NullRun, NullTracker
from tests.ppo.sources import ANSWERS, PARTS, ROWS, refusal, spec


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Job, Finished]]:
    """`stages("model=tiny_bert", ...)` -> the job and its reward stage, trained for a few steps, once."""
    built: dict[tuple[str, ...], tuple[Job, Finished]] = {}

    def stage(*words: str) -> tuple[Job, Finished]:
        if words not in built:
            small = ["dataset.rows=200", "tracking=none", "++method.trainer.max_steps=4", "method.starts_from=base"]
            small += ["++method.trainer.per_device_train_batch_size=4", "++upstream.reward.trainer.max_steps=4"]
            store = tmp_path_factory.mktemp("store")
            [(_, run)] = jobs(parse_words([*small, f"store={store}", *words]))
            job = Job(run, choose_device(run), NullTracker(), NullRun(), Console(quiet=True))
            method = run.method if run.method.name == "reward" else run.upstream.reward
            built[words] = job, job.build(method, upstream=False)
        return built[words]

    return stage


JUDGES = [
    ("method=reward", "model=tiny_mt5", "method.max_response_tokens=5"),
    ("method=reward", "model=tiny_bert"),
    ("method=reward", "model=tiny_gpt2", "adapter=lora"),
    (
        "method=dpo",
        "model=tiny_gpt2",
        "adapter=lora",
        "upstream.reward.starts_from=sft",
        "++upstream.sft.trainer.max_steps=2",
    ),
]


@pytest.mark.parametrize("words", JUDGES)
def test_a_finished_stage_scores_as_when_it_was_trained(words: tuple[str, ...], stages) -> None:
    """Whole model, adapter on the base or on a base of its own: `score` on what its own job loads gives the same."""
    job, finished = stages(*words)
    source = finished.source(job.base)
    model = load_scorer(
        job.run.model, source, job.run.quantization, dtype=torch.float32, device="cpu", seed=job.run.seed
    )
    pairs = [(row.prompt, answer) for row, answer in zip(ROWS, ANSWERS, strict=True)]
    codec = job.codec(finished.method)
    truth = score(model, codec, pairs, 1)
    judge = build_scorer("judge", spec("stage", folder=str(finished.folder)), PARTS)
    assert judge(ROWS, ANSWERS) == pytest.approx(truth, abs=1e-6)
    assert len(set(truth)) > 3
    assert judge(ROWS, ANSWERS) == judge(ROWS, ANSWERS)
    if "method.max_response_tokens=5" in words:
        assert codec.cut_responses > 0  # the lengths it was trained with are what it is read with


def test_a_stage_moved_elsewhere_keeps_its_tokenizer_and_scores(stages, tmp_path: Path) -> None:
    _, finished = stages(*JUDGES[0])
    moved = shutil.copytree(finished.folder, tmp_path / "judge")
    there, here = (build_scorer("judge", spec("stage", folder=str(f)), PARTS) for f in (finished.folder, moved))
    assert here(ROWS, ANSWERS) == there(ROWS, ANSWERS)


def test_a_stage_of_another_version_is_read_for_what_scoring_needs(stages, tmp_path: Path) -> None:
    _, finished = stages(*JUDGES[1])
    moved = shutil.copytree(finished.folder, tmp_path / "judge")
    run = json.loads((moved / "run.json").read_text())
    run["model"]["learning_rates"] = {"none": {"sft": 1.0}}
    del run["evaluation"]
    (moved / "run.json").write_text(json.dumps(run))
    truth = build_scorer("judge", spec("stage", folder=str(finished.folder)), PARTS)(ROWS, ANSWERS)
    assert build_scorer("judge", spec("stage", folder=str(moved)), PARTS)(ROWS, ANSWERS) == truth


def test_a_stage_of_this_job_may_run_its_own_code(stages, tmp_path: Path) -> None:
    _, finished = stages(*JUDGES[1])
    moved = Path(shutil.copytree(finished.folder, tmp_path / "judge"))
    change(moved, trust_remote_code=True)
    truth = folder_scorer("judge", finished.folder, PARTS)(ROWS, ANSWERS)
    assert folder_scorer("judge", moved, PARTS, trusted=True)(ROWS, ANSWERS) == truth


def change(folder: Path, **values: Any) -> None:
    run = json.loads((folder / "run.json").read_text())
    run["model"] |= values
    (folder / "run.json").write_text(json.dumps(run))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "run.json").unlink(), "it has no run.json"),
        (lambda folder: (folder / "result.json").unlink(), "it has no result.json"),
        (lambda folder: (folder / "model" / "model.safetensors").write_bytes(b"cut"), "not as they were written"),
        (lambda folder: change(folder, family="other"), "not as this version writes it (ValidationError)"),
        (lambda folder: (folder / "run.json").write_text("{"), "not as this version writes it (JSONDecodeError)"),
        (lambda folder: (folder / "result.json").write_text("{}"), "not as this version writes it (KeyError)"),
        (lambda folder: (folder / "model" / "config.json").unlink(), "not a reward model"),
        (lambda folder: change(folder, trust_remote_code=True), "asks to run code"),
        (lambda folder: change(folder, context_length=8), "cannot be loaded (method.max_prompt_tokens"),
    ],
)
def test_a_folder_that_is_no_finished_stage_is_refused(damage, words: str, stages, tmp_path: Path) -> None:
    _, finished = stages(*JUDGES[1])
    moved = Path(shutil.copytree(finished.folder, tmp_path / "judge"))
    damage(moved)
    error = refusal(spec("stage", folder=str(moved)))
    assert error.place == "method.rewards.own.folder" and words in error.problem


def test_a_policy_is_no_judge(stages, tmp_path: Path) -> None:
    """An SFT adapter and a whole language model, each with the two files of a finished stage."""
    job, finished = stages(*JUDGES[3])
    [adapter] = [folder for folder in job.store.glob("sft-*") if folder.is_dir()]
    assert "a policy, not a reward model" in refusal(spec("stage", folder=str(adapter))).problem
    whole = Path(shutil.copytree(adapter, tmp_path / "whole"))
    shutil.rmtree(whole / "model")
    shutil.copytree(finished.folder / "base", whole / "model")
    result = {"sizes": {file.name: file.stat().st_size for file in (whole / "model").iterdir()}}
    (whole / "result.json").write_text(json.dumps(result))
    assert "a policy, not a reward model" in refusal(spec("stage", folder=str(whole))).problem


def test_without_a_folder_the_stage_upstream_judges() -> None:
    loaded = []

    def upstream(name: str) -> Any:
        loaded.append(name)
        return lambda rows, answers: [2.0] * len(answers)

    parts = RewardParts(None, upstream, "cpu", torch.float32, 3)
    assert build_scorer("own", spec("stage", folder=None), parts)(ROWS, ANSWERS) == [2.0] * 6
    assert loaded == ["own"]  # where what is wrong with it is to be told


def test_codec_and_tokenizer_are_the_stages_own(stages) -> None:
    """A saved tokenizer gives the ids that the trained one gave, so a stage is read as it was trained."""
    job, finished = stages(*JUDGES[2])
    copy = job.run.model.model_copy(update={"tokenizer": str(finished.folder / "model")})
    saved = Codec(load_tokenizer(copy, finished.source(job.base)), copy, 64, 32)
    own = Codec(job.tokenizer, job.run.model, 64, 32)
    for row, answer in zip(ROWS, ANSWERS, strict=True):
        assert saved.scorer_ids(row.prompt, answer) == own.scorer_ids(row.prompt, answer)
