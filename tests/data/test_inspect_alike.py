"""Near-duplicates: similarities worked by hand, and clusters beside those of comparing every pair."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from rlhf.data.inspect.alike import look, near_duplicates, pieces, similarity
from rlhf.data.rows import Corpus, Row
from rlhf.inspection_spec import InspectionSpec, NearDuplicatesSpec

SPEC = NearDuplicatesSpec(characters=5, similarity=0.8, bands=16, band_values=4)


def alike(one: str, other: str) -> float:
    return similarity(pieces(one, 5), pieces(other, 5))


def test_pieces_are_all_runs_of_five_letters() -> None:
    assert len(pieces("abcdefg", 5)) == 3  # abcde bcdef cdefg
    assert len(pieces("aaaaaaaa", 5)) == 1
    assert len(pieces("abc", 5)) == len(pieces("", 5)) == 1


def test_similarity_is_what_is_shared_over_all() -> None:
    assert alike("abcdef", "abcdefg") == 2 / 3
    assert alike("abcdefghij", "abcdefghijk") == 6 / 7
    assert alike("abcdef", "uvwxyz") == 0
    assert alike("Where  is my\nORDER?", "where is my order?") == 1


def test_only_texts_of_different_groups_are_told() -> None:
    text = "please cancel the order that i made last week"
    texts = [text, f"{text}!", f"{text}?", "where is the nearest museum in town"]
    assert near_duplicates(texts, ["a", "b", "c", "d"], SPEC, 0) == [{0, 1, 2}]
    assert near_duplicates(texts, ["a", "a", "a", "d"], SPEC, 0) == []
    assert near_duplicates([], [], SPEC, 0) == []


@pytest.mark.parametrize("similarity", [0.8, 0.86])
def test_a_pair_below_the_threshold_is_never_told(similarity: float) -> None:
    """6 of 7 pieces are shared: 0.857."""
    spec = SPEC.model_copy(update={"similarity": similarity})
    found = near_duplicates(["abcdefghij", "abcdefghijk"], ["a", "b"], spec, 0)
    assert found == ([{0, 1}] if similarity < 6 / 7 else [])


def test_clusters_are_those_of_comparing_every_pair() -> None:
    rng = random.Random(3)
    vocabulary = ("order", "refund", "hotel", "museum", "train", "ticket", "invoice", "parcel", "garden", "mountain")
    texts = []
    for _ in range(60):
        sentence = " ".join(rng.choices(vocabulary, k=14))
        texts += [sentence, f"{sentence} please", sentence.replace(" ", " the ", 1)]
    groups = [str(at) for at in range(len(texts))]
    truly = {(a, b) for a, b in combinations(range(len(texts)), 2) if alike(texts[a], texts[b]) >= 0.8}
    assert len(truly) > 100
    clusters = near_duplicates(texts, groups, SPEC, 0)
    together = {pair for cluster in clusters for pair in combinations(sorted(cluster), 2)}
    assert len(truly - together) <= 0.02 * len(truly)
    for cluster in clusters:  # each member is truly alike to another one
        assert all(any((min(a, b), max(a, b)) in truly for b in cluster - {a}) for a in cluster)


def test_parts_that_near_duplicates_join_are_counted(inspection: InspectionSpec) -> None:
    """Train and test hold a prompt but for a word; another stands in train alone, and one in validation is strange."""
    cancel, museum = "please cancel the order that i made last week", "is the museum of modern art open on sundays"
    train = (row(cancel), row(museum), row(f"{museum} now"))
    corpus = Corpus("x", train, (row("my parcel was left in the rain"),), (row(f"{cancel} ok"),), (), "", None)
    places = [("train", 0), ("train", 1), ("train", 2), ("validation", 0), ("test", 0)]
    told = look(corpus, places, inspection)
    assert (told["clusters"], told["rows"], told["clusters_across_parts"]) == (2, 4, 1)
    assert told["leaked"] == {"validation": 0, "test": 1}
    assert told["held_out"] == {"validation": 1, "test": 1}
    assert [cancel, f"{cancel} ok"] in told["examples"]


def row(prompt: str) -> Row:
    return Row(({"role": "user", "content": prompt},), group=prompt, completion="Yes.")
