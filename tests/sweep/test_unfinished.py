"""What is known of a sweep from its folder: which is gone on with, and which job would come out the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rlhf import job, unfinished
from rlhf.compose import jobs, parse_words
from rlhf.config import Run
from rlhf.errors import UserError
from rlhf.launchers.endings import read_outcome, write_outcome
from rlhf.lineage import Lineage
from rlhf.unfinished import Record, begin_attempt, claim, equal_jobs, last_attempt, named_sweep, same_sweep

WORDS = ["-m", "method.beta=0.1,0.2"]
RECORD = Record("abc123", WORDS, 1.0, "run", 2, "digest", reported=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep of two jobs that have finished."""
    monkeypatch.chdir(tmp_path)
    found = Path("multirun/2026-11-21/12-00-00-abc1")
    RECORD.write(found)
    for number in range(2):
        write_outcome(found / str(number), {"status": "finished"})
    return found


def test_a_finished_sweep_is_begun_anew(folder: Path) -> None:
    assert same_sweep(WORDS, "digest") is None
    with pytest.raises(UserError, match="no unfinished sweep"):
        named_sweep(None)


@pytest.mark.parametrize("status", ["failed", "interrupted", None])
def test_one_that_lacks_a_job_is_gone_on_with(folder: Path, status: str | None) -> None:
    (folder / "1" / "result.json").unlink()
    if status:
        write_outcome(folder / "1", {"status": status})
    assert same_sweep(WORDS, "digest") == folder and named_sweep(None)[0] == folder
    assert same_sweep([*WORDS, "seed=1"], "digest") is None and same_sweep(WORDS, "other") is None


def test_one_that_was_killed_between_its_last_job_and_its_report_is_gone_on_with(folder: Path) -> None:
    replace(RECORD, reported=False).write(folder)
    assert same_sweep(WORDS, "digest") == folder and named_sweep(None)[0] == folder


def test_one_that_runs_is_left_alone(folder: Path) -> None:
    replace(RECORD, reported=False).write(folder)
    lock = claim(folder)
    assert lock is not None and claim(folder) is None
    assert same_sweep(WORDS, "digest") is None
    with pytest.raises(UserError, match="another process is running it"):
        named_sweep("abc1")
    lock.release()
    assert named_sweep("abc1")[0] == folder


def test_a_search_is_finished_when_it_says_so(folder: Path) -> None:
    for state, waits in (("running", True), ("complete", False), ("ended early", False)):
        (folder / "search.json").write_text(json.dumps({"state": state}))
        assert unfinished._unfinished(folder, replace(RECORD, search={}, jobs=9)) == waits


def test_attempts_are_known_before_their_runs(tmp_path: Path) -> None:
    assert last_attempt(tmp_path) is None
    assert begin_attempt(tmp_path, "one") == [] and begin_attempt(tmp_path, "two") == ["one"]
    assert last_attempt(tmp_path) == "two"
    (tmp_path / unfinished.ATTEMPTS).write_text("")  # a kill before the first was noted
    assert last_attempt(tmp_path) is None


def test_a_torn_result_is_none(tmp_path: Path) -> None:
    write_outcome(tmp_path, {"status": "finished"})
    assert read_outcome(tmp_path) == {"status": "finished"}
    for torn in ("", '{"status": "fin', "[]"):
        (tmp_path / "result.json").write_text(torn)
        assert read_outcome(tmp_path) is None


def run_of(*words: str) -> Run:
    [(_, run)] = jobs(parse_words([*words, "hardware=cpu"]))
    return run


def identity(run: Run, data: str = "data") -> str:
    return job._identity(run, Lineage(run, "cpu", "fp32", lambda shape: f"{data} {shape}"))


def test_a_job_comes_out_the_same_unless_what_decides_it_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is tracked and what it reuses decide nothing; how its policy is measured does."""
    before = identity(run_of())
    assert identity(run_of("tracking=none", "reuse=false")) == before
    for words in (("method.beta=0.7",), ("upstream.sft.trainer.learning_rate=0.5",), ("evaluation.prompts=7",)):
        assert identity(run_of(*words)) != before, words
    assert identity(run_of(), "other") != before
    judge = identity(run_of("method=reward"))
    monkeypatch.setattr(job, "source_digest", lambda name: "other code")
    assert identity(run_of()) != before
    assert identity(run_of("method=reward")) == judge  # it is not measured by that code


def test_jobs_that_ask_for_the_same_in_other_words_are_equal() -> None:
    found = jobs(parse_words(["-m", "method=dpo", "method.beta=0.1,0.10,0.2", "seed=1,2"]))
    assert equal_jobs(found) == [[1, 3], [2, 4]]
    assert equal_jobs(found[:2]) == []
