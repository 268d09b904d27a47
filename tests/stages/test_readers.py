"""Models that suites read answers with: what they are known by, and that a wrong one is refused at the door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlhf import fingerprint
from rlhf.compose import jobs, parse_words
from rlhf.door import check_readable
from rlhf.errors import UserError
from rlhf.stages.readers import identity
from tests.bench import run_of

NEW, OLD = "b" * 40, "a" * 40
NAMED = [
    ("persona", "evaluation.persona.nli.model"),
    ("simulation", "evaluation.persona.nli.model"),  # whose settings of personas are the same
    ("simulation", "evaluation.simulation.user"),
    ("text", "evaluation.text.encoder"),
    ("safety", "evaluation.safety.classifier.model"),
]


def settings(suite: str, *words: str) -> Any:
    return getattr(run_of("method=sft", *words).evaluation, suite)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with two commits of `someone/reader`; main is the file that is returned."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--someone--reader"
    (folder / "refs").mkdir(parents=True)
    for commit in (OLD, NEW):
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "snapshots" / commit / "config.json").write_text("{}")
    return folder / "refs" / "main"


@pytest.mark.parametrize(("suite", "key"), NAMED)
def test_a_model_of_the_hub_is_known_by_the_commit_that_its_newest_one_is(suite: str, key: str, hub: Path) -> None:
    found = []
    for commit in (OLD, NEW):
        hub.write_text(commit)
        fingerprint.hub_commit.cache_clear()
        found.append(identity(settings(suite, f"{key}=someone/reader")))
    fingerprint.hub_commit.cache_clear()
    assert found == [[("someone/reader", OLD)], [("someone/reader", NEW)]]


@pytest.mark.parametrize("suite", ["text", "persona", "safety", "simulation", "task"])
def test_where_none_is_named_there_is_none(suite: str, tmp_path: Path) -> None:
    assert identity(settings(suite)) == []
    assert identity(settings("text", f"evaluation.text.encoder={tmp_path}")) == []  # its bytes count


@pytest.mark.parametrize(("suite", "key"), NAMED)
def test_a_home_folder_is_spelt_out_once(suite: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    values = settings(suite, f"{key}='~/reader'").model_dump_json()
    assert f'"{tmp_path}/reader"' in values and "~" not in values


@pytest.mark.parametrize("name", ["/nonexistent", "no_such_folder"])
def test_an_encoder_that_is_not_there_is_refused_at_the_door(name: str) -> None:
    pytest.importorskip("bert_score")
    words = ["tracking=none", "hardware=cpu", "method=sft", "dataset.rows=50", f"evaluation.text.encoder={name}"]

    def at_the_door(suite: str) -> None:
        [(_, run)] = jobs(parse_words([*words, f"evaluation.suites=[{suite}]"]))
        check_readable([run], 1)

    with pytest.raises(UserError, match=rf"evaluation\.text\.encoder: {name} could not be loaded") as caught:
        at_the_door("text")
    assert "\n" not in str(caught.value)
    at_the_door("safety")  # nobody reads it
