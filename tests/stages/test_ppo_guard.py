"""A policy that collapses is seen in time, and what was asked for happens: a warning, an end, or a way back."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from rlhf.config import Run
from rlhf.errors import RunFailure
from rlhf.models.load import Source
from rlhf.ppo.guard import CollapseGuard, Symptom
from rlhf.stages import ppo
from rlhf.stages.context import StageResult
from rlhf.stages.watch import Watch
from rlhf.tracking import NullRun
from tests.bench import context_of, curve, same, source_of, stage_run, timeless, toy, train, weights_of
from tests.commandline import Here

S4 = (  # one query at a time, the predicted label as reward, no KL, a high learning rate
    "method.prompts_per_step=1",
    "method.kl.coefficient=0",
    "method.kl.target=null",
    "method.normalize_rewards=0",
    "method.epochs=4",
    "++method.trainer.lr_scheduler_type=constant",
)


class Told(NullRun):
    """A tracked run that keeps its tags."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def tags(self, values: Any) -> None:
        self.kept |= values

    @property
    def first_symptom(self) -> int | None:
        """The step at which the guard spoke first."""
        told = [int(text.split()[1].rstrip(":")) for name, text in self.kept.items() if name.startswith("collapse.")]
        return min(told, default=None)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A small SFT policy that writes whole sentences, most of them different."""
    folder = tmp_path_factory.mktemp("start")
    run = stage_run("sft", "tiny_gpt2", steps=80, batch=16)
    train(run, folder, toy(run))
    return Source(folder / "model", None, "folder")


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers labelled +1 or -1, as S4's judge was fitted to: chosen and rejected ones."""
    file = tmp_path_factory.mktemp("labels") / "labels.csv"
    rows = toy(stage_run("dpo", "tiny_gpt2")).train
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows([text, label] for row in rows for text, label in ((row.chosen, 1), (row.rejected, -1)))
    return file


def s4_run(labels: Path, *words: str, steps: int) -> Run:
    judge = f"{{kind: linear, weight: 1.0, path: '{labels}', text: text, label: label, ridge: 1.0, output: decision}}"
    rewards = ("~method.rewards.short", f"+method.rewards.label={judge}", "method.max_response_tokens=32")
    return stage_run("ppo", "tiny_gpt2", *S4, *rewards, *words, steps=steps)


def guarded(run: Run, folder: Path, start: Source) -> tuple[StageResult, Told, str]:
    """Run the stage on the toy world; returns its result, what was tagged, what was printed."""
    told, screen = Told(), StringIO()
    context = context_of(run, folder, toy(run), start)
    result = ppo.run(replace(context, tracked=told, console=Console(file=screen, width=400)))
    return result, told, screen.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_failing_recipe_is_told_before_diversity_has_halved(
    seed: int, labels: Path, start: Source, tmp_path: Path
) -> None:
    run = s4_run(labels, f"seed={seed}", "++method.trainer.learning_rate=3e-3", steps=60)
    result, told, printed = guarded(run, tmp_path, start)
    distinct = curve(result, "train/response/distinct_2")
    usual = sum(distinct[: run.method.guard.window]) / run.method.guard.window
    halved = next((step for step, value in enumerate(distinct, 1) if value < usual / 2), None)
    print(f"seed {seed}: first symptom at step {told.first_symptom}, distinct-2 halved at {halved}: {told.kept}")
    assert halved is not None, "the recipe no longer fails"
    assert told.first_symptom is not None and told.first_symptom < halved
    assert f"ppo step {told.first_symptom} " in printed and "method.kl.coefficient" in printed


@pytest.mark.slow
def test_an_ordinary_run_is_left_alone(start: Source, tmp_path: Path) -> None:
    """The guard is no alarm that always rings: the gold reward, many prompts a step, the KL's defaults, a low rate."""
    words = ["~method.rewards.short", "+method.rewards.gold={kind: gold, weight: 1.0}"]
    words += ["method.max_response_tokens=32", "method.normalize_rewards=64", "++method.trainer.learning_rate=1e-4"]
    result, told, printed = guarded(stage_run("ppo", "tiny_gpt2", *words, steps=12, batch=32), tmp_path, start)
    assert told.first_symptom is None, printed
    assert curve(result, "train/kl/k1_policy_to_reference")[-1] > 0.01  # and it does move


