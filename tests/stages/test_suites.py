"""Suites run over references, models and nonsense: who speaks, what is kept, and what a failing suite leaves alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rlhf.evaluation.controls import references
from rlhf.evaluation.policy import evaluation_prompts
from rlhf.evaluation.result import Evaluation, dump_findings, load_findings
from rlhf.evaluation.suites.preference import WINS
from rlhf.pipeline import Job
from rlhf.stages.device import choose_device
from rlhf.stages.evaluate import Evaluator, Row
from rlhf.stages.speakers import Model
from rlhf.stages.suites import measure
from rlhf.tracking import NullRun, NullTracker
from tests.bench import QUIET, run_of

SPEAKERS = ["reference", "base", "policy", "echo", "polite", "shuffled", "random"]


def evaluator_in(folder: Path, *words: str) -> Evaluator:
    """The evaluator of a job that was never run: its base model is all that it needs."""
    small = ("evaluation.prompts=6", "evaluation.bootstrap=20", "evaluation.judge=none")
    run = run_of("method=sft", *small, *words, store=folder)
    return Evaluator(Job(run, choose_device(run), NullTracker(), NullRun(), QUIET))


def said(evaluator: Evaluator, name: str, role: str, fingerprint: str, texts: Sequence[str]) -> Model:
    base = evaluator.job.base
    return Model(Row(name, role, fingerprint, {}, list(texts), None, None, base, None), evaluator)


def right_answers(evaluator: Evaluator) -> list[str]:
    return references(evaluation_prompts(evaluator.job.corpus("demonstration"), evaluator.spec))


def two(evaluator: Evaluator) -> list[Model]:
    """A base model that says nothing, and a policy that knows every reference answer."""
    right = right_answers(evaluator)
    return [
        said(evaluator, "base", "base", "b" * 64, [""] * len(right)),
        said(evaluator, "policy", "policy", "p" * 64, right),
    ]


def kept(folder: Path) -> dict[str, Any]:
    return {file.name: json.loads(file.read_text()) for file in sorted((folder / "evaluations").glob("*.json"))}


def value(found: Evaluation, speaker: str, metric: str) -> float:
    return found.values_of(speaker)[metric]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evaluation]:
    folder = tmp_path_factory.mktemp("store")
    return folder, measure(two(evaluator_in(folder)), ["text"])


def test_everybody_answers_the_same_questions_and_nonsense_comes_last(place: tuple[Path, Evaluation]) -> None:
    _, found = place
    assert [voice.name for voice in found.speakers] == SPEAKERS
    assert [voice.role for voice in found.speakers] == SPEAKERS
    assert found.questions == 6 and not found.failures
    assert list(found.suites["text"]) == SPEAKERS
    assert [found.suites["text"][name].scores["text/exact_match"].n for name in SPEAKERS] == [6] * 7


def test_who_says_what_the_references_say_scores_as_they_do(place: tuple[Path, Evaluation]) -> None:
    _, found = place
    assert found.values_of("policy") == found.values_of("reference")
    assert value(found, "policy", "text/exact_match") == 1.0
    assert value(found, "policy", "text/bleu") == pytest.approx(100.0)
    assert value(found, "base", "text/empty") == 1.0  # an empty answer is legal everywhere
    assert value(found, "base", "text/exact_match") == 0.0
    assert value(found, "shuffled", "text/exact_match") == 0.0  # no answer went back to its own question
    assert value(found, "polite", "text/distinct_1") < value(found, "reference", "text/distinct_1")


def test_likelihood_is_that_of_the_base_model(place: tuple[Path, Evaluation]) -> None:
    """Nats per token of the references, against the sum that `held_out_nll` computes from the model itself."""
    from rlhf.evaluation.policy import held_out_nll

    folder, found = place
    evaluator = evaluator_in(folder)
    rows = evaluation_prompts(evaluator.job.corpus("demonstration"), evaluator.spec)
    model = evaluator.load(evaluator.job.base)
    assert value(found, "reference", "text/nll") == pytest.approx(
        held_out_nll(model, evaluator.codec, rows, 3), rel=1e-5
    )


def test_findings_are_taken_from_the_store_and_not_computed_again(place: tuple[Path, Evaluation]) -> None:
    folder, found = place
    before = kept(folder)
    assert len(before) == len(SPEAKERS)
    (name,) = [name for name in before if name.startswith("text-echo-")]
    changed = before[name]
    changed["findings"]["scores"]["text/bleu"]["value"] = 12.5
    (folder / "evaluations" / name).write_text(json.dumps(changed))
    again = measure(two(evaluator_in(folder)), ["text"])
    assert value(again, "echo", "text/bleu") == 12.5
    assert again.values_of("policy") == found.values_of("policy")
    assert list(kept(folder)) == list(before)
    anew = measure(two(evaluator_in(folder, "reuse=false")), ["text"])
    assert anew.values_of("echo") == found.values_of("echo")


def test_how_a_judge_compares_models_is_kept_too_and_loads_no_judge_again(tmp_path: Path) -> None:
    first = evaluator_in(tmp_path, "evaluation.judge=gold")
    found = measure(two(first), ["preference"])
    assert "judge" in vars(first)
    (line,) = found.suites["preference"]["policy"].tables[WINS].rows
    assert line[0] == "base"
    (name,) = [name for name in kept(tmp_path) if name.startswith("preference-compared-")]
    changed = kept(tmp_path)[name]
    changed["findings"]["policy"]["tables"][WINS]["rows"] = [["base", 0.25]]
    (tmp_path / "evaluations" / name).write_text(json.dumps(changed))
    again = evaluator_in(tmp_path, "evaluation.judge=gold")
    taken = measure(two(again), ["preference"]).suites["preference"]
    assert taken["policy"].tables[WINS].rows == (("base", 0.25),)
    assert taken["base"].tables == found.suites["preference"]["base"].tables
    assert "judge" not in vars(again)
    models = two(again)
    other = said(again, "other", "policy", "o" * 64, ["Yes."] * 6)
    anew = measure([models[0], other, models[1]], ["preference"]).suites["preference"]
    assert [row[0] for row in anew["policy"].tables[WINS].rows] == ["base", "other"]


def test_only_what_was_said_and_how_it_is_measured_decides_what_is_computed(place: tuple[Path, Evaluation]) -> None:
    folder, _ = place
    before = set(kept(folder))
    models = two(evaluator_in(folder))
    models[1] = said(models[1].evaluator, "policy", "policy", "q" * 64, ["Yes."] * 6)  # another policy
    measure(models, ["text"])
    assert [name.rpartition("-")[0] for name in set(kept(folder)) - before] == ["text-policy"]
    before = set(kept(folder))
    measure(two(evaluator_in(folder, "evaluation.text.window=9", "evaluation.table_rows=3")), ["text"])
    assert len(set(kept(folder)) - before) == len(SPEAKERS)


def test_what_was_learnt_from_other_rows_is_found_anew(tmp_path: Path) -> None:
    measure(two(evaluator_in(tmp_path)), ["task"])
    (echo,) = [name for name in kept(tmp_path) if name.startswith("task-echo-")]
    stale = kept(tmp_path)[echo]
    true = dict(stale["findings"]["scores"])
    assert list(stale["trained_on"]) == ["demonstration"]
    stale["trained_on"] = {"demonstration": "of other rows"}
    stale["findings"]["scores"] = {}
    (tmp_path / "evaluations" / echo).write_text(json.dumps(stale))
    measure(two(evaluator_in(tmp_path)), ["task"])
    assert kept(tmp_path)[echo]["findings"]["scores"] == true


def test_a_suite_that_fails_is_told_by_its_key_and_takes_nothing_from_the_others(tmp_path: Path) -> None:
    evaluator = evaluator_in(tmp_path, f"evaluation.text.encoder={tmp_path / 'nowhere'}")
    found = measure(two(evaluator), ["text", "task"])
    assert list(found.suites) == ["task"]
    (line,) = found.failures.values()
    assert list(found.failures) == ["text"]
    assert "evaluation.text.encoder" in line and "\n" not in line


def test_a_live_suite_measures_models_alone(tmp_path: Path) -> None:
    words = ("evaluation.latency.questions=1", "evaluation.latency.warmup=0", "evaluation.max_new_tokens=4")
    found = measure(two(evaluator_in(tmp_path, *words)), ["latency"])
    assert not found.failures
    assert list(found.suites["latency"]) == ["base", "policy"]


def test_a_control_that_two_runs_share_speaks_once_and_names_stay_apart(tmp_path: Path) -> None:
    evaluator = evaluator_in(tmp_path)
    right = right_answers(evaluator)
    models = [
        said(evaluator, "base", "base", "b" * 64, [""] * 6),
        said(evaluator, "one", "policy", "1" * 64, right),
        said(evaluator, "base", "base", "b" * 64, [""] * 6),
        said(evaluator, "two", "policy", "2" * 64, right),
        said(evaluator, "base", "base", "b" * 64, ["No."] * 6),  # asked with other lengths of its prompts
    ]
    names = [voice.name for voice in measure(models, []).speakers]
    assert names == ["reference", "base", "base'", "one", "two", "echo", "polite", "shuffled", "random"]


def test_one_question_leaves_out_what_needs_two(tmp_path: Path) -> None:
    evaluator = evaluator_in(tmp_path, "evaluation.prompts=1")
    found = measure([said(evaluator, "base", "base", "b" * 64, ["Yes."])], ["text"])
    assert "shuffled" not in [voice.name for voice in found.speakers]
    assert any("shuffled" in note for note in found.notes)
    assert not found.failures


def test_findings_survive_their_file(place: tuple[Path, Evaluation]) -> None:
    _, found = place
    findings = found.suites["text"]["echo"]
    again = load_findings(json.loads(json.dumps(dump_findings(findings, whole=True))))
    assert again.scores == dict(findings.scores) and again.notes == findings.notes
    assert list(again.tables) == list(findings.tables)


def test_a_summary_leaves_out_what_only_comparing_in_pairs_needs(place: tuple[Path, Evaluation]) -> None:
    _, found = place
    short, whole = found.dump(whole=False), found.dump(whole=True)
    summary = set(short["metrics"]["text/exact_match"]["echo"])
    assert {"value", "n", "low", "high"} <= summary and not {"each", "draws"} & summary
    assert len(whole["metrics"]["text/exact_match"]["echo"]["each"]) == 6
    assert short["suites"]["text"]["metrics"][0] in short["metrics"]
