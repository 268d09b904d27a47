"""Stages are built once, reused by content, linked in MLflow, and their costs add up."""

from __future__ import annotations

import gc
import io
import json
import multiprocessing
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from rich.console import Console

from rlhf.errors import UserError
from rlhf.pipeline import Job, lasted
from rlhf.stages.device import choose_device
from rlhf.stages.evaluate import Evaluator
from rlhf.store import damage, entries, held, lock_of, remove
from rlhf.tracking import NullRun, NullTracker
from rlhf.verdict import warnings_of
from tests.bench import run_of, same, weights_of
from tests.place import CAUSES, Place


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    return Place(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="module")
def dpo(place: Place) -> dict[str, Any]:
    return place.job("method=dpo")


@pytest.fixture(scope="module")
def reward(place: Place, dpo) -> dict[str, Any]:
    return place.job("method=reward")


def test_a_dpo_job_builds_its_sft_stage_and_links_it_both_ways(place: Place, dpo) -> None:
    job = place.tracked(dpo)
    assert job.info.status == "FINISHED"
    assert job.data.tags["role"] == "job"
    stage = place.client.get_run(job.data.tags["built.sft"])
    assert stage.data.tags["role"] == "stage"
    assert stage.data.tags["built_for"] == job.info.run_id
    assert stage.data.tags["stage"] == "sft"
    assert stage.info.status == "FINISHED"
    assert len(place.client.get_metric_history(stage.info.run_id, "train/loss")) == 2
    assert "reused.sft" not in job.data.tags


def test_policies_report_loss_nll_reward_kl_and_cost(place: Place, dpo) -> None:
    found = place.tracked(dpo).data.metrics
    names = "loss nll reward reward_gold reward_difference reward_difference_low reward_difference_high kl "
    names += "kl_per_token win_rate win_rate_low win_rate_high response_tokens eos_share distinct_2 margin accuracy"
    missing = [name for name in names.split() if f"final/{name}" not in found]
    assert missing == []
    costs = (*CAUSES, "peak_memory_bytes", "trainable_parameters", "parameters")
    assert [name for name in costs if f"cost/{name}" not in found] == []
    assert [name for name in CAUSES if f"cost/pipeline_{name}" not in found] == []
    assert all(found[f"cost/{name}"] > 0 for name in costs if name != "gpu_seconds")
    assert found["cost/gpu_seconds"] == 0.0  # a CPU


def test_a_reward_job_reports_accuracy_between_its_baselines(place: Place, reward) -> None:
    found = place.tracked(reward).data.metrics
    names = "loss accuracy accuracy_low accuracy_high margin accuracy_length_rule accuracy_bag_of_words"
    assert [name for name in names.split() if f"final/{name}" not in found] == []
    assert [name for name in CAUSES if f"cost/{name}" not in found] == []
    assert [name for name in CAUSES if f"cost/pipeline_{name}" not in found] == []


def test_pipeline_costs_are_the_sums_over_the_stages(place: Place, dpo, reward) -> None:
    sft = place.stage_metrics("sft")
    for outcome, method in ((dpo, "dpo"), (reward, "reward")):
        own = place.stage_metrics(method)
        tracked = place.tracked(outcome).data.metrics
        for name in CAUSES:
            assert tracked[f"cost/{name}"] == pytest.approx(own[f"cost/{name}"])
            assert tracked[f"cost/pipeline_{name}"] == pytest.approx(own[f"cost/{name}"] + sft[f"cost/{name}"])
        peaks = own["cost/peak_memory_bytes"], sft["cost/peak_memory_bytes"]
        assert tracked["cost/pipeline_peak_memory_bytes"] == max(peaks)


def test_scores_of_single_questions_are_kept_for_paired_tests(place: Place, dpo, reward) -> None:
    """Their means are the metrics that they are behind."""
    assert {len(row["each"]["final/reward_gold"]) for row in dpo["rows"]} == {dpo["questions"]}
    for row in dpo["rows"]:
        for name, scores in row["each"].items():
            assert sum(scores) / len(scores) == pytest.approx(row["metrics"][name])
    right = reward["each"]["final/accuracy"]
    assert len(right) == reward["pairs_judged"] and dpo["asked"] != reward["asked"]
    assert sum(right) / len(right) == pytest.approx(reward["metrics"]["final/accuracy"])


