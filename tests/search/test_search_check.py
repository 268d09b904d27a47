"""A search is looked over before it starts: presets are sound, wrong ones are told in one line with what to write."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import pytest

from rlhf.compose import conf_dir, parse_words, with_experiment_sweep
from rlhf.errors import UserError
from rlhf.launchers.search import consecutive, words_of
from rlhf.search.check import Search, find_search

PRESETS = {  # option -> the command line that its file names
    "custom": "method.beta=tag(log,interval(0.01,1))",
    "dpo": "method=dpo",
    "ppo": "method=ppo",
    "lora": "adapter=lora method=dpo model=tiny_gpt2",
    "s2_grid": "model=gpt2 dataset=rm_single_context evaluation.judge=reward",
    "s3_grid": "experiment=hh_dpo_gpt2 adapter=lora quantization=nf4",
}


def search_of(line: str) -> Search | None:
    return find_search(with_experiment_sweep(parse_words(shlex.split(line))))


def found(line: str) -> Search:
    search = search_of(line)
    assert search is not None
    return search


def refusal(line: str) -> str:
    with pytest.raises(UserError) as caught:
        search_of(line)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_space_that_no_run_could_have_is_told_before_a_library_that_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert refusal("-m search=dpo method=reward").startswith("search.params.method.beta: method.beta=0.01 is refused: ")
    assert refusal("-m search=dpo method=dpo").startswith("search: optuna is not installed. Run `pip install ")


def test_every_preset_has_a_command_here() -> None:
    assert {file.stem for file in (conf_dir() / "search").glob("*.yaml")} == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_sound_and_its_name_is_its_file(name: str) -> None:
    search = found(f"-m search={name} {PRESETS[name]}")
    assert search.spec.name == name
    text = (conf_dir() / "search" / f"{name}.yaml").read_text()
    assert f"rlhf -m search={name} " in text
    for params, run in search.runs:
        assert set(params) >= set(search.fixed)
        assert run.method.name in ("dpo", "ppo")


@pytest.mark.parametrize(("name", "cells"), [("s2_grid", 5), ("s3_grid", 18)])
def test_a_grid_asks_for_as_many_trials_as_it_has_cells(name: str, cells: int) -> None:
    search = found(f"-m search={name} {PRESETS[name]}")
    assert search.spec.trials == search.space.size() == len(list(search.space.cells())) == cells


def test_a_run_does_not_know_that_it_was_searched_for() -> None:
    """Its stages are those of the same words by hand, so they are reused both ways."""
    from rlhf.compose import jobs

    search = found("-m search=dpo method=dpo")
    words, run = search.runs[0]
    ((_, by_hand),) = jobs(parse_words(words))
    assert run == by_hand
    ((_, beside),) = jobs(parse_words(["search=dpo", *words]))
    assert beside == by_hand


def test_setting_a_value_equals_composing_it() -> None:
    from rlhf.compose import jobs

    search = found("-m search=lora adapter=lora method=dpo model=tiny_gpt2,tiny_mt5 seed=range(1,4)")
    for number, cell in enumerate(search.space.cells()):
        if number % 400 == 0:
            ((_, composed),) = jobs(parse_words(search.overrides(cell)))
            assert search.run_of(cell) == composed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("method.beta=0.1,0.2", {"type": "categorical", "choices": [0.1, 0.2]}),
        ("method.beta=interval(0.1,0.5)", {"type": "float", "low": 0.1, "high": 0.5, "log": False, "step": None}),
        (
            "method.beta=tag(log,interval(0.1,0.5))",
            {"type": "float", "low": 0.1, "high": 0.5, "log": True, "step": None},
        ),
        ("method.beta=range(0.1,0.5,0.2)", {"type": "float", "low": 0.1, "high": 0.3, "log": False, "step": 0.2}),
        (
            "method.max_response_tokens=int(interval(8,64))",
            {"type": "int", "low": 8, "high": 64, "log": False, "step": 1},
        ),
        ("method.max_response_tokens=range(8,17,4)", {"type": "int", "low": 8, "high": 16, "log": False, "step": 4}),
        ("method.loss_type=ipo,[sigmoid,hinge]", {"type": "categorical", "choices": ["ipo", ["sigmoid", "hinge"]]}),
    ],
)
def test_swept_words_are_parameters(words: str, expected: dict[str, Any]) -> None:
    (param,) = found(f"-m search=custom {words}").space.params.values()
    dumped = param.model_dump()
    if "high" in expected:
        assert dumped.pop("high") == pytest.approx(expected.pop("high"))
    assert dumped == expected


def test_the_command_line_replaces_parameters_and_takes_them_out() -> None:
    search = found("-m search=dpo method=dpo method.beta=0.3 method.loss_type=ipo,hinge")
    assert list(search.space.params) == ["method.trainer.learning_rate", "method.loss_type"]
    assert search.space.values("method.loss_type") == ["ipo", "hinge"]
    assert search.fixed == ("method=dpo", "method.beta=0.3")


def test_what_an_experiment_sweeps_over_is_searched() -> None:
    search = found("-m search=custom experiment=quickstart")
    assert {key: search.space.values(key) for key in search.space.params} == {
        "model": ["tiny_gpt2", "tiny_mt5"],
        "method": ["dpo", "ppo_short"],
    }


@pytest.mark.parametrize("line", ["-m method.beta=0.1,0.2", "method=sft", "-m experiment=quickstart"])
def test_other_command_lines_ask_for_no_search(line: str) -> None:
    assert search_of(line) is None


def test_a_study_is_named_after_what_decides_its_trials() -> None:
    names = [
        found(f"-m search=dpo {words}").study
        for words in ("", "search.trials=5 tracking=none search.jobs=2", "seed=7", "search.seed=1", "method.beta=1,2")
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 4
    assert found("-m search=dpo search.study=mine").study == "mine"


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("search=dpo", ["search=dpo", "Add -m"]),
        ("-m search.trials=3", ["no search is chosen", "Add search=NAME"]),
        ("-m search=dpoo", ["search=dpoo", "Did you mean `dpo`?"]),
        ("-m search=custom", ["nothing is varied", "interval(0.05,0.5)"]),
        ("-m search=custom method.betta=0.1,0.2", ["method.betta=0.1", "unknown key", "Did you mean `beta`?"]),
        ("-m search=dpo method=ppo", ["search.params.method.beta", "unknown key"]),
        ("-m search=custom method.beta=interval(-1,1)", ["method.beta=-1.0", "greater than 0"]),
        ("-m search=custom method.beta=interval(2,1)", ["low (2.0) is above high (1.0)"]),
        ("-m search=custom method.beta=tag(log,interval(0,1))", ["a logarithmic scale needs low above 0"]),
        ("-m search=custom method.beta=tag(lag,interval(0,1))", ["there is no tag lag"]),
        ("-m search=custom method.beta=1,1", ["the choice 1 is there twice"]),
        ("-m search=custom model=tiny_gpt2,tiny_gtp2", ["model=tiny_gtp2", "Did you mean `tiny_gpt2`?"]),
        ("-m search=custom model=tiny_gpt2,tiny_bert", ["model=tiny_bert is refused", "is an encoder"]),
        (
            "-m search=custom method.label_smoothing=0.0,0.1 method.loss_type=robust,hinge",
            ["method.label_smoothing", "not in hinge"],
        ),
        ("-m search=dpo search.trialss=3", ["search.trialss", "Did you mean `trials`?"]),
        ("-m search=dpo search.trials=0", ["search.trials", "greater than 0, got 0"]),
        ("-m search=dpo search.sampler.name=gp", ["search.sampler.name=gp", "is a choice", "search.sampler.name=tpe"]),
        ("-m search=dpo method=ppo", ["unknown key", "try search=ppo"]),
        ("-m search=dpo search.trials=1,2", ["search.trials=1,2", "Give one"]),
        ("-m search=dpo search.sampler.name=tpo", ["search.sampler.name", "'tpe', 'random', 'grid'"]),
        ("-m search=dpo search.sampler.name=grid", ["search.params.method.beta", "Give it a step, or choices"]),
        (
            "-m search=dpo search.sampler.name=gp +search.sampler.settings.gp.seed=1",
            ["search.sampler.settings.gp.seed"],
        ),
        (
            "-m search=dpo +search.sampler.settings.tpe.n_startup=1",
            ["search.sampler.settings.tpe.n_startup", "Did you mean `n_startup_trials`?"],
        ),
        (
            "-m search=dpo +search.pruner.settings.percentile.percentile=120 search.pruner.name=percentile",
            ["between 0"],
        ),
        ("-m search=dpo search.pruner.metric=eval/los", ["has no curve eval/los", "Did you mean `eval/loss`?"]),
        ("-m search=dpo search.pruner.metric=null", ["search.pruner", "a pruner needs a curve"]),
        (
            "-m search=dpo search.objectives=[{metric:final/rewrd,direction:maximize}]",
            ["search.objectives[0]", "Did you mean `final/reward`?"],
        ),
        (
            "-m search=dpo search.objectives=[{metric:final/reward,direction:minimize}]",
            ["final/reward is better when higher", "direction: maximize"],
        ),
        (
            "-m search=dpo search.objectives=[{metric:final/rollbacks,direction:minimize}]",
            ["final/rollbacks", "is counted by PPO only"],
        ),
        (
            "-m search=dpo search.objectives=[{metric:cost/usd,direction:minimize}]",
            ["cost/usd", "hardware.usd_per_hour=PRICE"],
        ),
        (
            "-m search=dpo search.objectives=[{metric:text/chrff,direction:maximize}]",
            ["search.objectives[0]", "Did you mean `text/chrf`?"],
        ),
        (
            "-m search=dpo search.objectives=[{metric:reward/p50,direction:maximize}]",
            ["search.objectives[0]", "there is no metric 'reward/p50'"],
        ),
        (
            "-m search=dpo search.objectives=[{metric:text/chrf,direction:minimize}]",
            ["text/chrf is better when higher", "direction: maximize"],
        ),
        (
            "-m search=dpo search.objectives=[{metric:task/intent_accuracy,direction:maximize}]",
            ["is measured by the suite task", "'evaluation.suites=[text,safety,task]'"],
        ),
        (
            "-m search=custom method=reward seed=1,2 search.objectives=[{metric:text/chrf,direction:maximize}]",
            ["text/chrf is of answers and method=reward trains no policy", "Use another method"],
        ),
        (
            "-m search=custom +search.params={method.beta:{type:flot,low:0.1,high:1}}",
            ["search.params.method.beta.type: flot is none of float, int and categorical", "Write float, int"],
        ),
        (
            "-m search=custom +search.params={method.beta:{low:0.1,high:1}}",
            ["search.params.method.beta.type: is missing", "Write float, int"],
        ),
        ("-m search=dpo method=reward", ["search.params.method.beta", "another method: try search=custom with"]),
        ("-m search=dpo method=ppo", ["search.params.method.beta", "another method: try search=ppo, or search=custom"]),
        ("-m search=dpo evaluation.judge=none", ["final/reward needs a judge", "evaluation.judge=reward"]),
        (
            "-m search=ppo method=ppo search.pruner.name=median search.pruner.metric=eval/reward/score",
            ["search.pruner", "several objectives", "search.pruner.name=none"],
        ),
        ("-m search=ppo method=ppo search.sampler.name=cmaes", ["cmaes knows one objective", "nsga2"]),
        ("-m search=dpo search.storage=mysql://h/d", ["search.storage", "sqlite:///FILE or postgresql://"]),
        ("-m search=dpo search.storage=postgresql://u:secret@h/d", ["it holds a password", "PGPASSWORD"]),
    ],
)
def test_a_wrong_search_is_refused_with_its_place_and_remedy(line: str, parts: list[str]) -> None:
    text = refusal(line)
    for part in parts:
        assert part in text, text
    assert "secret" not in text


def test_each_curve_that_a_pruner_may_look_at_has_its_method() -> None:
    from rlhf.search.measured import curves_of

    curves = {name: curves_of(found(f"-m search=custom method={name} seed=1,2").runs[0][1]) for name in ("dpo", "ppo")}
    assert "eval/rewards/accuracies" in curves["dpo"]
    assert "eval/reward/score" in curves["ppo"]
    assert not set(curves["dpo"]) & set(curves["ppo"])


def test_jobs_at_once_take_processes_of_their_own_unless_a_launcher_is_named() -> None:
    one, two = found("-m search=dpo"), found("-m search=dpo search.jobs=2")
    assert words_of(one, []) == ["hydra/sweeper=search"]
    assert words_of(two, []) == ["hydra/sweeper=search", "hydra/launcher=local", "hydra.launcher.jobs=2"]
    assert words_of(two, ["hydra/launcher=ray"]) == ["hydra/sweeper=search"]
    assert words_of(two, ["hydra/launcher=local", "hydra.launcher.jobs=3"]) == ["hydra/sweeper=search"]


def test_jobs_are_launched_in_runs_of_consecutive_numbers() -> None:
    batch = [(2, ["a"]), (3, ["b"]), (7, ["c"])]
    assert list(consecutive(batch)) == [[(2, ["a"]), (3, ["b"])], [(7, ["c"])]]
    assert list(consecutive([])) == []
