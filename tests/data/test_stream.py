"""Large sources: the rows, their order, the account and the first error are those of reading in memory."""

from __future__ import annotations

import gc
import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_formats_shared import CASES

from rlhf.data import load_corpus, stream
from rlhf.data.arrow import ArrowRows, batch_bytes, decode, encode, write_batches
from rlhf.data.files import parsed, read_unparsed
from rlhf.data.records import Account, gather
from rlhf.data.rows import Corpus, Row
from rlhf.data.splits import PARTS
from rlhf.data.stream import work
from rlhf.errors import UserError
from rlhf.fingerprint import versions
from rlhf.store import damage, entries, remove

READING = {"max_row_mb": 1, "max_sheet_mb": 1, "max_unpacked_gb": 1, "max_unpacked_ratio": 300, "name": "here"}
SPLIT = {"validation": 0.2, "test": 0.2, "seed": 0, "folds": None, "fold": 0}


def small() -> dict[str, Any]:
    return {"reading": {**READING, "stream_over_mb": 100, "workers": None}}


def large(workers: int = 2) -> dict[str, Any]:
    return {"reading": {**READING, "stream_over_mb": 0, "workers": workers}}


def assert_same(one: Corpus, other: Corpus) -> None:
    assert one.counts == other.counts
    assert one.overlap == other.overlap
    tallies = [tally and (tally.texts, tally.changed, tally.examples(20)) for tally in (one.cleaned, other.cleaned)]
    assert tallies[0] == tallies[1]
    for name in PARTS:
        assert list(getattr(one, name)) == list(getattr(other, name)), name
    assert one.fingerprint == other.fingerprint


PUBLISHED = [
    ("hh_rlhf", "preference/hh_rlhf_helpful_base.jsonl.gz", "preference"),
    ("oasst", "preference/oasst_rm_zh.jsonl.gz", "preference"),  # several rows of one record
    ("tourism_pairs", "derived/tourism_user_chatbot_pairs.jsonl.gz", "demonstration"),  # groups tied by links
]


@pytest.mark.parametrize(("name", "file", "shape"), PUBLISHED, ids=[name for name, _, _ in PUBLISHED])
def test_published_data_is_the_same_in_memory_and_in_a_mapped_file(name, file, shape, shared_data, spec_of) -> None:
    path = str(shared_data / file)
    streamed = load_corpus(spec_of(name, path=path, **large()), shape)
    assert isinstance(streamed.train, ArrowRows)
    assert_same(load_corpus(spec_of(name, path=path, **small()), shape), streamed)


@pytest.mark.parametrize(("file", "name", "settings"), [case[:3] for case in CASES])
def test_rows_of_every_format_come_back_from_disk_as_they_were(file, name, settings, shared_data, spec_of) -> None:
    spec = spec_of(name, path=str(shared_data / file), **settings)
    records = islice(read_unparsed(spec.path, spec.reading), 60)
    rows, account = gather(map(parsed, records), spec, "preference" if spec.has_pairs else "demonstration")
    assert rows and account.broken == []
    assert [decode(encode(row)) for row in rows] == rows


