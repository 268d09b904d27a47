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
from rlhf.models.load import Source, load_policy
from rlhf.stages import ppo
from rlhf.stages.context import StageResult
from rlhf.stages.watch import newest_healthy
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


def guarded(run: Run, folder: Path, start: Source, told: Told | None = None) -> tuple[StageResult, Told, str]:
    """Run the stage on the toy world; returns its result, what was tagged, what was printed."""
    told, screen = told or Told(), StringIO()
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


LOOSE = (  # bounds that no run crosses: each test draws one of them tight
    "method.guard.window=1",
    "method.guard.max_kl_per_token=1e9",
    "method.guard.min_negative_kl=-1e9",
    "method.guard.min_entropy=1e-9",
    "method.guard.min_distinct_2=1e-9",
    "method.guard.max_length_drift=1e9",
    "method.guard.min_eos_share=1e-9",
    "method.guard.min_explained_variance=-1e9",
    "method.guard.max_clip_fraction=0.999999",
    "method.guard.max_ratio=1e9",
)
ANY_STEP = "method.guard.max_ratio=1.000000001"  # no update stays below it
STEERED = ("method.kl.target=0.5", "method.kl.ramp=40", "method.kl.coefficient=1e-3", "method.kl.max_update=null")
SAVING = "++method.trainer.save_steps=1"
CLIMBS = {  # model, adapter, critic -> a rate, reached in a warm-up as long as the run, at which the KL soars
    ("tiny_gpt2", "none", "shared"): 1e-3,
    ("tiny_mt5", "none", "separate"): 2e-3,
    ("tiny_gpt2", "lora", "shared"): 2e-2,
}


def is_weight(name: str) -> bool:
    return not name.startswith(("control.", "guard.", "progress."))


class Kept(Told):
    """Reads every whole checkpoint as well; interrupts the stage when it is told of step `end`."""

    def __init__(self, folder: Path, end: int | None = None) -> None:
        super().__init__()
        self.folder, self.end = folder, end
        self.states: dict[int, dict[str, torch.Tensor]] = {}
        self.moments: dict[int, int] = {}  # step -> weights of which Adam knows moments

    def metrics(self, values: Any, step: int | None) -> None:
        for mark in self.folder.glob("checkpoints/checkpoint-*/whole.json"):
            number = int(mark.parent.name.rpartition("-")[2])
            self.states[number] = load_file(mark.parent / "model.safetensors")
            self.moments[number] = len(torch.load(mark.parent / "optimizer.pt")["state"])
        if self.end is not None and step == self.end:
            raise KeyboardInterrupt


def climb(kind: tuple[str, str, str], *words: str) -> Run:
    """A run whose KL soars, as the rate rises at every step and a nat costs next to nothing."""
    model, adapter, critic = kind
    own = [f"adapter={adapter}", f"method.critic.kind={critic}", SAVING, *LOOSE, *STEERED]
    own += [f"++method.trainer.learning_rate={CLIMBS[kind]}", "++method.trainer.warmup_steps=7"]
    return stage_run("ppo", model, *own, *words, steps=7, batch=8)


def crossing(result: StageResult) -> tuple[int, float]:
    """The first step from the fourth on whose KL per token is twice any before, and a bound between."""
    course = curve(result, "train/kl/k1_policy_to_reference_per_token")
    index = next(i for i in range(3, len(course) - 1) if course[i] > 2 * max(course[:i]))
    return index + 1, 1.5 * max(course[:index])


@pytest.mark.parametrize("kind", CLIMBS, ids="-".join)
def test_a_policy_that_leaves_is_taken_back_under_a_dearer_and_lower_kl(
    kind: tuple[str, str, str], tmp_path: Path
) -> None:
    """Checkpoint `step - 1` holds the weights whose samples rang the bell: it goes back to the one before that."""
    free = climb(kind)
    lost = Kept(tmp_path / "free")
    step, bound = crossing(guarded(free, tmp_path / "free", source_of(free), lost)[0])
    run = climb(kind, f"method.guard.max_kl_per_token={bound}", "method.guard.on_collapse=rollback")
    kept = Kept(tmp_path / "back")
    result, _, printed = guarded(run, tmp_path / "back", source_of(run), kept)
    assert f"ppo step {step} rolled back to step {step - 2}, " in printed
    first = next(tag for tag in kept.kept if tag.startswith("rollback."))  # a wilder run may go back once more
    assert first == f"rollback.{step}" and kept.kept[first].startswith(f"to step {step - 2}, KL coefficient now ")
    back, healthy, untouched = kept.states[step], kept.states[step - 2], lost.states[step]
    assert bool(healthy["guard.healthy"]) and not bool(back["guard.healthy"])
    weights = [name for name in back if is_weight(name)]
    assert weights and all(torch.equal(back[name], healthy[name]) for name in weights)
    assert not all(torch.equal(back[name], untouched[name]) for name in weights)
    assert kept.moments[step] == 0 < kept.moments[step - 1]
    assert back["control.coefficient"] == 2 * untouched["control.coefficient"]
    assert untouched["control.target"] == 0.5 and back["control.target"] == 0.25
    assert untouched["control.seen"] == 8 * step and back["control.seen"] == 8 * (step - 2)
    assert curve(result, "train/kl/target")[step] == 0.25 * min(1.0, 8 * (step - 1) / 40)
    assert curve(result, "train/kl/coefficient")[step] == back["control.coefficient"]
    assert len(curve(result, "train/loss")) == 7  # it went on
    end = weights_of(tmp_path / "back/model")
    assert end and not any(torch.equal(back.get(f"roles.policy.{name}", end[name] + 1), end[name]) for name in end)


