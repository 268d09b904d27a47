"""A killed job, run again by the same command, ends with the very weights and curves of one that was never killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from rlhf.pipeline import STAGES
from rlhf.stages import training
from rlhf.tracking import NullRun
from tests.bench import context_of, corpus_of, few, same, stage_run, train, weights_of

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 240
FORKS = multiprocessing.get_context("forkserver")  # children of one process that has imported everything already
ACCUMULATION = "++method.trainer.gradient_accumulation_steps=3"
FORKS.set_forkserver_preload(["rlhf.job", "rlhf.__main__"])


def words(method: str, *more: str) -> list[str]:
    """A job of two short stages that save every 3 steps, log every 2 and cross an epoch: 156 rows are 10 batches."""
    small = {"max_steps": 14, "per_device_train_batch_size": 16, "logging_steps": 2, "eval_steps": 7, "save_steps": 3}
    settings = [f"method={method}", "dataset.rows=200", "evaluation.prompts=4", "evaluation.max_new_tokens=4"]
    settings += ["evaluation.bootstrap=10", "evaluation.suites=[]", "hardware=cpu"]
    for place in ("method", "upstream.sft"):
        settings += [f"++{place}.trainer.{key}={value}" for key, value in small.items()]
        settings += [f"++{place}.trainer.learning_rate=2e-3"]
    return [*settings, *more]


def serve(arguments: list[str], folder: str) -> None:
    """In a fork: the command line."""
    from rlhf.__main__ import main

    os.chdir(folder)
    torch.set_num_threads(1)
    sys.argv = ["rlhf", *arguments]
    main()


class Fork:
    """The command line in a fork of a process that has imported the libraries."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self.process = FORKS.Process(target=serve, args=(arguments, str(folder)))
        self.process.start()

    @property
    def pid(self) -> int:
        return int(self.process.pid or 0)

    def ended(self) -> bool:
        return not self.process.is_alive()

    def wait(self) -> int:
        self.process.join(SECONDS)
        return int(self.process.exitcode if self.process.exitcode is not None else -1)


class Shell:
    """The command line as a user starts it."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with (folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rlhf", *arguments], cwd=folder, env=environment, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait(self) -> int:
        return self.process.wait(SECONDS)


def kill_at(job: Fork | Shell, folder: Path, stage: str, step: int) -> None:
    """SIGKILL `job` as soon as the checkpoint of `step` in the unfinished stage is whole."""
    end = time.monotonic() + SECONDS
    while not list(folder.glob(f"outputs/stages/{stage}-*.partial/checkpoints/checkpoint-{step}/whole.json")):
        assert not job.ended(), f"the job ended before {stage} reached step {step}"
        assert time.monotonic() < end
        time.sleep(0.005)
    os.kill(job.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL


def results(folder: Path, method: str):
    """The finished stage's (result, weights); nothing unfinished lies beside it."""
    stages = folder / "outputs/stages"
    assert list(stages.glob("*.partial")) == []
    [stage] = [path for path in stages.glob(f"{method}-*") if path.is_dir()]
    assert not (stage / "checkpoints").exists()
    return json.loads((stage / "result.json").read_text()), weights_of(stage / "model")


def assert_equal(killed: Path, whole: Path, method: str) -> None:
    (found, weights), (hoped, untouched) = results(killed, method), results(whole, method)
    assert found["curves"].keys() == hoped["curves"].keys()
    for name, points in hoped["curves"].items():
        assert found["curves"][name] == points, name
    assert same(weights, untouched)
    costs = ("cost/tokens", "cost/flops", "final/loss", "final/nll")
    assert {k: found["metrics"].get(k) for k in costs} == {k: hoped["metrics"].get(k) for k in costs}


