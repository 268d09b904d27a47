"""PPO through the whole pipeline: where its rewards come from, what is trained for it, reused and recorded."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from rlhf.errors import UserError
from rlhf.evaluation.ppo.metrics import PPO_METRICS, REWARD_SOURCE
from rlhf.ppo.sources.functions import FIRST_READ
from tests.place import CAUSES, Place

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("ppo-pipeline"))


@pytest.fixture(scope="module")
def ppo(place: Place) -> dict[str, Any]:
    return place.job("method=ppo", "evaluation.judge=reward")


def test_the_reward_stage_that_teaches_ppo_judges_it_as_well_and_is_trained_once(place: Place, ppo) -> None:
    assert not ppo["reused"]
    names = sorted(name.partition("-")[0] for name in place.stages())
    assert names.count("reward") == names.count("sft") == names.count("ppo") == 1
    tags = place.tracked(ppo).data.tags
    assert {"built.sft", "built.reward"} <= tags.keys()
    assert place.client.get_run(tags["built.reward"]).data.tags["built_for"] == ppo["run_id"]
    assert [stage["name"].partition("-")[0] for stage in ppo["upstream"]] == ["sft", "reward"]
    stages = [place.stage_metrics(method) for method in ("sft", "reward", "ppo")]
    for cause in CAUSES:
        whole = sum(stage[f"cost/{cause}"] for stage in stages)
        assert place.tracked(ppo).data.metrics[f"cost/pipeline_{cause}"] == pytest.approx(whole)


def test_ppo_reports_what_every_policy_does_and_records_its_steps_and_samples(place: Place, ppo) -> None:
    found = place.tracked(ppo).data
    names = "loss nll reward reward_gold kl kl_per_token win_rate response_tokens eos_share distinct_2"
    assert [name for name in names.split() if f"final/{name}" not in found.metrics] == []
    assert [name for name in CAUSES if found.metrics.get(f"cost/{name}", -1) < 0] == []
    for name in {metric.name for metric in PPO_METRICS} - {REWARD_SOURCE.name}:
        history = place.client.get_metric_history(ppo["run_id"], f"train/{name}")
        assert [point.step for point in history] == [1, 2], name
    shown = [item["path"] for item in json.loads(found.tags["mlflow.loggedArtifacts"])]
    assert {"samples_step_00001.json", "samples_step_00002.json", "samples.json"} <= set(shown)
    table = json.loads(
        Path(place.client.download_artifacts(ppo["run_id"], shown[shown.index("samples_step_00001.json")])).read_text()
    )
    assert table["columns"] == ["prompt", "answer", "score", "gold"]
    assert len(table["data"]) == 2


def ppo_with(place: Place, rewards: str, *words: str) -> dict[str, Any]:
    return place.job("method=ppo", f"method.rewards={rewards}", "evaluation.judge=none", *words)


SHORT = "short: {kind: function, weight: %s, name: 'rlhf.ppo.builtin:length_penalty'}"
GOLD = "gold: {kind: gold, weight: %s}"


def test_rewards_add_up_by_their_weights(place: Place) -> None:
    """The first step's answers are the start's, whatever rewards them."""
    both = f"{{{GOLD % 0.5}, {SHORT % 0.1}}}"
    curves = [ppo_with(place, rewards)["curves"] for rewards in (f"{{{GOLD % 1.0}}}", f"{{{SHORT % 1.0}}}", both)]
    gold, short, found = (curve["train/reward/score"][0][1] for curve in curves)
    assert found == pytest.approx(0.5 * gold + 0.1 * short, abs=1e-6)
    assert gold == pytest.approx(curves[1]["train/reward/gold"][0][1], abs=1e-6)  # known, and not trained on
    assert short < -1


def test_a_finished_judge_of_another_family_is_followed_by_its_bytes(place: Place, tmp_path: Path) -> None:
    judge = place.job("method=reward", "model=tiny_bert", "method.starts_from=base")
    folder = tmp_path / "judge"
    shutil.copytree(judge["stage"], folder)
    rewards = f"{{judge: {{kind: stage, weight: 1.0, folder: {folder}}}}}"
    first = ppo_with(place, rewards)
    assert [stage["name"].partition("-")[0] for stage in first["upstream"]] == ["sft"]  # it was finished before
    assert ppo_with(place, rewards)["reused"]
    (folder / "notes.txt").write_text("not what judges")
    assert ppo_with(place, rewards)["reused"]
    vocabulary = folder / "model" / "config.json"
    vocabulary.write_text(vocabulary.read_text() + " ")
    result = json.loads((folder / "result.json").read_text())
    result["sizes"]["config.json"] += 1
    (folder / "result.json").write_text(json.dumps(result))
    other = ppo_with(place, rewards)
    assert not other["reused"] and other["stage"] != first["stage"]


def test_a_function_of_the_users_is_followed_by_its_module(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "pipeline_test_reward.py"
    module.write_text("def letters(prompts, answers):\n    return [len(answer) for answer in answers]\n")
    rewards = "{letters: {kind: function, weight: 1.0, name: 'pipeline_test_reward:letters'}}"
    first = ppo_with(place, rewards)
    assert first["curves"]["train/reward/score"][0][1] > 0
    assert ppo_with(place, rewards)["reused"]
    module.write_text(module.read_text().replace("len(answer)", "-len(answer)"))
    with pytest.raises(UserError, match="changed since this sweep began"):  # it would run the code that it has loaded
        ppo_with(place, rewards)
    FIRST_READ.clear()  # as in another process
    sys.modules.pop("pipeline_test_reward")
    other = ppo_with(place, rewards)
    assert not other["reused"] and other["stage"] != first["stage"]


def test_a_weight_of_a_reward_is_a_setting_of_ppo_alone(place: Place, ppo) -> None:
    before = place.stages()
    changed = place.job("method=ppo", "evaluation.judge=reward", "method.rewards.judge.weight=2.0")
    new = place.stages().keys() - before.keys()
    assert [name.partition("-")[0] for name in new] == ["ppo"] and not changed["reused"]
