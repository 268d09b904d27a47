"""A reward stage leaves its scores of held-out pairs; what they say is told anew under other settings, untrained."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from rlhf.evaluation.preference.pairs import SINGLE
from rlhf.evaluation.result import load_findings
from rlhf.recording.reward_pairs import examine_job
from rlhf.stages import reward_pairs as pairs
from rlhf.stages.reward_pairs import PAIRS
from tests.stages.test_judge import job_of

WORDS = ("method=reward", "method.starts_from=base", "evaluation.bootstrap=50")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def test_scores_are_kept_and_told_by_the_settings_of_who_asks(store: Path, tmp_path: Path) -> None:
    first = job_of(store, *WORDS)
    finished = first.build(first.run.method, upstream=False)
    kept = json.loads((finished.folder / PAIRS).read_text(encoding="utf-8"))
    rows = first.corpus("preference").test
    assert {name: len(values) for name, values in kept.items()} == dict.fromkeys(kept, len(rows))
    margins = [chosen - rejected for chosen, rejected in zip(kept["chosen"], kept["rejected"], strict=True)]
    assert sum(margins) / len(margins) == pytest.approx(finished.result["metrics"]["final/margin"])

    other = job_of(store, *WORDS, "evaluation.preference.subsets=[language]", "evaluation.preference.shown=3")
    again = other.build(other.run.method, upstream=False)
    assert again.reused
    told = examine_job(other, again, tmp_path)
    found = load_findings(told["pairs"])
    assert told["metrics"] == {name: score.value for name, score in found.scores.items()}
    assert len(found.tables[SINGLE].rows) == 3
    table = found.tables["accuracy by language"]
    assert sum(row[-1] for row in table.rows) == len(rows) and "accuracy by intent" not in found.tables
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")
    assert len(told["lines"]) >= 3


def test_a_policy_has_no_pairs_of_its_own(store: Path, tmp_path: Path) -> None:
    job = job_of(store, "method=sft", "++method.trainer.max_steps=1")
    told = examine_job(job, job.build(job.run.method, upstream=False), tmp_path)
    assert told == {"metrics": {}, "lines": [], "pairs": {}}


def test_scores_that_are_no_numbers_leave_a_note_and_the_run_its_model(store: Path, tmp_path: Path) -> None:
    job = job_of(store, *WORDS)
    finished = job.build(job.run.method, upstream=False)
    kept = json.loads((finished.folder / PAIRS).read_text(encoding="utf-8"))
    for wrong in (math.nan, math.inf):
        kept["chosen"][0] = wrong
        (tmp_path / PAIRS).write_text(json.dumps(kept), encoding="utf-8")
        told = examine_job(job, replace(finished, folder=tmp_path), tmp_path)
        assert told["metrics"] == {}
        (line,) = told["lines"]
        assert f"the margin of 1 of {len(kept['chosen'])} is not finite" in line


def test_a_failure_of_examining_loses_no_trained_model(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault is put where pairs are examined; when it is, the model must lie in its folder already."""
    job = job_of(store, *WORDS, "seed=7")
    found: list[Path] = []

    def broken(*_: object) -> None:
        found.extend(store.glob("reward-*/model/model.safetensors"))
        raise ZeroDivisionError("no pair\nat all")

    found_before = len(list(store.glob("reward-*/model/model.safetensors")))
    monkeypatch.setattr(pairs, "examine", broken)
    finished = job.build(job.run.method, upstream=False)
    assert len(found) == found_before + 1
    assert (finished.folder / "model/model.safetensors").exists() and finished.result["metrics"]["final/accuracy"] >= 0
    (line,) = examine_job(job, finished, tmp_path)["lines"]
    assert "ZeroDivisionError: no pair at all" in line
