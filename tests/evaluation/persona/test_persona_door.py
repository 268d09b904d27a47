"""What the persona suites read is looked at before anything is trained, where they will run and only there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlhf.compose import jobs, parse_words
from rlhf.config import Run
from rlhf.door import check_readable
from rlhf.errors import UserError
from rlhf.remeasure.settings import settings_of
from tests.evaluation.persona.persona_world import rule_bound


def at_the_door(*words: str) -> Run:
    [(_, run)] = jobs(parse_words(["tracking=none", "hardware=cpu", "method=sft", "dataset.rows=50", *words]))
    check_readable([run], 1)
    return run


@pytest.mark.parametrize("suite", ["persona", "simulation"])
def test_a_wrong_nli_model_is_refused_where_a_suite_will_read_it(tmp_path: Path, suite: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "positive", "1": "negative"}}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    words = f"evaluation.persona.nli.model={tmp_path}"
    with pytest.raises(UserError, match="evaluation.persona.nli.model: .*positive, negative"):
        at_the_door(words, f"evaluation.suites=[{suite}]")
    at_the_door(words)  # nobody reads it


def test_a_right_one_passes(tmp_path: Path) -> None:
    name = rule_bound(tmp_path)
    run = at_the_door(f"evaluation.persona.nli.model={name}", "evaluation.suites=[persona,simulation]")
    assert run.evaluation.persona.nli.model == name


def test_a_user_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="evaluation.simulation.user=.*has no config.json"):
        at_the_door(f"evaluation.simulation.user={tmp_path}", "evaluation.suites=[simulation]")


def test_a_reward_model_plays_no_user(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["GPT2ForSequenceClassification"]}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="holds a reward model"):
        at_the_door(f"evaluation.simulation.user={tmp_path}", "evaluation.suites=[simulation]")


def test_a_model_named_for_a_finished_run_reaches_both_suites() -> None:
    """The simulation's settings of personas are those of the persona suite, when measuring is told anew as well."""
    [(_, run)] = jobs(
        parse_words(["tracking=none", "hardware=cpu", "method=sft", "evaluation.persona.keyword_letters=4"])
    )
    words = parse_words(["evaluation.persona.nli.model=my_nli", "tracking=none"])
    measured = settings_of(run.model_dump(), words)["evaluation"]
    assert measured["persona"]["nli"]["model"] == "my_nli"
    assert measured["persona"]["keyword_letters"] == 4  # the run's own
    assert measured["simulation"]["persona"] == measured["persona"]
