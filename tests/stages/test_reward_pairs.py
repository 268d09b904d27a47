"""A reward stage leaves its scores of held-out pairs; what they say is told anew under other settings, untrained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlhf.evaluation.measured import load_findings
from rlhf.evaluation.preference_pairs import SINGLE
from rlhf.examined import examine_job
from rlhf.stages.pairs import PAIRS
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
