"""Who speaks when several runs are measured together: which of two roles counts, and what each is called."""

from __future__ import annotations

import pytest

from rlhf.evaluation.comparison.pooled import pooled
from rlhf.evaluation.result import Evaluation
from rlhf.recording.evaluation import control_metrics, sample_answers
from rlhf.stages.evaluate import Evaluator, Row
from rlhf.stages.speakers import Model, distinct
from rlhf.stages.suites import measure
from tests.stages.test_suites import evaluator_in


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    return evaluator_in(tmp_path_factory.mktemp("store"))


def chain(evaluator: Evaluator, run: str, seed: int, *rows: tuple[str, str], group: str | None = "g") -> list[Model]:
    """The models of one run as (role, name): a name is a fingerprint and what the model always says, too."""
    source = evaluator.job.base
    return [
        Model(Row(name, role, name, {}, [name] * 6, None, None, source, None), evaluator, group, seed, run)
        for role, name in rows
    ]


def dpo(evaluator: Evaluator, seed: int, group: str | None = "g") -> list[Model]:
    rows = (("base", "base"), ("sft", f"sft-{seed}"), ("policy", f"dpo-{seed}"))
    return chain(evaluator, f"dpo seed={seed}", seed, *rows, group=group)


@pytest.mark.parametrize("place", [0, 1])
def test_a_policy_that_another_run_started_from_speaks_as_a_policy(evaluator: Evaluator, place: int) -> None:
    own = chain(evaluator, "sft seed=1", 1, ("base", "base"), ("policy", "sft-1"), group="s")
    models = [*own, *dpo(evaluator, 1)] if place else [*dpo(evaluator, 1), *own]
    entries, names = distinct(models)
    assert {entry.voice.name: (entry.voice.role, entry.voice.label) for entry in entries} == {
        "base": ("base", "base model"),
        "sft-1": ("policy", "sft seed=1"),
        "dpo-1": ("policy", "dpo seed=1"),
    }
    assert names == [model.row.name for model in models]
    assert [entry.voice.role for entry in entries] == ["base", "policy", "policy"]


def test_what_runs_of_several_seeds_started_from_is_pooled_like_the_runs(evaluator: Evaluator) -> None:
    found = measure([*dpo(evaluator, 1), *dpo(evaluator, 2)], [])
    lines = {line.label: line.seeds for line in pooled(found.dump(whole=False)["speakers"]) if not line.control}
    assert lines == {"base model": (), "sft": ("1", "2"), "dpo seed=1": ("1", "2")}


def test_no_two_lines_have_one_label(evaluator: Evaluator) -> None:
    models = [*dpo(evaluator, 1, group="one"), *dpo(evaluator, 2, group="two")]
    models += chain(evaluator, "dpo seed=1", 1, ("base", "base"), group=None)
    other = Row("base", "base", "base", {}, ["No."] * 6, None, None, evaluator.job.base, None)
    models.append(Model(other, evaluator, None, 1, "dpo seed=1"))
    labels = [line.label for line in pooled(measure(models, []).dump(whole=False)["speakers"])]
    assert len(set(labels)) == len(labels)
    assert "sft of dpo seed=1" in labels and "sft of dpo seed=2" in labels


def test_each_answer_is_that_of_its_own_speaker(evaluator: Evaluator) -> None:
    """One model asked in two ways: both are called base, and each said something else."""
    models = chain(evaluator, "", 1, ("base", "base"))
    models.append(Model(Row("base", "base", "base", {}, ["No."] * 6, None, None, evaluator.job.base, None), evaluator))
    (first, *_) = sample_answers(evaluator, models, measure(models, []))
    assert (first["answers"]["base"], first["answers"]["base'"]) == ("base", "No.")


def test_a_run_gets_the_numbers_of_its_own_chain(evaluator: Evaluator) -> None:
    models = [*dpo(evaluator, 1), *dpo(evaluator, 2)]
    models[1].row.texts[:] = ["A longer answer."] * 6
    found: Evaluation = measure(models, ["text"])
    for seed, characters in (("1", 16.0), ("2", 5.0)):
        controls = control_metrics(found, {"base": "base", "sft": f"sft-{seed}"})
        assert controls["control/sft/text/characters"] == characters
        assert {name.split("/")[1] for name in controls} == {
            "reference", "base", "sft", "echo", "polite", "shuffled", "random",
        }  # fmt: skip
