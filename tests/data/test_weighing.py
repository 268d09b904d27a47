"""Which sources are large: files that tell of less than they hold are weighed as they are read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from test_stream import READING, SPLIT, assert_same

from rlhf.data import load_corpus
from rlhf.data.arrow import ArrowRows
from rlhf.data.files import unpacked_bytes
from rlhf.errors import UserError


def swelling(folder: Path, kind: str, broken: bool = False) -> Path:
    """600 rows of some 1000 characters, in a file that tells of fewer: a text written once, a short last part."""
    import pyarrow
    import pyarrow.parquet

    rows = [{"prompt": f"Question {n}?", "completion": "yes " * 250} for n in range(600)]
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    file = folder / f"rows.{kind}"
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    else:
        lines[9] = b"{oops\n" if broken else lines[9]
        file.write_bytes(gzip.compress(b"".join(lines[:-1])) + gzip.compress(lines[-1]))
    return file


@pytest.mark.parametrize("kind", ["parquet", "jsonl.gz"])
def test_a_file_that_tells_of_less_than_it_holds_is_weighed_as_it_is_read(kind: str, tmp_path: Path, spec_of) -> None:
    file = swelling(tmp_path, kind)
    assert unpacked_bytes(file) < 50_000
    found = []
    for limit in (0.1, 10):  # 600 records of some 1000 characters
        reading = {"reading": {**READING, "stream_over_mb": limit, "workers": 2}}
        found.append(load_corpus(spec_of("table", path=str(file), split=SPLIT, **reading), "demonstration"))
    assert [isinstance(corpus.train, ArrowRows) for corpus in found] == [True, False]
    assert found[0].counts[0].before == 600
    assert_same(*found)


@pytest.mark.parametrize("limit", [0.1, 10])
def test_weighing_a_damaged_file_tells_first_what_lies_before_the_damage(limit: float, tmp_path: Path, spec_of) -> None:
    swelling(tmp_path, "jsonl.gz", broken=True)
    (tmp_path / "sealed.jsonl.gz").write_bytes(b"no")
    spec = {"path": str(tmp_path), "reading": {**READING, "stream_over_mb": limit, "workers": 2}}
    with pytest.raises(UserError, match="rows.jsonl.gz:10: not JSON"):
        load_corpus(spec_of("table", **spec), "demonstration")
    with pytest.raises(UserError, match="sealed.jsonl.gz: the gzip file is damaged or cut short"):
        load_corpus(spec_of("table", **spec, max_bad_rows=1), "demonstration")