def test_another_method_reuses_the_sft_stage(place: Place, dpo, reward) -> None:
    tags = place.tracked(reward).data.tags
    assert tags["reused.sft"].startswith("sft-tiny_gpt2-")
    assert "built.sft" not in tags
    assert sorted(name.partition("-")[0] for name in place.stages()) == ["dpo", "reward", "sft"]


def test_the_same_job_again_trains_nothing(place: Place, dpo, reward) -> None:
    before = place.stages()
    again = place.job("method=dpo")
    assert again["reused"]
    assert place.stages() == before
    assert again["metrics"] == dpo["metrics"]  # the answers are kept as well
    tags = place.tracked(again).data.tags
    assert {tags["reused.sft"], tags["reused.dpo"]} <= before.keys()


def test_an_sft_job_of_its_own_is_the_stage_that_dpo_started_from(place: Place, dpo, reward) -> None:
    before = place.stages()
    outcome = place.job("method=sft")
    assert outcome["reused"]
    assert place.stages() == before
    found = place.tracked(outcome).data.metrics
    assert found["final/loss"] == found["final/nll"]
    assert "final/margin" not in found
    assert found["cost/pipeline_seconds"] == found["cost/seconds"] == place.stage_metrics("sft")["cost/seconds"]


def test_the_curves_of_the_stages_below_a_job_are_kept_and_drawn_built_or_reused(place: Place, dpo, reward) -> None:
    judged = place.job("method=dpo", "evaluation.judge=reward")  # which reuses all three
    names = {path.name.partition("-")[0]: path.name for path in place.folder.glob("stages/*-*-*") if path.is_dir()}
    assert [stage["name"] for stage in dpo["upstream"]] == [stage["name"] for stage in reward["upstream"]]
    assert [stage["name"] for stage in judged["upstream"]] == [names["sft"], names["reward"]]
    assert judged["upstream"][0] == dpo["upstream"][0]
    for stage in judged["upstream"]:
        kept = json.loads((place.folder / "stages" / stage["name"] / "result.json").read_text())
        assert stage["curves"] == kept["curves"]
    drawn = place.folder / f"job{place.count}" / "plots"
    assert {file.name for file in drawn.iterdir()} == {"loss.png", "accuracy.png", "reward.png"}


def test_warnings_about_the_judge_are_told_in_the_job_that_it_judges(place: Place, dpo, reward) -> None:
    """A reward model of two steps is not clearly better than its baselines."""
    assert reward["warnings"] != []
    judged = place.job("method=dpo", "evaluation.judge=reward")
    own = warnings_of(run_of("method=dpo").method, judged["metrics"], judged["curves"])
    assert judged["warnings"] == [*own, *(f"judge: {warning}" for warning in reward["warnings"])]
    assert place.tracked(judged).data.tags["warnings"] == " | ".join(judged["warnings"])
    assert not [warning for warning in dpo["warnings"] if warning.startswith("judge: ")]  # judged by the gold reward


def test_a_job_that_trains_nothing_has_the_curves_of_the_stage_that_it_reuses(place: Place, dpo) -> None:
    again = place.job("method=dpo")
    assert again["reused"] and again["run_id"] != dpo["run_id"]
    for outcome in (dpo, again):
        for name in ("train/loss", "train/rewards/margins"):
            history = place.client.get_metric_history(outcome["run_id"], name)
            assert [[point.step, point.value] for point in history] == dpo["curves"][name]


def test_reuse_false_trains_again_to_the_same_weights(place: Place, dpo, reward) -> None:
    before = place.stages()
    weights = weights_of(Path(dpo["stage"]) / "model")
    outcome = place.job("method=dpo", "reuse=false")
    after = place.stages()
    assert not outcome["reused"]
    assert after.keys() == before.keys()
    changed = {name.partition("-")[0] for name in before if after[name] != before[name]}
    assert changed == {"sft", "dpo"}
    assert same(weights_of(Path(outcome["stage"]) / "model"), weights)