def test_a_run_interrupted_after_a_rollback_goes_on_exactly(tmp_path: Path) -> None:
    kind = ("tiny_gpt2", "lora", "shared")
    start = source_of(climb(kind))
    step, bound = crossing(guarded(climb(kind), tmp_path / "free", start)[0])
    run = climb(kind, f"method.guard.max_kl_per_token={bound}", "method.guard.on_collapse=rollback")
    whole, _, _ = guarded(run, tmp_path / "whole", start)
    with pytest.raises(KeyboardInterrupt):
        guarded(run, tmp_path / "cut", start, Kept(tmp_path / "cut", end=step + 1))
    checkpoints = tmp_path / "cut/checkpoints"
    assert sorted(folder.name for folder in checkpoints.iterdir()) == [f"checkpoint-{step - 1}", f"checkpoint-{step}"]
    assert newest_healthy(checkpoints, before=step + 1) == checkpoints / f"checkpoint-{step - 1}"  # `step` was sick
    assert newest_healthy(checkpoints, before=step - 1) is None
    cut, _, _ = guarded(run, tmp_path / "cut", start)
    assert timeless(cut.curves) == timeless(whole.curves)
    assert same(weights_of(tmp_path / "cut/model"), weights_of(tmp_path / "whole/model"))


def test_a_run_that_no_rollback_heals_goes_back_to_the_start_five_times_and_ends(tmp_path: Path) -> None:
    run = stage_run(
        "ppo", "tiny_gpt2", *LOOSE, ANY_STEP, *STEERED, SAVING, "method.guard.on_collapse=rollback", steps=8
    )
    kept = Kept(tmp_path)
    with pytest.raises(RunFailure, match="^ppo step 6: .*and 5 rollbacks have not healed it. Change what it names"):
        guarded(run, tmp_path, source_of(run), kept)
    assert [tag for tag in kept.kept if tag.startswith("rollback.")] == [f"rollback.{step}" for step in range(1, 6)]
    assert all(text.startswith("to the start, ") for tag, text in kept.kept.items() if tag.startswith("rollback."))
    state = load_file(tmp_path / "checkpoints/checkpoint-5/model.safetensors")
    start = load_policy(
        run.model, source_of(run), run.quantization, dtype=torch.float32, device="cpu", seed=run.seed
    ).named_parameters()
    assert all(torch.equal(state[f"roles.policy.{name}"], weight) for name, weight in start)
    assert state["value_head.weight"].abs().max() == 0
    assert state["control.target"] == 0.5 / 32 and state["control.seen"] == 0
    assert state["control.coefficient"] > 16e-3


def test_stopping_ends_the_stage_with_the_symptom(tmp_path: Path) -> None:
    """A window of two steps: nothing is judged before the second."""
    words = (*LOOSE, ANY_STEP, "method.guard.window=2", "method.guard.on_collapse=stop")
    with pytest.raises(RunFailure, match=r"^ppo step 2: exp\(policy/log_ratio_size\) is .*\. Change what it names"):
        train(stage_run("ppo", "tiny_gpt2", *words, steps=3), tmp_path)


def test_warning_goes_on_and_tells_a_symptom_once(tmp_path: Path) -> None:
    run = stage_run("ppo", "tiny_gpt2", *LOOSE, ANY_STEP, "method.guard.window=2", steps=4)
    result, told, printed = guarded(run, tmp_path, source_of(run))
    assert len(curve(result, "train/loss")) == 4
    assert result.metrics["final/symptom_steps"] == 3
    assert printed.count("exp(policy/log_ratio_size)") == 1
    assert list(told.kept) == ["collapse.ratio"] and told.first_symptom == 2


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
