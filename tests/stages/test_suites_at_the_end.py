"""The end of a training run: its suites leave numbers in result.json, files beside it, and metrics in the tracker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.place import Place

SUITES = ("evaluation.suites=[text,task]", "evaluation.text.self_bleu_answers=3")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, dict[str, Any]]:
    place = Place(tmp_path_factory.mktemp("ended"))
    return place, place.job("method=sft", *SUITES)


def answers(place: Place) -> dict[str, int]:
    """Files of sampled answers, with the time when each was written or used."""
    found = place.folder.glob("stages/evaluations/*.json")
    return {file.name: file.stat().st_ino for file in found if file.name.startswith(("base-", "sft-"))}


def test_result_json_tells_every_speaker_without_single_answers(ended: tuple[Place, dict[str, Any]]) -> None:
    place, _ = ended
    told = json.loads((place.folder / "job1" / "result.json").read_text())["evaluation"]
    assert [speaker["role"] for speaker in told["speakers"]] == [
        "reference", "base", "policy", "echo", "polite", "shuffled", "random",
    ]  # fmt: skip
    assert list(told["suites"]) == ["text", "task"] and told["failures"] == {}
    exact = told["metrics"]["text/exact_match"]
    assert {"value": 1.0, "n": 4}.items() <= exact["reference"].items()
    assert not {"each", "draws"} & exact["reference"].keys()
    beside = json.loads((place.folder / "job1" / "evaluation.json").read_text())
    assert len(beside["metrics"]["text/exact_match"]["reference"]["each"]) == 4


def test_the_policys_numbers_are_the_runs_own_and_those_of_controls_stand_apart(
    ended: tuple[Place, dict[str, Any]],
) -> None:
    place, outcome = ended
    metrics, told = place.tracked(outcome).data.metrics, outcome["evaluation"]["metrics"]["text/characters"]
    policy = outcome["rows"][-1]["name"]
    assert metrics["text/characters"] == outcome["metrics"]["text/characters"] == told[policy]["value"]
    for role in ("reference", "base", "echo", "random"):
        assert metrics[f"control/{role}/text/characters"] == pytest.approx(told[role]["value"])
    assert not any(name.startswith("control/") for name in outcome["metrics"])


def test_other_suites_sample_nothing_and_no_suite_leaves_nothing(ended: tuple[Place, dict[str, Any]]) -> None:
    place, outcome = ended
    before = answers(place)
    assert len(before) == 2
    other = place.job("method=sft", "evaluation.suites=[task]", "evaluation.task.digits=2")
    without = place.job("method=sft")
    assert answers(place) == before
    assert list(other["evaluation"]["suites"]) == ["task"]
    assert without["evaluation"] == {}
    assert not (place.folder / f"job{place.count}" / "evaluation.json").exists()
    finals = [name for name in outcome["metrics"] if name.startswith("final/")]
    assert [without["metrics"][name] for name in finals] == [outcome["metrics"][name] for name in finals]


def test_a_suite_that_fails_costs_a_warning_and_not_the_run(ended: tuple[Place, dict[str, Any]]) -> None:
    place, _ = ended
    nowhere = Path("nowhere")
    outcome = place.job("method=sft", "evaluation.suites=[text,task]", f"evaluation.text.encoder={nowhere}")
    assert outcome["status"] == "finished"
    assert list(outcome["evaluation"]["failures"]) == ["text"]
    assert any("evaluation.text.encoder" in warning for warning in outcome["warnings"])
    assert "task/placeholders_broken" in outcome["metrics"]