def test_reuse_of_some_stages_trains_the_others_again(place: Place, dpo, reward) -> None:
    def answers() -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in (place.folder / "stages" / "evaluations").glob("*.json")}

    place.job("method=dpo")
    before, sampled = place.stages(), answers()
    outcome = place.job("method=dpo", "reuse=[sft]")
    after = place.stages()
    assert not outcome["reused"]
    assert {name.partition("-")[0] for name in before if after[name] != before[name]} == {"dpo"}
    again = {name.partition("-")[0] for name, written in answers().items() if sampled[name] != written}
    assert again == {"dpo"}  # the answers of a policy that is trained again are its own
    assert "reused.sft" in place.tracked(outcome).data.tags


def job_in(store: Path, *words: str) -> Job:
    """A job that prints to a string and is not tracked."""
    small = ["++method.trainer.max_steps=2", "++method.trainer.logging_steps=1"]
    run = run_of("method=sft", *small, *words, store=store)
    return Job(run, choose_device(run), NullTracker(), NullRun(), Console(file=io.StringIO(), width=200))


@pytest.mark.parametrize(
    ("reuse", "kept"), [("true", True), ("[sft]", True), ("[dpo,reward]", False), ("false", False)]
)
def test_what_an_earlier_attempt_left_is_gone_on_with_only_where_it_may_be_reused(
    reuse: str, kept: bool, tmp_path: Path
) -> None:
    job = job_in(tmp_path, f"reuse={reuse}")
    folder = job.lineage.of(job.run.method).folder
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir()
    (partial / "left").touch()
    assert job.build(job.run.method, upstream=False).folder == folder
    assert not partial.exists()
    assert (folder / "left").exists() == kept


def test_a_stage_is_held_while_its_job_lives_and_keeps_sums_of_its_files(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    finished = job.build(job.run.method, upstream=False)
    [entry] = [entry for entry in entries(tmp_path) if entry.kind == "stage"]
    assert entry.state == "complete" and entry.fingerprint == finished.fingerprint and damage(entry) == []
    assert held(finished.folder) and not remove(entry)
    again = job_in(tmp_path)
    assert again.build(again.run.method, upstream=False).reused
    seconds = finished.result["metrics"]["cost/seconds"]
    printed = again.console.file.getvalue().splitlines()
    assert f"reused {finished.folder.name} (saved {lasted(seconds)}" in printed[-1]
    del again, job, finished
    gc.collect()
    assert not held(entry.path)
    (entry.path / "model" / "config.json").write_text("{")
    assert damage(entry) == ["model/config.json has other bytes than when it was written"]


def test_a_reused_stage_is_linked_with_the_run_that_trained_it_both_ways(place: Place, dpo, reward) -> None:
    again = place.job("method=dpo")
    sft, own = (json.loads((place.folder / "stages" / name / "result.json").read_text())["run_id"] for name in (
        place.tracked(again).data.tags["reused.sft"], place.tracked(again).data.tags["reused.dpo"]
    ))  # fmt: skip
    tags = place.tracked(again).data.tags
    assert (tags["reused_from.sft"], tags["reused_from.dpo"]) == (sft, own)
    assert tags["reused_from"] == f"{sft},{own}"
    trained = place.client.get_run(sft)
    assert trained.data.tags["stage"] == "sft"
    assert trained.data.tags[f"reused_by.{again['run_id']}"] == "sft"


def test_spans_are_told_in_the_unit_that_suits_them() -> None:
    assert [lasted(s) for s in (0.123, 41.3, 120.0, 7200.0)] == ["0.12 s", "41 s", "2 min", "2.0 h"]


def test_a_changed_setting_keeps_the_stages_before_it(place: Place, dpo, reward) -> None:
    before = place.stages()
    place.job("method=dpo", "method.beta=0.7")
    new = place.stages().keys() - before.keys()
    assert [name.partition("-")[0] for name in new] == ["dpo"]


@pytest.mark.slow
def test_starting_from_a_folder_follows_its_bytes(place: Place, dpo, reward, tmp_path: Path) -> None:
    """From a copy of the SFT model the DPO stage comes out the same; other bytes in that folder are another start."""
    copy = tmp_path / "start"
    [sft] = place.folder.glob("stages/sft-tiny_gpt2-*/model")
    shutil.copytree(sft, copy)
    first = place.job("method=dpo", f"method.starts_from={copy}")
    assert same(weights_of(Path(first["stage"]) / "model"), weights_of(Path(dpo["stage"]) / "model"))
    assert place.job("method=dpo", f"method.starts_from={copy}")["reused"]
    shutil.rmtree(copy)
    shutil.copytree(Path(dpo["stage"]) / "model", copy)
    other = place.job("method=dpo", f"method.starts_from={copy}")
    assert not other["reused"]
    assert other["stage"] != first["stage"]


def test_a_folder_without_a_model_is_refused(place: Place, tmp_path: Path) -> None:
    for start in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="method.starts_from"):
            place.job("method=dpo", f"method.starts_from={start}")
    assert list(place.folder.glob("stages/*.partial")) == []