def messy(folder: Path, rows: int = 4000) -> str:
    """Write pairs with repeated and equal ones, blank and broken lines; the first broken line is the 102nd."""
    lines = []
    for number in range(rows):
        pair = {"prompt": f"Question {number % 1500}?", "chosen": f"Yes {number % 1700} <b>!</b>", "rejected": "No."}
        lines.append(json.dumps({**pair, "rejected": pair["chosen"]} if number % 97 == 5 else pair))
        if number % 500 == 100:
            lines += ["{oops", ""]
    (folder / "messy.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return str(folder / "messy.jsonl")


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_gives_the_same_corpus(workers: int, tmp_path: Path, spec_of, monkeypatch) -> None:
    monkeypatch.setattr("rlhf.data.stream.TASK_BYTES", 20_000)  # many tasks of a small file
    changes = {"path": messy(tmp_path), "max_bad_rows": 8, "split": SPLIT, "fraction": 0.9, "limit": 900}
    steps = {"name": "two", "steps": ["html", "lowercase"], "examples": 3}
    spec = {**changes, "cleaning": steps}
    inside = load_corpus(spec_of("ultrafeedback_binarized", **spec, **small()), "preference")
    assert_same(inside, load_corpus(spec_of("ultrafeedback_binarized", **spec, **large(workers)), "preference"))
    assert inside.counts[0].after == 4008
    assert inside.counts[1].step.startswith(f"broken rows, first {tmp_path}/messy.jsonl:102")
    assert sum(len(getattr(inside, name)) for name in PARTS) == 900


def first_error(spec: Any) -> str:
    with pytest.raises(UserError) as caught:
        load_corpus(spec, "preference")
    return str(caught.value)


@pytest.mark.parametrize("most", [0, 3])
def test_the_first_error_is_the_one_of_reading_in_order(most: int, tmp_path: Path, spec_of, monkeypatch) -> None:
    monkeypatch.setattr("rlhf.data.stream.TASK_BYTES", 20_000)
    path = messy(tmp_path)
    texts = [first_error(spec_of("hh_rlhf", path=path, max_bad_rows=most, **how)) for how in (small(), large())]
    assert texts[0] == texts[1]
    own = [
        first_error(spec_of("ultrafeedback_binarized", path=path, max_bad_rows=most, **how))
        for how in (small(), large())
    ]
    # every 500 lines and the two that were put in; the first is line 102
    assert own[0] == own[1] and own[0].startswith(f"{path}:{102 + most * 502}: not JSON")


def test_a_damaged_end_is_told_after_the_broken_row_before_it(tmp_path: Path, spec_of) -> None:
    long = json.dumps({"prompt": "why " * 10_000, "chosen": "So.", "rejected": "No."})
    text = Path(messy(tmp_path, 300)).read_text() + f"\n{long}" * 60  # more than what is unpacked at a time
    whole = gzip.compress(text.encode())
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(whole[:-20])
    for most, said in ((0, "cut.jsonl.gz:102: not JSON"), (100, "cut.jsonl.gz: the gzip file is damaged or cut short")):
        texts = [
            first_error(spec_of("ultrafeedback_binarized", path=str(path), max_bad_rows=most, **how))
            for how in (small(), large())
        ]
        assert texts[0] == texts[1] and said in texts[0]


def test_a_mistake_in_the_settings_and_data_of_no_use_are_told_alike(tmp_path: Path, spec_of) -> None:
    path = messy(tmp_path, 300)
    wrong = {"path": path, "columns": {"prompt": "chosen"}, "max_bad_rows": 100}
    equal = tmp_path / "equal.jsonl"
    equal.write_text('{"prompt": "a", "chosen": "b", "rejected": "b"}\n' * 3)
    for name, changes in (("table", wrong), ("ultrafeedback_binarized", {"path": str(equal)})):
        texts = [first_error(spec_of(name, **changes, **how)) for how in (small(), large())]
        assert texts[0] == texts[1]


def test_csv_is_streamed_too(tmp_path: Path, spec_of) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("prompt,completion\n" + "".join(f'"Question {n},\nplease?",Answer {n}\n' for n in range(2500)))
    spec = {"path": str(file), "columns": {"prompt": "prompt", "completion": "completion"}, "split": SPLIT}
    corpora = [load_corpus(spec_of("table", **spec, **how), "demonstration") for how in (small(), large())]
    assert_same(*corpora)


def test_a_data_set_of_the_hub_is_weighed_as_it_is_read(tmp_path: Path, spec_of, monkeypatch) -> None:
    rows = [{"prompt": f"Question {n}?", "chosen": "Yes, that is so.", "rejected": "No."} for n in range(400)]
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    found = []
    for limit in (0, 0.02, 100):  # 400 records of some 75 characters
        reading = {"reading": {**READING, "stream_over_mb": limit, "workers": 2}}
        spec = spec_of("ultrafeedback_binarized", hub_id=str(tmp_path / "set"), split=SPLIT, **reading)
        found.append(load_corpus(spec, "preference", tmp_path / "store"))
    assert [isinstance(corpus.train, ArrowRows) for corpus in found] == [True, True, False]
    assert_same(found[0], found[2])
    assert_same(found[1], found[2])
    assert not (tmp_path / "store").exists()  # a name on the hub may stand for other rows tomorrow


def test_a_store_keeps_the_rows_for_every_cut_of_them(tmp_path: Path, spec_of) -> None:
    path, store = messy(tmp_path, 1000), tmp_path / "store"

    def corpus(**changes: Any) -> Corpus:
        spec = {"path": path, "max_bad_rows": 2, "split": SPLIT, **changes, **large()}
        return load_corpus(spec_of("ultrafeedback_binarized", **spec), "preference", store)

    def kept() -> set[str]:
        return {folder.name for folder in (store / "rows").iterdir()}

    first = corpus()
    (only,) = kept()
    written = (store / "rows" / only / "values" / "rows.arrow").stat().st_mtime_ns
    again = corpus(split={**SPLIT, "folds": 5, "fold": 2}, limit=500)  # other cuts of the same rows
    assert kept() == {only}
    assert (store / "rows" / only / "values" / "rows.arrow").stat().st_mtime_ns == written
    assert again.counts[:4] == first.counts[:4]
    corpus(cleaning={"name": "one", "steps": ["lowercase"], "examples": 0})
    Path(path).write_text(Path(path).read_text().replace("Question 7?", "Question seven?"))
    corpus()
    assert len(kept()) == 3
    (store / "rows" / only / "values" / "rows.arrow").unlink()  # damaged: made anew
    Path(path).write_text(Path(path).read_text().replace("Question seven?", "Question 7?"))
    assert_same(first, corpus())


def test_kept_rows_are_those_of_one_python_and_of_its_libraries(tmp_path: Path, spec_of, monkeypatch) -> None:
    spec = spec_of("ultrafeedback_binarized", path=messy(tmp_path, 10))
    names = [stream._identity(spec, "preference")]
    for library in ("ftfy", "pyarrow", "openpyxl"):
        with monkeypatch.context() as patched:
            patched.setattr(
                stream, "versions", lambda of, new=library: {**versions(of), **({new: "0"} if new in of else {})}
            )
            names.append(stream._identity(spec, "preference"))
    monkeypatch.setattr(stream, "python_version", lambda: "3.99.0")
    names.append(stream._identity(spec, "preference"))
    assert len(set(names)) == len(names) == 5


def test_kept_rows_are_listed_verified_and_pruned_unless_they_serve(tmp_path: Path, spec_of) -> None:
    spec = spec_of("ultrafeedback_binarized", path=messy(tmp_path, 300), max_bad_rows=1, split=SPLIT, **large())
    corpus = load_corpus(spec, "preference", tmp_path / "store")
    (entry,) = entries(tmp_path / "store")
    assert (entry.kind, entry.method, entry.model, entry.state) == ("rows", "preference", spec.name, "complete")
    assert entry.name == f"rows/{entry.fingerprint[:12]}" and damage(entry) == []
    assert not remove(entry)  # while the corpus lives
    train = corpus.train
    del corpus
    assert not remove(entry) and len(train[0].prompt) == 1
    del train
    gc.collect()
    keys = entry.path / "values" / "keys.bin"
    keys.write_bytes(keys.read_bytes()[:-1] + b"?")
    assert damage(entry) == ["values/keys.bin has other bytes than when it was written"]
    assert remove(entry) and entries(tmp_path / "store") == []


def test_a_reading_that_fails_leaves_nothing_in_the_store(tmp_path: Path, spec_of) -> None:
    spec = spec_of("ultrafeedback_binarized", path=messy(tmp_path, 300), **large())
    with pytest.raises(UserError):
        load_corpus(spec, "preference", tmp_path / "store")
    assert list((tmp_path / "store" / "rows").iterdir()) == []


TEXT = st.text(st.sampled_from('ab \n\té中😀\\"{},'), max_size=8)
PAIR = st.fixed_dictionaries({"prompt": TEXT, "chosen": TEXT, "rejected": TEXT}).map(json.dumps)
LINE = st.one_of(
    PAIR, st.sampled_from(["", "{oops", "[]", '{"prompt": 3}', '{"prompt": "x"}', "null", '{"a": "\\ud800"}'])
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINE, min_size=1, max_size=30), cut=st.integers(1, 30))
def test_stretches_of_records_add_up_to_the_whole_account(lines: list[str], cut: int, tmp_path: Path, spec_of) -> None:
    file = tmp_path / "drawn.jsonl"
    file.write_text("\n".join([*lines, PAIR_OF_USE]), encoding="utf-8")
    spec = spec_of("ultrafeedback_binarized", path=str(file), max_bad_rows=100, **small())
    records = list(read_unparsed(str(file), spec.reading))
    rows, whole = gather(map(parsed, records), spec, "preference")
    summed, parts = Account(), []
    for first in range(0, len(records), cut):
        some, account = gather(map(parsed, records[first : first + cut]), spec, "preference")
        parts += some
        summed.add(account)
    assert parts == rows
    assert str(summed) == str(whole)
    # rows in = rows out + rows named
    assert whole.read == sum(1 for line in [*lines, PAIR_OF_USE] if line.strip())
    assert whole.parts == len(rows) + sum(whole.dropped.values()) + len(whole.broken)
    keys, account = work((spec, "preference"), records)[1:]
    assert account.parts == whole.parts and bool(keys) == bool(rows)


