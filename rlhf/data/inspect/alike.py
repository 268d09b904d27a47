"""Prompts that are nearly the same (MinHash and banding, Broder 1997), and the parts of the split that they join.

Work and memory grow with the number of prompts, not with its square: only prompts that share a band are compared, each
with the first and the last one before it there, and by their pieces themselves, so that no pair is told that is none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from rlhf.data.inspect.texts import SIDES, asked, sides
from rlhf.data.rows import Corpus
from rlhf.inspection_spec import InspectionSpec, NearDuplicatesSpec

BASE = 1_000_003  # of the polynomial that hashes a piece, modulo 2^64


def pieces(text: str, characters: int) -> Any:
    """Return the sorted distinct hashes (uint64) of all overlapping pieces of `characters` letters of a text.

    Case and white space do not count. A shorter text is one piece.
    """
    import numpy

    folded = " ".join(text.casefold().split())
    letters = numpy.frombuffer(folded.encode("utf-32-le"), dtype=numpy.uint32).astype(numpy.uint64)
    width = min(characters, len(letters)) or 1
    hashes = numpy.zeros(max(1, len(letters) - width + 1), dtype=numpy.uint64)
    for at in range(width if len(letters) else 0):
        hashes = hashes * numpy.uint64(BASE) + letters[at : at + len(hashes)]
    return numpy.unique(_mixed(hashes))


def _mixed(values: Any) -> Any:
    """Spread 64-bit values evenly (the finaliser of splitmix64, Steele et al. 2014)."""
    import numpy

    values = (values ^ (values >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return values ^ (values >> numpy.uint64(31))


def similarity(one: Any, other: Any) -> float:
    """Jaccard similarity of two sets of pieces: how many they share, over all that either has."""
    import numpy

    shared = len(numpy.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def near_duplicates(texts: Sequence[str], groups: Sequence[str], spec: NearDuplicatesSpec, seed: int) -> list[set[int]]:
    """Return clusters of texts (by index) of different groups that are linked by pairs that are alike enough."""
    parents = list(range(len(texts)))

    def root(at: int) -> int:
        while parents[at] != at:
            parents[at] = at = parents[parents[at]]
        return at

    looked: set[tuple[int, int]] = set()
    for one, other in _candidates(texts, groups, spec, seed):
        if (one, other) in looked or root(one) == root(other):
            continue
        looked.add((one, other))
        left, right = pieces(texts[one], spec.characters), pieces(texts[other], spec.characters)
        if similarity(left, right) >= spec.similarity:
            parents[root(other)] = root(one)
    found: dict[int, set[int]] = defaultdict(set)
    for at in range(len(texts)):
        found[root(at)].add(at)
    return [cluster for cluster in found.values() if len(cluster) > 1]


def _candidates(
    texts: Sequence[str], groups: Sequence[str], spec: NearDuplicatesSpec, seed: int
) -> Iterable[tuple[int, int]]:
    """Yield pairs of different groups that agree in a band: each text with the first and the last one before it."""
    import numpy

    bands = _bands(texts, spec, seed)
    for band in range(spec.bands):
        order = numpy.argsort(bands[:, band], kind="stable")
        values = bands[order, band]
        starts: list[int] = numpy.flatnonzero(numpy.r_[True, values[1:] != values[:-1]][: len(values)]).tolist()
        for start, end in pairwise([*starts, len(values)]):
            members = [int(at) for at in order[start:end]]
            for place, at in enumerate(members[1:], start=1):
                others = (members[0], members[place - 1])
                yield from ((other, at) for other in dict.fromkeys(others) if groups[other] != groups[at])


def _bands(texts: Sequence[str], spec: NearDuplicatesSpec, seed: int) -> Any:
    """Return one hash per text and band (rows: texts), of the least values of its pieces under as many hashes."""
    import numpy

    draw = numpy.random.default_rng(seed)
    size = spec.bands * spec.band_values
    factors = draw.integers(0, 2**63, size=(size, 1), dtype=numpy.uint64) * numpy.uint64(2) + numpy.uint64(1)
    shifts = draw.integers(0, 2**63, size=(size, 1), dtype=numpy.uint64)
    found = numpy.empty((len(texts), spec.bands), dtype=numpy.uint64)
    for at, text in enumerate(texts):
        least = (_mixed(pieces(text, spec.characters) * factors + shifts)).min(axis=1).reshape(spec.bands, -1)
        band = numpy.zeros(spec.bands, dtype=numpy.uint64)
        for value in range(spec.band_values):
            band = band * numpy.uint64(BASE) + least[:, value]
        found[at] = band
    return found


def look(corpus: Corpus, places: Sequence[tuple[str, int]], spec: InspectionSpec) -> dict[str, Any]:
    """Say how many of the rows at `places` have a nearly equal prompt in another group, and which parts that joins.

    `leaked` counts, of each held-out part, rows whose cluster reaches into a part before it.
    """
    parts = sides(corpus)
    names: list[str] = []  # distinct prompts
    groups: list[str] = []
    held: list[list[tuple[str, int]]] = []  # places of each of them
    known: dict[tuple[str, str], int] = {}
    for name, at in places:
        row = parts[name][at]
        text = asked(row)
        key = (" ".join(text.casefold().split()), row.group)
        if key not in known:
            known[key] = len(names)
            names.append(text)
            groups.append(row.group)
            held.append([])
        held[known[key]].append((name, at))
    clusters = near_duplicates(names, groups, spec.near_duplicates, spec.seed)
    leaked: Counter[str] = Counter()
    across = 0
    for cluster in clusters:
        own = Counter(name for at in cluster for name, _ in held[at])
        across += len(own) > 1
        for place, name in enumerate(SIDES[1:], start=1):
            if any(own[before] for before in SIDES[:place]):
                leaked[name] += own[name]
    biggest = sorted(clusters, key=lambda cluster: (-sum(len(held[at]) for at in cluster), min(cluster)))
    return {
        "rows_looked_at": len(places),
        "held_out": {name: sum(part == name for part, _ in places) for name in SIDES[1:]},
        "clusters": len(clusters),
        "rows": sum(len(held[at]) for cluster in clusters for at in cluster),
        "clusters_across_parts": across,
        "leaked": {name: leaked[name] for name in SIDES[1:]},
        "examples": [[names[at] for at in sorted(cluster)[:3]] for cluster in biggest[: spec.examples]],
    }
