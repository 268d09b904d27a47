"""Who judges is looked at before anything is trained, where the suite will run and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlhf.compose import jobs, parse_words
from rlhf.door import check_readable
from rlhf.errors import UserError

SUITE = "evaluation.suites=[preference]"


def at_the_door(*words: str) -> None:
    [(_, run)] = jobs(parse_words(["tracking=none", "hardware=cpu", "method=sft", "dataset.rows=50", *words]))
    check_readable([run], 1)


def test_a_folder_that_is_no_reward_stage_is_refused(tmp_path: Path) -> None:
    judge = f"evaluation.preference.judge={tmp_path}"
    with pytest.raises(UserError) as refused:
        at_the_door(judge, SUITE)
    assert str(refused.value).startswith(f"{judge}: ") and "it has no run.json" in str(refused.value)
    assert str(refused.value).endswith("named (by evaluation.judge) or endpoint.")
    at_the_door(judge)  # nobody asks it
    at_the_door(SUITE)


def test_an_endpoint_without_its_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("evaluation.preference.judge=endpoint", "evaluation.preference.endpoint.api_key_env=OWN_KEY", SUITE)
    monkeypatch.delenv("OWN_KEY", raising=False)
    with pytest.raises(UserError, match="OWN_KEY: the environment has no such variable"):
        at_the_door(*words)
    monkeypatch.setenv("OWN_KEY", "sk-1")
    at_the_door(*words)


@pytest.mark.parametrize("word", ["base_url=sk-123", "base_url=http://u:sk-123@host/v1", "api_key_env=sk-123"])
def test_a_wrong_address_or_key_is_refused_and_never_repeated(word: str) -> None:
    with pytest.raises(UserError, match="evaluation.preference.endpoint") as refused:
        at_the_door(f"evaluation.preference.endpoint.{word}")
    assert "sk-123" not in str(refused.value)
