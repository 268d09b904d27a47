"""PPO on every family, in full and under adapters: what trains moves, the rest stays, the policy is saved."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from rlhf.config import Run
from rlhf.evaluation.ppo.metrics import PPO_METRICS, REWARD_SOURCE, reward_source
from rlhf.models.load import Source, load_policy
from rlhf.models.sample import sample_ids
from rlhf.stages import ppo
from rlhf.stages.context import StageContext, StageResult
from tests.bench import (
    POLICIES,
    codec_of,
    context_of,
    corpus_of,
    curve,
    few,
    run_of,
    same,
    source_of,
    stage_run,
    timeless,
    toy,
    train,
    weights_of,
)

TRAINERS_OWN = {"train/loss", "train/grad_norm", "train/learning_rate"}
ROOT = Path(__file__).resolve().parents[2]


class Seen:
    """A stage that was assembled: its learner, and the weights as they were loaded."""

    def __init__(self, context: StageContext) -> None:
        self.context = context
        self.trainer = ppo.assemble(context)
        self.learner = self.trainer.learner
        self.before = {name: weight.data.clone() for name, weight in self.learner.named_parameters()}

    def train(self) -> StageResult:
        return ppo.complete(self.context, self.trainer)

    def moved(self) -> tuple[list[str], list[str]]:
        """Names of weights that train and of weights that do not, each only where they should not be as they are."""
        same_as_before = {name: torch.equal(w.data, self.before[name]) for name, w in self.learner.named_parameters()}
        trained = {name for name, _ in self.learner.trained()}
        still = [name for name in trained if same_as_before[name]]
        return still, [name for name in self.before.keys() - trained if not same_as_before[name]]


def loaded(run: Run, saved: Path) -> Any:
    """The policy that a stage saved."""
    base = source_of(run)
    source = Source(saved, None, "folder") if run.adapter.name == "none" else Source(base.base, saved, base.kind)
    return load_policy(run.model, source, run.quantization, dtype=torch.float32, device="cpu", seed=run.seed)


def answers(policy: Any, run: Run) -> list[list[int]]:
    codec = codec_of(run)
    prompts = [codec.prompt_ids(row.prompt) for row in few("demonstration").test]
    luck = torch.rand(len(prompts), 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return sample_ids(policy, codec, prompts, luck, temperature=1.0, batch_size=len(prompts)).ids


def check_stage(run: Run, folder: Path) -> Seen:
    """Train, check what moved, and that the saved policy answers as the trained one."""
    seen = Seen(context_of(run, folder))
    result = seen.train()
    assert all(math.isfinite(value) for points in result.curves.values() for _, value in points)
    assert [step for step, _ in result.curves["train/loss"]] == list(range(1, run.method.trainer["max_steps"] + 1))
    assert seen.moved() == ([], [])
    assert answers(loaded(run, folder / "model"), run) == answers(seen.learner.roles.policy, run)
    return seen


@pytest.mark.parametrize("critic", ["shared", "separate"])
@pytest.mark.parametrize("model", POLICIES)
def test_full_training_moves_policy_and_critic_and_leaves_the_reference(
    model: str, critic: str, tmp_path: Path
) -> None:
    seen = check_stage(stage_run("ppo", model, f"method.critic.kind={critic}", steps=2), tmp_path)
    saved = weights_of(tmp_path / "model")
    prefixes = {name.split(".")[1] for name in seen.before if name.startswith("roles.")}
    assert prefixes == {"policy", "reference"} | ({"critic"} if critic == "separate" else set())
    assert not [name for name in saved if name.startswith(("roles", "value_head", "critic"))]


LORA = [(model, critic, "none") for model in POLICIES for critic in ("shared", "separate")]
LORA += [("tiny_gpt2", "shared", "int8"), ("tiny_gpt2", "separate", "nf4")]
LORA_SLOW = [("tiny_llama", "separate", "int8"), ("tiny_llama", "shared", "nf4")]
LORA_SLOW += [("tiny_mt5", "shared", "int8"), ("tiny_mt5", "separate", "nf4")]


@pytest.mark.parametrize(
    ("model", "critic", "quantization"),
    [*LORA, *(pytest.param(*case, marks=pytest.mark.slow) for case in LORA_SLOW)],
)
def test_adapters_train_on_one_frozen_base_and_only_the_policy_is_saved(
    model: str, critic: str, quantization: str, tmp_path: Path
) -> None:
    if quantization != "none":
        pytest.importorskip("bitsandbytes")
    words = ("adapter=lora", f"quantization={quantization}", f"method.critic.kind={critic}")
    seen = check_stage(stage_run("ppo", model, *words, steps=3), tmp_path)
    assert seen.learner.roles.reference is None and seen.learner.roles.critic is None  # one base serves all
    assert_only_the_policy(weights_of(tmp_path / "model"), tmp_path / "model")


def assert_only_the_policy(saved: dict[str, torch.Tensor], folder: Path) -> None:
    assert saved and all(name.endswith((".lora_A.weight", ".lora_B.weight")) for name in saved)
    assert not [name for name in saved if "critic" in name or "reference" in name]
    assert all(weight.abs().max() > 0 for weight in saved.values())
    assert [path.name for path in folder.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("model", ["tiny_gpt2", "tiny_mt5"])
def test_a_start_from_an_adapter_is_the_reference_and_stays_so(model: str, tmp_path: Path) -> None:
    """KL is 0 at step 0 against the SFT adapter, not the bare base; of three adapters one is saved."""
    sft = stage_run("sft", model, "adapter=lora", "++method.trainer.warmup_steps=0", steps=4)
    train(sft, tmp_path / "sft")
    base = source_of(sft)
    start = Source(base.base, tmp_path / "sft/model", base.kind)
    run = stage_run("ppo", model, "adapter=lora", "method.critic.kind=separate", steps=3)
    seen = Seen(context_of(run, tmp_path / "ppo", None, start))
    result = seen.train()
    assert set(seen.learner.roles.policy.peft_config) == {"default", "reference", "critic"}
    assert abs(curve(result, "train/kl/k1_policy_to_reference")[0]) < 1e-4
    assert curve(result, "train/kl/k3_policy_to_reference")[-1] > 0
    assert seen.moved() == ([], [])
    saved, started = weights_of(tmp_path / "ppo/model"), weights_of(tmp_path / "sft/model")
    assert_only_the_policy(saved, tmp_path / "ppo/model")
    reference = {name: w.data for name, w in seen.learner.named_parameters() if ".reference." in name}
    for name, weight in started.items():
        [own] = [w for key, w in reference.items() if key.replace(".reference.", ".").endswith(name)]
        assert torch.equal(own, weight)
        assert not torch.equal(saved[name], weight)


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_the_seed_decides_curves_and_weights_bit_for_bit(adapter: str, tmp_path: Path) -> None:
    results = {}
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        words = (f"adapter={adapter}", f"seed={seed}", "method.minibatches=2")
        results[name] = train(stage_run("ppo", "tiny_gpt2", *words, steps=3), tmp_path / name)
    first, again, other = (weights_of(tmp_path / name / "model") for name in ("first", "again", "other"))
    assert timeless(results["first"].curves) == timeless(results["again"].curves)
    assert same(first, again)
    assert not same(first, other)
    assert curve(results["first"], "train/reward/score") != curve(results["other"], "train/reward/score")


SECOND = "+method.rewards.varied={kind: function, weight: 0.5, name: 'rlhf.ppo.builtin:repetition_penalty'}"


def test_every_step_logs_every_metric_of_the_page_and_nothing_else(tmp_path: Path) -> None:
    """With two sources on a data set with a gold reward; else what belongs to these is missing, and nothing more."""
    known = {f"train/{metric.name}" for metric in PPO_METRICS} - {f"train/{REWARD_SOURCE.name}"}
    own = {f"train/{reward_source(name)}" for name in ("short", "varied")}
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    rows = few("demonstration")
    gold = toy(stage_run("ppo", "tiny_gpt2", steps=2)).gold
    for folder, words, corpus, expected in (
        ("all", [SECOND], corpus_of(list(rows.train), list(rows.test), gold), known | own),
        ("least", [], rows, known - {"train/reward/gold", "train/reward/gold_std"}),
    ):
        result = train(stage_run("ppo", "tiny_gpt2", *words, steps=2), tmp_path / folder, corpus)
        logged = {name for name in result.curves if name.startswith("train/")} - TRAINERS_OWN
        assert logged == expected
        assert {len(result.curves[name]) for name in logged} == {2}
        assert [name for name in logged - own if f"`{name.removeprefix('train/')}`" not in page] == []
        if own <= expected:
            short, varied = (curve(result, name) for name in sorted(own))
            weighted = [one + 0.5 * other for one, other in zip(short, varied, strict=True)]
            assert curve(result, "train/reward/score") == pytest.approx(weighted, abs=1e-5)
            assert all(value <= -1 for value in short) and all(-1 <= value <= 0 for value in varied)


def test_samples_are_shown_for_the_same_prompts_at_the_first_and_every_few_steps(tmp_path: Path) -> None:
    tables: dict[str, tuple[list[str], list[list[Any]]]] = {}
    histograms: dict[str, list[list[Any]]] = {}

    class Kept(type(context_of(stage_run("ppo", "tiny_gpt2"), tmp_path).tracked)):  # type: ignore[misc]
        def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
            if name.startswith("samples"):
                tables[name] = columns, rows
            else:
                histograms[name] = rows

    run = stage_run("ppo", "tiny_gpt2", "method.samples.every=2", steps=4)
    ppo.run(replace(context_of(run, tmp_path / "work"), tracked=Kept()))
    assert sorted(histograms) == ["rewards_step_00001", "rewards_step_00002", "rewards_step_00004"]
    assert all(sum(row[3] for row in rows) == run.method.prompts_per_step for rows in histograms.values())
    assert sorted(tables) == ["samples_step_00001", "samples_step_00002", "samples_step_00004"]
    assert {tuple(columns) for columns, _ in tables.values()} == {("prompt", "answer", "score")}
    prompts = [[row[0] for row in rows] for _, rows in tables.values()]
    assert len(prompts[0]) == 2 and prompts[0] == prompts[1] == prompts[2]
    for _, rows in tables.values():
        for _, text, score in rows:
            assert score == -len(text.split())


def test_showing_samples_and_evaluating_change_nothing_of_training(tmp_path: Path) -> None:
    """Their random numbers are their own."""
    plain = train(stage_run("ppo", "tiny_gpt2", steps=3), tmp_path / "plain")
    words = ("method.samples.every=1", "method.samples.prompts=3", "++method.trainer.eval_steps=1")
    shown = train(stage_run("ppo", "tiny_gpt2", *words, steps=3), tmp_path / "shown")
    assert same(weights_of(tmp_path / "plain/model"), weights_of(tmp_path / "shown/model"))
    assert [step for step, _ in shown.curves["eval/reward/score"]] == [1, 2, 3]
    curves = [{k: v for k, v in timeless(one.curves).items() if k.startswith("train/")} for one in (plain, shown)]
    assert curves[0] == curves[1]


@pytest.mark.parametrize(("rows", "told"), [(31, True), (32, False)])
def test_prompts_that_a_step_must_repeat_are_told(rows: int, told: bool) -> None:
    method = run_of("method=ppo", "method.prompts_per_step=32").method
    stream = io.StringIO()
    ppo.tell_repeats(method, rows, Console(file=stream, width=200))
    assert ("more than the 31 training rows" in stream.getvalue()) == told
