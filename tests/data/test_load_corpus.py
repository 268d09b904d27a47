"""`load_corpus`: every row is accounted for, broken ones are counted up to a bound, wrong data gets a hint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlhf.data import load_corpus
from rlhf.data.rows import Corpus
from rlhf.errors import UserError

H, A = "\n\nHuman: ", "\n\nAssistant: "
PAIRS = [{"chosen": f"{H}q{i}?{A}yes {i}", "rejected": f"{H}q{i}?{A}no {i}"} for i in range(60)]


def story(corpus: Corpus) -> list[tuple[str, int, int]]:
    return [(count.step, count.before, count.after) for count in corpus.counts]


def assert_accounted(corpus: Corpus) -> None:
    """Each step goes on where the one before it ended, and the parts add up to what was left."""
    *steps, train, validation, test = corpus.counts
    for one, two in zip(steps, steps[1:], strict=False):
        assert one.after == two.before
    assert train.before == validation.before == test.before == steps[-1].after
    assert train.after + validation.after + test.after == steps[-1].after
    assert (train.after, validation.after, test.after) == (len(corpus.train), len(corpus.validation), len(corpus.test))


def test_the_whole_story_in_order(jsonl, spec_of) -> None:
    equal = {"chosen": f"{H}a{A}x", "rejected": f"{H}a{A}x"}
    differ = {"chosen": f"{H}a{A}x", "rejected": f"{H}b{A}y"}
    rows: list[Any] = [*PAIRS, differ, PAIRS[0], PAIRS[1], equal, equal, {"chosen": "alone"}]
    spec = spec_of(
        "hh_rlhf",
        path=jsonl(rows),
        max_bad_rows=1,
        fraction=0.5,
        limit=25,
        split={"validation": 0.2, "test": 0.2, "seed": 0, "folds": None, "fold": 0},
    )
    corpus = load_corpus(spec, "preference")
    read, broken, *rest = story(corpus)
    assert read == ("read", 66, 66)
    assert broken[0].startswith("broken rows, first ") and "rows.jsonl:66, column 'rejected'" in broken[0]
    assert broken[1:] == (66, 65)
    assert rest[:5] == [
        ("prompts differ", 65, 64),
        ("answers are equal", 64, 62),
        ("duplicates", 62, 60),
        ("fraction", 60, 30),
        ("limit", 30, 25),
    ]
    assert [step for step, _, _ in rest[5:]] == ["train", "validation", "test"]
    assert_accounted(corpus)


def test_pairs_asked_as_demonstrations_give_the_chosen_answers_of_the_same_groups(jsonl, spec_of) -> None:
    twice = [*PAIRS, {**PAIRS[0], "rejected": f"{H}q0?{A}never"}]
    spec = spec_of(
        "hh_rlhf", path=jsonl(twice), split={"validation": 0.2, "test": 0.2, "seed": 0, "folds": None, "fold": 0}
    )
    pairs, demonstrations = load_corpus(spec, "preference"), load_corpus(spec, "demonstration")
    for part in ("train", "validation", "test"):
        assert {row.group for row in getattr(pairs, part)} == {row.group for row in getattr(demonstrations, part)}
    assert {row.completion for row in demonstrations.train} == {row.chosen for row in pairs.train}
    assert all(row.chosen is row.rejected is None for row in demonstrations.train)
    assert ("duplicates", 61, 60) in story(demonstrations)
    assert ("duplicates", 61, 61) in story(pairs)
    assert_accounted(demonstrations)


def test_broken_rows_are_skipped_up_to_the_bound_and_refused_beyond(jsonl, spec_of, tmp_path: Path) -> None:
    path = Path(jsonl(PAIRS))
    path.write_bytes(path.read_bytes() + b"{oops\n\xff\n")
    split = {"validation": 0.2, "test": 0.2, "seed": 0, "folds": None, "fold": 0}
    corpus = load_corpus(spec_of("hh_rlhf", path=str(path), max_bad_rows=2, split=split), "preference")
    assert corpus.counts[1].before - corpus.counts[1].after == 2
    assert_accounted(corpus)
    with pytest.raises(UserError, match=r"rows\.jsonl:62: not UTF-8"):
        load_corpus(spec_of("hh_rlhf", path=str(path), max_bad_rows=1, split=split), "preference")


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        (
            "hh_rlhf",
            {"instruction": "a", "response": "b", "intent": "c", "category": "d", "flags": ""},
            "'chosen'.*only: instruction, response.*looks like the format bitext: use dataset=bitext dataset.path=",
        ),
        ("bitext", PAIRS[0], "'instruction'.*only: chosen, rejected.*looks like the format hh_rlhf"),
        ("hh_rlhf", {"prompt": "a", "chosen": "b", "rejected": "c"}, "no row is left.*ultrafeedback_binarized"),
        ("bitext", {"prompt": "a", "chosen": "Assistant: b", "rejected": "Assistant: c"}, "format rm_single_context"),
        ("bitext", {"question": "a", "answer": "b"}, "only: question, answer.*dataset=table and name the columns"),
    ],
)
def test_data_of_another_format_is_recognised(name: str, row: dict[str, str], message: str, jsonl, spec_of) -> None:
    with pytest.raises(UserError, match=message):
        load_corpus(spec_of(name, path=jsonl([row] * 3)), "demonstration")


def test_a_dataset_without_path_and_hub_id_is_refused(spec_of) -> None:
    with pytest.raises(UserError, match="dataset.path: dataset table has neither a path nor a hub_id"):
        load_corpus(spec_of("table"), "demonstration")


def test_a_wrong_column_map_is_never_counted_as_broken_rows(jsonl, spec_of) -> None:
    spec = spec_of("table", path=jsonl(PAIRS), columns={"prompt": "chosen"}, max_bad_rows=1000)
    with pytest.raises(UserError, match="^dataset.columns: .'prompt'. does not make a row"):
        load_corpus(spec, "demonstration")


def test_too_low_a_limit_is_refused(jsonl, spec_of) -> None:
    with pytest.raises(UserError, match="dataset.split: no rows for .*1 row makes 1 group,.*dataset.limit"):
        load_corpus(spec_of("hh_rlhf", path=jsonl(PAIRS), limit=1), "preference")


def test_the_fingerprint_follows_rows_order_and_split(jsonl, spec_of) -> None:
    split = {"validation": 0.2, "test": 0.2, "seed": 0, "folds": None, "fold": 0}

    def print_of(rows: list[dict[str, str]], name: str, **changes: Any) -> str:
        return load_corpus(
            spec_of("hh_rlhf", path=jsonl(rows, name), **{"split": split, **changes}), "preference"
        ).fingerprint

    first = print_of(PAIRS, "a.jsonl")
    assert print_of(PAIRS, "b.jsonl") == first  # the file's name says nothing about its content
    changed = [*PAIRS[:-1], {**PAIRS[-1], "chosen": f"{H}q59?{A}Yes 59"}]
    others = [
        print_of(PAIRS[::-1], "c.jsonl"),
        print_of(changed, "d.jsonl"),
        print_of(PAIRS, "e.jsonl", split={**split, "seed": 1}),
    ]
    assert len({first, *others}) == 4


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "torch transformers trl peft mlflow datasets sklearn pandas pyarrow scipy numpy"
    code = f"import sys, rlhf.data; print([name for name in {heavy.split()!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


JUDGED = [{"q": f"Question {n}?", "a": f"Answer {n}.", "ok": n % 4 != 0} for n in range(80)]
COLUMNS = {"prompt": "q", "completion": "a", "label": "ok"}


def test_single_judged_answers_teach_sft_the_good_ones(jsonl, spec_of) -> None:
    split = {"validation": 0.2, "test": 0.2, "seed": 0, "folds": None, "fold": 0}
    corpus = load_corpus(spec_of("table", path=jsonl(JUDGED), columns=COLUMNS, split=split), "demonstration")
    assert story(corpus)[:2] == [("read", 80, 80), ("the answer was judged bad", 80, 60)]
    good = {row["a"] for row in JUDGED if row["ok"]}
    parts = (corpus.train, corpus.validation, corpus.test)
    assert {row.completion for part in parts for row in part} == good
    assert_accounted(corpus)


def test_single_judged_answers_are_refused_by_methods_of_pairs(jsonl, spec_of) -> None:
    with pytest.raises(UserError, match="dataset=table: it holds single answers that were judged.*method=sft"):
        load_corpus(spec_of("table", path=jsonl(JUDGED), columns=COLUMNS), "preference")


@pytest.mark.parametrize(("comparisons", "made", "repeated"), [("all", 3, 1), ("adjacent", 2, 0)])
def test_a_record_of_several_rows_is_unfolded_in_the_account(comparisons, made, repeated, jsonl, spec_of) -> None:
    # three answers, best first, are 3 comparisons, 2 of neighbours; in the last record a stands twice: one tie, and
    # with all comparisons a > b twice
    rows = [{"instruction": f"Question {n}?", "input": "", "output": ["a", "b", "c"], "history": []} for n in range(40)]
    rows += [{"instruction": "Q?", "input": "", "output": ["a", "a", "b"], "history": []}]
    split = {"validation": 0.2, "test": 0.2, "seed": 0, "folds": None, "fold": 0}
    corpus = load_corpus(spec_of("oasst", path=jsonl(rows), comparisons=comparisons, split=split), "preference")
    whole = 41 * made
    assert story(corpus)[:4] == [
        ("read", 41, 41),
        ("unfolded", 41, whole),
        ("answers are equal", whole, whole - 1),
        ("duplicates", whole - 1, whole - 1 - repeated),
    ]
    assert_accounted(corpus)