@pytest.mark.slow
def test_a_dpo_job_can_start_from_an_adapter_folder(place: Place, dpo, reward) -> None:
    sft = place.job("method=sft", "adapter=lora")
    adapter = Path(sft["stage"]) / "model"
    found = place.job("method=dpo", "adapter=lora", f"method.starts_from={adapter}")
    assert found["curves"]["train/loss"][0][1] == pytest.approx(0.693147, abs=1e-4)
    through = place.job("method=dpo", "adapter=lora")  # the same through the pipeline
    assert same(weights_of(Path(found["stage"]) / "model"), weights_of(Path(through["stage"]) / "model"))


def serve(words: list[str], folder: str) -> None:
    """In a fork: the command line."""
    from rlhf.__main__ import main

    os.chdir(folder)
    torch.set_num_threads(1)
    sys.argv = ["rlhf", *words]
    main()


@pytest.mark.slow
def test_two_processes_that_need_one_stage_build_it_once(tmp_path: Path) -> None:
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["rlhf.job", "rlhf.__main__"])
    words = ["method=sft", "tracking=none", "dataset.rows=200", "evaluation.prompts=4", "evaluation.max_new_tokens=4"]
    words += ["++method.trainer.max_steps=5", "evaluation.bootstrap=10", "evaluation.suites=[]", "hardware=cpu"]
    both = [forks.Process(target=serve, args=(words, str(tmp_path))) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(240)
    assert [process.exitcode for process in both] == [0, 0]
    outcomes = [json.loads(file.read_text()) for file in tmp_path.glob("outputs/runs/*/*/result.json")]
    assert sorted(outcome["reused"] for outcome in outcomes) == [False, True]
    assert outcomes[0]["stage"] == outcomes[1]["stage"]
    assert outcomes[0]["curves"] == outcomes[1]["curves"]
    left = sorted(file.name.partition("-")[0] for file in tmp_path.glob("outputs/stages/evaluations/*"))
    assert left == ["base", "sft"]  # no locks and no halves beside them


def test_a_job_waits_for_answers_that_another_one_samples(tmp_path: Path) -> None:
    job = job_in(tmp_path, "evaluation.prompts=2", "evaluation.max_new_tokens=4")
    finished = job.build(job.run.method, upstream=False)
    rows = Evaluator(job).rows(finished)
    [file] = (tmp_path / "evaluations").glob("base-*.json")
    kept = file.read_bytes()
    file.unlink()
    found: list[Any] = []
    with FileLock(lock_of(file)):  # the other job
        waiting = threading.Thread(target=lambda: found.extend(Evaluator(job).rows(finished)))
        waiting.start()
        waiting.join(3)
        assert waiting.is_alive()
        file.write_bytes(kept)
    waiting.join(60)
    assert [row.texts for row in found] == [row.texts for row in rows]
    assert file.read_bytes() == kept
