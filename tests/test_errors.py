"""Endings that travel between processes stay what they were."""

from __future__ import annotations

import pickle

import pytest

from rlhf.errors import RunFailure, UserError


@pytest.mark.parametrize("error", [UserError("a.yaml:3", "no", "Say yes"), RunFailure("step 3", "NaN", "Go slower")])
def test_an_ending_says_the_same_in_another_process(error: UserError | RunFailure) -> None:
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is type(error)
    assert str(other) == str(error) and (other.place, other.remedy) == (error.place, error.remedy)


def test_a_failure_to_resume_from_stays_one() -> None:
    assert pickle.loads(pickle.dumps(RunFailure("step 3", "NaN", "Go slower", resumable=True))).resumable
    assert not pickle.loads(pickle.dumps(RunFailure("step 3", "NaN", "Go slower"))).resumable