@pytest.mark.slow
def test_killed_twice_from_the_shell(tmp_path: Path) -> None:
    """Once in SFT, which DPO starts from, once in DPO, in its second epoch; recorded in MLflow."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir(), whole.mkdir()
    command = words("dpo", "model=tiny_gpt2")
    other = Fork([*command, "tracking=none"], whole)
    kill_at(Shell(command, killed), killed, "sft", 6)
    half = next(killed.glob("outputs/stages/sft-*.partial/checkpoints")) / "checkpoint-999"
    half.mkdir()  # as a kill in the middle of a save leaves it
    (half / "model.safetensors").write_bytes(b"half")
    kill_at(Shell(command, killed), killed, "dpo", 12)
    assert Shell(command, killed).wait() == 0, (killed / "log.txt").read_text()
    assert other.wait() == 0
    assert "resumed from step 6" in (killed / "log.txt").read_text()
    assert "resumed from step 12" in (killed / "log.txt").read_text()
    for method in ("sft", "dpo"):
        assert_equal(killed, whole, method)

    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{killed / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("rlhf").experiment_id])
    jobs = sorted(run.info.status for run in runs if run.data.tags["role"] == "job")
    assert jobs == ["FAILED", "FAILED", "FINISHED"]  # two were killed, and are not shown as running for ever


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "step", "more"),
    [
        ("dpo", 3, ["model=tiny_mt5"]),
        ("dpo", 12, ["model=tiny_gpt2", "adapter=lora"]),
        ("sft", 9, ["model=tiny_llama", "adapter=lora", "adapter.dropout=0.1", ACCUMULATION]),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else str(value),
)
def test_killed_once(method: str, step: int, more: list[str], tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir(), whole.mkdir()
    command = words(method, "tracking=none", *more)
    other = Fork(command, whole)
    kill_at(Fork(command, killed), killed, method, step)
    assert Fork(command, killed).wait() == 0
    assert other.wait() == 0
    assert_equal(killed, whole, method)


STEPS = (2, 3, 5)  # after which an attempt is stopped


class Stopped(KeyboardInterrupt):
    pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """`whole(method, sampling)` -> (run, corpus, uninterrupted result, its weights), trained once."""

    @cache
    def build(method: str, sampling: str):
        folder = tmp_path_factory.mktemp(f"whole-{method}")
        cut = ["++method.trainer.save_steps=1", "++method.trainer.logging_steps=2", "++method.trainer.eval_steps=4"]
        cut += [f"++method.trainer.train_sampling_strategy={sampling}"]
        run = stage_run(method, "tiny_gpt2", *cut, steps=7)
        rows = few(run.method.data_shape)
        corpus = corpus_of(list(rows.train[:12]), list(rows.test[:4]))
        return run, corpus, train(run, folder, corpus), weights_of(folder / "model")

    return build


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, whole):
    """`stopped(method, sampling)` -> {step: what a kill at that step leaves}, of one attempt that ends at the last."""

    @cache
    def attempt(method: str, sampling: str) -> dict[int, Path]:
        run, corpus, *_ = whole(method, sampling)
        folder = tmp_path_factory.mktemp(f"stopped-{method}")
        left = {step: folder / f"at-{step}" for step in STEPS}
        plain = training.Checkpoints.on_save

        def stop(self, args, state, control, **rest) -> None:
            plain(self, args, state, control, **rest)
            if state.global_step == STEPS[-1]:
                raise Stopped
            if state.global_step in STEPS:
                shutil.copytree(left[STEPS[-1]], left[state.global_step])

        with pytest.MonkeyPatch.context() as patched, pytest.raises(Stopped):
            patched.setattr(training.Checkpoints, "on_save", stop)
            train(run, left[STEPS[-1]], corpus)
        return left

    return attempt


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("method", "sampling"),
    [("sft", "random"), ("sft", "group_by_length"), ("reward", "group_by_length"), ("dpo", "random")],
)
def test_a_stage_stopped_at_any_step_goes_on_exactly(
    method: str, sampling: str, step: int, tmp_path: Path, whole, stopped
) -> None:
    """Three batches per epoch, a checkpoint every step, logs every 2: also at an epoch's end and in a later epoch."""
    run, corpus, hoped, weights = whole(method, sampling)
    folder = Path(shutil.copytree(stopped(method, sampling)[step], tmp_path / "stage"))
    checkpoints = folder / "checkpoints"
    assert (checkpoints / f"checkpoint-{step}/whole.json").exists()
    assert not (checkpoints / f"checkpoint-{step + 1}").exists()
    resumed = train(run, folder, corpus)
    assert resumed.curves == hoped.curves
    assert same(weights_of(folder / "model"), weights)


class Kept(NullRun):
    """A tracked run that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: dict[str, list[tuple[int, float]]] = {}

    def metrics(self, values: Mapping[str, float], step: int | None) -> None:
        for name, value in values.items():
            self.sent.setdefault(name, []).append((int(step or 0), value))


def test_the_tracked_run_that_goes_on_has_the_curves_from_the_first_step(tmp_path: Path, whole, stopped) -> None:
    """The interrupted attempt was another run of the store, and is shown as failed."""
    run, corpus, hoped, _ = whole("sft", "random")
    folder = Path(shutil.copytree(stopped("sft", "random")[5], tmp_path / "stage"))
    kept = Kept()
    STAGES["sft"](replace(context_of(run, folder, corpus), tracked=kept))
    for name in ("train/loss", "eval/loss"):
        assert kept.sent[name] == hoped.curves[name]


@pytest.mark.parametrize("sampling", ["random", "group_by_length"])
def test_every_epoch_has_an_order_of_its_own(sampling: str, tmp_path: Path) -> None:
    """At a learning rate of almost 0 the losses of equal batches would repeat every 4 steps."""
    words = ["++method.trainer.learning_rate=1e-9", f"++method.trainer.train_sampling_strategy={sampling}"]
    run = stage_run("sft", "tiny_gpt2", *words, steps=8)
    losses = [loss for _, loss in train(run, tmp_path).curves["train/loss"]]
    assert len(losses) == 8
    assert losses[:4] != pytest.approx(losses[4:], abs=1e-3)


def test_the_seconds_of_interrupted_attempts_are_counted(tmp_path: Path) -> None:
    run = stage_run("sft", "tiny_gpt2", steps=2)
    context = context_of(run, tmp_path)
    with context.meter:
        before = context.meter.report()["cost/seconds"]
        context.meter.add_seconds(100.0)
        assert context.meter.report()["cost/seconds"] - before == pytest.approx(100.0, abs=5.0)