PAIR_OF_USE = '{"prompt": "How tall is K2?", "chosen": "8,611 m.", "rejected": "Tall."}'


@given(st.lists(st.integers(0, 9), max_size=12), st.slices(12))
def test_mapped_rows_behave_as_a_tuple_of_them(places: list[int], part: slice) -> None:
    rows = [row(f"q{number}") for number in range(10)]
    mapped, held = a_mapped_file(rows, places), tuple(rows[place] for place in places)
    assert tuple(mapped) == held and len(mapped) == len(held)
    assert tuple(mapped[part]) == held[part]
    for index in range(-len(held), len(held)):
        assert mapped[index] == held[index]
    with pytest.raises(IndexError):
        mapped[len(held)]


def row(text: str) -> Row:
    return Row(({"role": "user", "content": text},), text, completion="a", meta={"language": "zh", "links": ["x"]})


def a_mapped_file(rows: list[Row], places: list[int], made: dict[str, Path] = {}) -> ArrowRows:  # noqa: B006
    import tempfile

    import numpy

    if "file" not in made:
        made["file"] = Path(tempfile.mkdtemp()) / "rows.arrow"
        stored = [encode(row) for row in rows]
        write_batches(made["file"], [batch_bytes(stored[:3]), batch_bytes([]), batch_bytes(stored[3:])])
    return ArrowRows(made["file"], numpy.array(places, dtype=numpy.int64), "print")


@given(TEXT, TEXT, st.none() | st.booleans(), st.dictionaries(TEXT, TEXT | st.integers() | st.lists(TEXT), max_size=3))
def test_a_row_comes_back_from_disk_as_it_was(prompt, answer, label, meta) -> None:
    whole = Row(({"role": "user", "content": prompt},), prompt, completion=answer, label=label, meta=meta)
    assert decode(encode(whole)) == whole
