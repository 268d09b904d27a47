"""`rlhf evaluate`: finished runs measured together by id, folder or `last`, and what it refuses in one line."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from commandline import QUICK, Here, refused_without, tracked

SMALL = ("evaluation.bootstrap=20", "evaluation.text.self_bleu_answers=4")
SUITES = "evaluation.suites=[text,task]"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A folder with two SFT runs of other seeds and a reward model, trained inside this process."""
    from rlhf.__main__ import train
    from rlhf.report.record import read_record

    folder = tmp_path_factory.mktemp("trained")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    for words in (("method=reward", "method.starts_from=base"), ("method=sft", "seed=1"), ("method=sft", "seed=2")):
        train([*words, *QUICK, *SMALL])
    patch.undo()
    homes = sorted(file.parent for file in folder.glob("outputs/runs/*/*/result.json"))
    outcomes = [dict(read_record([home]).jobs[0].outcome) for home in homes]
    return {"folder": folder, "homes": homes, "outcomes": outcomes}


@contextmanager
def moved(path: Path) -> Iterator[None]:
    aside = path.with_name(path.name + "-aside")
    shutil.move(path, aside)
    try:
        yield
    finally:
        shutil.move(aside, path)


def newest(folder: Path) -> Path:
    return max(folder.glob("outputs/evaluations/*"))


def test_runs_are_measured_together_and_seeds_share_a_group(here: Here, trained: dict[str, Any]) -> None:
    folder, outcomes = trained["folder"], trained["outcomes"]
    first, second = (outcome["run_id"] for outcome in outcomes[1:])
    done = here("evaluate", f"run={first},{second[:12]}", SUITES, folder=folder)
    assert done.code == 0, done.err
    assert "text" in done.out and "random tokens" in done.out
    values = json.loads((newest(folder) / "evaluation.json").read_text())
    assert [voice["role"] for voice in values["speakers"]] == [
        "reference", "base", "policy", "policy", "echo", "polite", "shuffled", "random",
    ]  # fmt: skip
    policies = [voice for voice in values["speakers"] if voice["role"] == "policy"]
    assert policies[0]["group"] == policies[1]["group"]
    assert [voice["seed"] for voice in policies] == [1, 2]
    assert [run["run_id"] for run in values["runs"]] == [first, second]
    assert values["metrics"]["text/exact_match"]["reference"]["value"] == 1.0
    assert {file.name for file in newest(folder).iterdir()} == {
        "evaluation.json", "evaluation.md", "evaluation.csv", "evaluation.html",
    }  # fmt: skip
    rows = list(csv.DictReader((newest(folder) / "evaluation.csv").open(encoding="utf-8")))
    assert len(rows) > len(values["metrics"])


def test_a_run_is_compared_with_the_one_that_is_named(here: Here, trained: dict[str, Any]) -> None:
    folder, homes = trained["folder"], trained["homes"]
    runs = f"run={homes[1]},{homes[2]}"
    assert here("evaluate", runs, f"against={homes[1]}", "evaluation.suites=[text]", folder=folder).code == 0
    values = json.loads((newest(folder) / "evaluation.json").read_text())
    assert values["baseline"] == values["runs"][0]["speaker"] != values["runs"][1]["speaker"]
    rows = list(csv.DictReader((newest(folder) / "evaluation.csv").open(encoding="utf-8")))
    assert {row["baseline"] for row in rows} == {"", values["baseline"]}
    for word, parts in (
        ("against=last", ("against=last", "none of the runs", f"against={homes[1]}")),
        (f"against={homes[1]} against={homes[2]}", ("it is there twice",)),
    ):
        here("evaluate", runs, *word.split(), folder=folder).refused(2, *parts)
    here("evaluate", "run=last", "against=last", folder=folder).refused(2, "one run alone", "run=A,B against=A")


