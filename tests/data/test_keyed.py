"""Objects of records by their ids, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlhf.data.files import read_records
from rlhf.data.keyed import keyed
from rlhf.data.reading.base import UNBOUNDED

A, B = {"prompt": "a"}, {"prompt": "b"}


@pytest.mark.parametrize(
    ("whole", "records"),
    [
        ({"x": A, "y": B}, {"x": A, "y": B}),
        ({"feedback": {"x": A, "y": B}}, {"x": A, "y": B}),
        ({"feedback": {"x": A}}, {"x": A}),
        ({"export": {"feedback": {"x": A, "y": B}}}, {"x": A, "y": B}),
        (A, None),
        ({"x": A, "n": 1}, None),
        ({}, None),
        ([A], None),
    ],
)
def test_records_lie_at_the_lowest_object_of_objects(whole: Any, records: Any) -> None:
    assert keyed(whole) == records


def test_records_of_a_file_are_named_by_their_ids(tmp_path: Path) -> None:
    file = tmp_path / "votes.json"
    file.write_text(json.dumps({"feedback": {"-O0d": A, "-O0e": B}}, indent=1))
    assert list(read_records(str(file), UNBOUNDED)) == [(f"{file}:-O0d", A), (f"{file}:-O0e", B)]


def test_one_record_in_several_lines_is_no_object_of_records(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text(json.dumps(A))
    assert list(read_records(str(file), UNBOUNDED)) == [(f"{file}:1", A)]
