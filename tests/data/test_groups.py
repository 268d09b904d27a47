"""Rows that share a link fall to one side, worked by hand and on the shared samples."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest

from rlhf.data import load_corpus
from rlhf.data.arrow import encode
from rlhf.data.groups import united
from rlhf.data.rows import Row
from rlhf.data.splits import keys_of


def keys(*rows: tuple[str, list[str]]) -> Any:
    """Keys of rows of a group and links."""
    made = [
        Row(({"role": "user", "content": f"q{at}"},), group, completion="a", meta={"links": links})
        for at, (group, links) in enumerate(rows)
    ]
    return keys_of(made, [encode(row) for row in made], seed=0)


def sides(found: Any) -> list[int]:
    """Number the groups in the order of their first row; the draws must say the same."""
    for name in ("keep", "split", "fold"):
        assert len({(row["group"], row[name]) for row in found}) == len({row["group"] for row in found})
    seen: dict[int, int] = {}
    return [seen.setdefault(int(group), len(seen)) for group in found["group"]]


def test_links_join_groups_directly_and_through_others() -> None:
    chain = [("a", ["1", "2"]), ("b", ["2", "3"]), ("c", ["3"]), ("d", ["4"]), ("e", []), ("a", [])]
    assert sides(united(keys(*chain))) == [0, 0, 0, 1, 2, 0]


def test_a_link_of_the_same_name_as_a_group_is_that_group() -> None:
    assert sides(united(keys(("a", []), ("b", ["a"]), ("c", ["b"])))) == [0, 0, 0]


def test_rows_without_links_are_left_as_they_are() -> None:
    found = keys(("a", []), ("b", []))
    assert united(found) is found


def test_the_order_of_rows_moves_no_group_to_another_side() -> None:
    rows = [(f"g{at % 7}", [f"l{at % 5}"] if at % 3 else []) for at in range(30)]
    shuffled = rows.copy()
    random.Random(3).shuffle(shuffled)
    drawn = [
        dict(zip([group for group, _ in order], united(keys(*order))["split"].tolist(), strict=True))
        for order in (rows, shuffled)
    ]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("validation", [0.05, 0.3])
def test_no_persona_of_either_speaker_is_on_two_sides(validation: float, shared_data, spec_of) -> None:
    path = str(shared_data / "persona" / "synthetic_persona_chat.jsonl.gz")
    split = {"validation": validation, "test": 0.2, "seed": 1, "folds": None, "fold": 0}
    corpus = load_corpus(spec_of("synthetic_persona_chat", path=path, turns="last", split=split), "demonstration")
    where: dict[str, set[str]] = defaultdict(set)
    for side in ("train", "validation", "test"):
        for row in getattr(corpus, side):
            for persona in row.meta["links"]:  # both personas of its dialogue
                where[persona].add(side)
    assert len(where) > 3000
    assert {len(found) for found in where.values()} == {1}


def test_no_exchange_of_a_spreadsheet_is_on_two_sides(shared_data, spec_of) -> None:
    path = str(shared_data / "derived" / "tourism_user_chatbot_pairs.jsonl.gz")
    corpus = load_corpus(spec_of("tourism_pairs", path=path), "demonstration")
    where: dict[str, set[str]] = defaultdict(set)
    for side in ("train", "validation", "test"):
        for row in getattr(corpus, side):
            said = [*(turn["content"].casefold() for turn in row.prompt), (row.completion or "").casefold()]
            for asked, answered in zip(said[::2], said[1::2], strict=True):
                if len(f"{asked} {answered}".split()) >= 8:  # shorter ones say nothing of their dialogue
                    where[f"{asked} / {answered}"].add(side)
    assert len(where) > 9000
    assert {len(found) for found in where.values()} == {1}