def test_the_measured_run_gets_its_numbers_and_the_evaluation_a_run_of_its_own(
    here: Here, trained: dict[str, Any]
) -> None:
    folder, outcome = trained["folder"], trained["outcomes"][2]
    assert here("evaluate", "run=last", SUITES, folder=folder).code == 0
    values = json.loads((newest(folder) / "evaluation.json").read_text())
    own = values["runs"][0]["speaker"]
    measured = next(run for run in tracked(folder) if run.info.run_id == outcome["run_id"])
    found = values["metrics"]["text/characters"]
    assert measured.data.metrics["text/characters"] == pytest.approx(found[own]["value"])
    assert measured.data.metrics["control/echo/text/characters"] == pytest.approx(found["echo"]["value"])
    evaluation = tracked(folder)[0]
    assert evaluation.data.tags["role"] == "evaluation"
    assert evaluation.data.tags["evaluated"] == outcome["run_id"]
    assert f"evaluated_by.{evaluation.info.run_id}" in measured.data.tags


def test_answers_are_those_of_the_training_run_and_not_sampled_again(here: Here, trained: dict[str, Any]) -> None:
    folder, outcome = trained["folder"], trained["outcomes"][2]
    answers = {file for file in folder.glob("outputs/stages/evaluations/sft-*.json")}
    done = here("evaluate", f"run={trained['homes'][2]}", "evaluation.suites=[task]", "--json", folder=folder)
    assert {file for file in folder.glob("outputs/stages/evaluations/sft-*.json")} == answers
    values = json.loads(done.out)
    said = [policy["texts"] for policy in outcome["samples"]["policies"] if policy["role"] == "policy"]
    own = values["runs"][0]["speaker"]
    assert [sample["answers"][own] for sample in values["samples"]] == said[0]
    again = here("evaluate", f"run={outcome['stage']}", "evaluation.prompts=3", SUITES, "--json", folder=folder)
    assert json.loads(again.out)["questions"] == 3


def test_other_data_can_be_asked_and_who_was_trained_on_it_is_told(here: Here, trained: dict[str, Any]) -> None:
    folder = trained["folder"]
    words = ("evaluate", "run=last", "dataset.split.seed=5", "evaluation.suites=[task]", "--json")
    done = here(*words, folder=folder)
    assert done.code == 0, done.err
    (note,) = [note for note in json.loads(done.out)["notes"] if "trained on" in note]
    assert "of these 8 questions" in note


def test_a_reward_model_is_measured_on_pairs(here: Here, trained: dict[str, Any]) -> None:
    folder, outcome = trained["folder"], trained["outcomes"][0]
    done = here("evaluate", f"run={outcome['run_id']}", "--json", folder=folder)
    values = json.loads(done.out)
    (speaker,) = [voice["name"] for voice in values["speakers"]]
    accuracy = values["metrics"]["final/accuracy"][speaker]
    assert accuracy["value"] == pytest.approx(outcome["metrics"]["final/accuracy"])
    assert accuracy["n"] == values["questions"]
    assert "reliability" in values["suites"]["preference"]["tables"]


