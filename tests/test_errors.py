"""Endings that travel between processes stay what they were."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import yaml

from rlhf.errors import RunFailure, UserError, mendable


@pytest.mark.parametrize("error", [UserError("a.yaml:3", "no", "Say yes"), RunFailure("step 3", "NaN", "Go slower")])
def test_an_ending_says_the_same_in_another_process(error: UserError | RunFailure) -> None:
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is type(error)
    assert str(other) == str(error) and (other.place, other.remedy) == (error.place, error.remedy)


def test_a_failure_to_resume_from_stays_one() -> None:
    assert pickle.loads(pickle.dumps(RunFailure("step 3", "NaN", "Go slower", resumable=True))).resumable
    assert not pickle.loads(pickle.dumps(RunFailure("step 3", "NaN", "Go slower"))).resumable


def test_a_broken_yaml_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nsizes: [1, 2\nlast: 3\n")
    with file.open() as stream, pytest.raises(yaml.YAMLError) as broken:
        yaml.safe_load(stream)
    told = mendable(broken.value)
    assert isinstance(told, UserError)
    assert str(told).startswith(f"{file}:3: not YAML (expected ',' or ']'")