def sick(at: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the guard see a symptom at some steps, and none at others."""

    class Scripted(CollapseGuard):
        def __init__(self, spec: Any) -> None:
            super().__init__(spec)
            self.register_buffer("step", torch.tensor(0))

        def check(self, metrics: Any) -> list[Symptom]:
            super().check(metrics)
            self.step += 1
            found = [Symptom("entropy", "the policy has stopped exploring.")] if int(self.step) in at else []
            self.healthy.fill_(not found)
            return found

    monkeypatch.setattr(ppo, "CollapseGuard", Scripted)


def test_stopping_ends_the_stage_with_the_symptom(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sick({2}, monkeypatch)
    with pytest.raises(RunFailure) as failure:
        train(stage_run("ppo", "tiny_gpt2", "method.guard.on_collapse=stop", steps=3), tmp_path)
    assert str(failure.value).startswith("ppo step 2: the policy has stopped exploring. Change what it names")


def test_warning_goes_on_and_tells_a_symptom_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sick({2, 3}, monkeypatch)
    run = stage_run("ppo", "tiny_gpt2", steps=4)
    result, told, printed = guarded(run, tmp_path, source_of(run))
    assert len(curve(result, "train/loss")) == 4
    assert printed.count("stopped exploring") == 1
    assert told.kept == {"collapse.entropy": "step 2: the policy has stopped exploring."}


class Back:
    """The weights and coefficients before and after each rollback."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[int] = []
        self.weights: list[dict[str, torch.Tensor]] = []
        self.lost: list[dict[str, torch.Tensor]] = []
        self.coefficients: list[tuple[float, float]] = []
        self.files: list[dict[str, torch.Tensor]] = []
        plain = Watch._roll_back

        def watched(watch: Watch, trainer: Any, step: int) -> None:
            before = watch.learner.control.value
            self.lost.append(watch._weights())
            checkpoints = sorted(Path(trainer.args.output_dir).glob("checkpoint-*"), key=lambda f: int(f.name[11:]))
            self.files.append(load_file(checkpoints[-1] / "model.safetensors") if checkpoints else watch.start)
            plain(watch, trainer, step)
            self.steps.append(step)
            self.weights.append(watch._weights())
            self.coefficients.append((before, watch.learner.control.value))
            assert not trainer.optimizer.state

        monkeypatch.setattr(Watch, "_roll_back", watched)


@pytest.mark.parametrize(
    ("model", "more"),
    [("tiny_gpt2", ()), ("tiny_mt5", ("method.critic.kind=separate",)), ("tiny_gpt2", ("adapter=lora",))],
)
def test_rolling_back_takes_the_last_healthy_weights_and_a_higher_coefficient(
    model: str, more: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At step 1 there is no checkpoint yet: back to the start. At step 5: back to that of step 4."""
    sick({1, 5}, monkeypatch)
    back = Back(monkeypatch)
    words = ("method.guard.on_collapse=rollback", "++method.trainer.save_steps=2", "method.kl.target=null", *more)
    run = stage_run("ppo", model, *words, steps=7)
    result, told, printed = guarded(run, tmp_path, source_of(run))
    assert back.steps == [1, 5]
    for restored, lost, kept in zip(back.weights, back.lost, back.files, strict=True):
        assert all(torch.equal(weight, kept[name]) for name, weight in restored.items())
        assert not same(restored, lost)
    assert back.weights[0]["value_head.weight"].abs().max() == 0  # the start
    assert back.weights[1]["value_head.weight"].abs().max() > 0
    first = run.method.kl.coefficient
    assert back.coefficients == [(first, 2 * first), (2 * first, 4 * first)]
    assert curve(result, "train/kl/coefficient") == [first, *[2 * first] * 4, *[4 * first] * 2]
    assert "ppo step 1 rolled back to the start" in printed and "ppo step 5 rolled back to step 4" in printed
    assert told.kept["rollback.5"].startswith("to step 4")
    assert len(curve(result, "train/loss")) == 7  # it went on, and the end is not where it went back to
    end = weights_of(tmp_path / "model")
    assert end and not any(torch.equal(weight, end.get(name, weight + 1)) for name, weight in back.weights[1].items())


def test_a_checkpoint_of_a_sick_policy_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from rlhf.stages.watch import newest_healthy

    sick({3, 4}, monkeypatch)
    kept: list[Any] = []
    plain = ppo.finish
    monkeypatch.setattr(ppo, "finish", lambda c: (kept.append(newest_healthy(c.folder / "checkpoints")), plain(c)))
    run = stage_run("ppo", "tiny_gpt2", "++method.trainer.save_steps=2", steps=4)
    train(run, tmp_path)
    assert [folder.name for folder in kept] == ["checkpoint-2"]


def test_a_run_interrupted_after_a_rollback_goes_on_exactly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from rlhf.stages import training
    from tests.stages.test_resume import Stopped

    sick({3}, monkeypatch)
    words = ("method.guard.on_collapse=rollback", "++method.trainer.save_steps=2", "adapter=lora")
    run = stage_run("ppo", "tiny_gpt2", *words, steps=6)
    whole = train(run, tmp_path / "whole")
    plain = training.Checkpoints.on_save

    def stop(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        plain(self, args, state, control, **rest)
        if state.global_step == 4:
            raise Stopped

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(training.Checkpoints, "on_save", stop)
        train(run, tmp_path / "cut")
    cut = train(run, tmp_path / "cut")
    assert timeless(cut.curves) == timeless(whole.curves)
    assert same(weights_of(tmp_path / "cut/model"), weights_of(tmp_path / "whole/model"))


def test_the_command_line_ends_with_one_line_and_exit_code_1(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A bound on the KL per token that any training passes."""
    words = ["method=ppo", "method.starts_from=base", "dataset.rows=200", "tracking=none", "hardware=cpu"]
    words += ["~method.rewards.judge", "+method.rewards.gold={kind: gold, weight: 1.0}", "method.prompts_per_step=8"]
    words += ["method.max_response_tokens=8", "method.normalize_rewards=8", "method.samples.prompts=2"]
    words += ["evaluation.prompts=4"]
    words += ["method.guard.on_collapse=stop", "method.guard.window=1", "method.guard.max_kl_per_token=1e-9"]
    words += ["method.guard.max_ratio=100"]
    words += ["method.guard.min_negative_kl=-1e-9", "++method.trainer.max_steps=4", "++method.trainer.warmup_steps=0"]
    done = Here(capfd, monkeypatch)(*words, folder=tmp_path)
    line = done.refused(1, "rlhf: ppo step ", "Change what it names and run again")
    assert "method.guard.max_kl_per_token=" in line or "method.guard.min_negative_kl=" in line
    [outcome] = tmp_path.glob("outputs/runs/*/*/result.json")
    assert json.loads(outcome.read_text())["exit_code"] == 1
    left = {path.name for path in (tmp_path / "outputs/stages").iterdir() if path.is_dir()} - {"models"}
    assert all(name.endswith(".partial") for name in left)  # its checkpoints, if any, and no finished stage