def test_a_suite_that_fails_ends_in_exit_code_1_with_the_others_shown(here: Here, trained: dict[str, Any]) -> None:
    endpoint = "evaluation.preference.endpoint"
    nobody = (f"{endpoint}.base_url=http://127.0.0.1:9/v1", f"{endpoint}.retries=0", f"{endpoint}.questions=1")
    words = ("evaluation.suites=[preference,task]", "evaluation.preference.judge=endpoint", *nobody)
    done = here("evaluate", "run=last", *words, folder=trained["folder"])
    assert done.code == 1
    assert "evaluation.preference" in done.out and "intent_accuracy" in done.out.replace("\n", "")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((), ("run: no run is named", "run=last")),
        (("runn=last",), ("runn=last: no run is named by this key. Did you mean `run=`?",)),
        (("run=last", "--jsno"), ("--jsno: there is no such flag. Did you mean `--json`?",)),
        (("run=",), ("run: no run is named",)),
        (("run=last,",), ("one of its names is empty",)),
        (("run=nosuchrun",), ("nosuchrun: there is no such run",)),
        (("run=out/side",), ("out/side: there is no such folder",)),
        (("run=outputs",), ("outputs: this folder holds no run",)),
        (("run=last", "evaluation.suites=[txt]"), ("evaluation.suites: there is no suite 'txt'", "`text`")),
        (("run=last", "evaluation.promts=3"), ("evaluation.promts: unknown key", "`prompts`")),
        (("run=last", "dataset.rowz=3"), ("dataset.rowz: unknown key", "`rows`")),
        (("run=last", "method.beta=0.1"), ("method.beta=0.1: it was trained with its own method settings",)),
        (("run=last", "model=gpt2"), ("model=gpt2: the weights that it has are those of its own model",)),
        (("run=last", "seed=3"), ("seed=3: it was trained with its own seed", "evaluation.*")),
        (("run=last", "dataset=hh_rlhf"), ("evaluation.judge: the gold reward is known only",)),
        (("run=last", "evaluation.judge=reward"), ("evaluation.judge=reward: the store has no reward stage",)),
        (("run=last", "evaluation.max_new_tokens=999"), ("evaluation.max_new_tokens: prompt and answer",)),
        (("run=last", "-m"), ("-m: rlhf evaluate takes KEY=VALUE words",)),
        (("run=last", "hardware=cudaa"), ("hardware=cudaa: there is no such option",)),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(
    here: Here, trained: dict[str, Any], words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    folder = trained["folder"]
    before = sorted(folder.glob("outputs/evaluations/*"))
    done = here("evaluate", *words, "tracking=none", folder=folder)
    assert done.code == 2
    line = [line for line in done.err.splitlines() if line.startswith("rlhf: ")]
    assert len(line) == 1 and all(part in line[0] for part in parts), done.err
    assert sorted(folder.glob("outputs/evaluations/*")) == before


def test_a_refusal_imports_nothing_heavy(trained: dict[str, Any]) -> None:
    words = ("evaluate", "run=last", "evaluation.suites=[txt]", "tracking=none")
    said = refused_without({"torch", "transformers", "mlflow", "sacrebleu"}, words, trained["folder"])
    assert "there is no suite" in said


def test_policies_and_reward_models_are_not_measured_together(here: Here, trained: dict[str, Any]) -> None:
    ids = ",".join(outcome["run_id"] for outcome in trained["outcomes"][:2])
    done = here("evaluate", f"run={ids}", folder=trained["folder"])
    done.refused(2, "is a reward model", "is a policy", "apart")


def test_a_model_that_is_gone_and_how_to_have_it_again(here: Here, trained: dict[str, Any]) -> None:
    folder, outcome = trained["folder"], trained["outcomes"][2]
    with moved(folder / outcome["stage"]):
        done = here("evaluate", "run=last", folder=folder)
        done.refused(2, "its model is gone", "Train it again: rlhf method=sft seed=2")


def test_a_run_that_did_not_finish_is_refused_with_what_went_wrong(here: Here, tmp_path: Path) -> None:
    home = tmp_path / "outputs/runs/2026-11-21/10-00-00-000000"
    home.mkdir(parents=True)
    told = {"status": "failed", "error": "the loss is NaN", "words": ["method=dpo"], "name": "dpo-x", "run_id": "abc1"}
    (home / "result.json").write_text(json.dumps(told))
    done = here("evaluate", f"run={home}", "tracking=none", folder=tmp_path)
    done.refused(2, "the run failed: the loss is NaN", "rlhf method=dpo")
    here("evaluate", "run=abc1", "tracking=none", folder=tmp_path).refused(2, "abc1: the run failed")
    here("evaluate", "run=last", "tracking=none", folder=tmp_path).refused(2, "last: no run has finished")


@pytest.mark.parametrize("content", ['{"status": "fini', "", "[]"])
def test_a_run_whose_result_is_damaged_is_told_apart_from_one_that_did_not_finish(
    content: str, here: Here, tmp_path: Path
) -> None:
    home = tmp_path / "outputs/runs/2026-11-21/10-00-00-000000"
    home.mkdir(parents=True)
    (home / "result.json").write_text(content)
    line = here("evaluate", f"run={home}", "tracking=none", folder=tmp_path).refused(2)
    assert f"{home}/result.json is damaged. Run its command again" in line


def test_help_shows_examples(here: Here, tmp_path: Path) -> None:
    done = here("evaluate", "--help", folder=tmp_path)
    assert done.code == 0 and "rlhf evaluate run=last" in done.out
