"""Rows that share a link (`meta.links`) become one group: a persona of two dialogues, an exchange of one dialogue.

Works on the rows' keys alone (`splits.KEYS`), so that it makes no difference where the rows lie.
"""

from __future__ import annotations

from typing import Any

DRAWN = ("group", "keep", "split", "fold")  # what a row has of its group


def united(keys: Any) -> Any:
    """Give all rows that links connect, directly or through others, the draws of one of their groups, the lowest.

    Neither the order of the rows nor the names of the links matter. Keys without links are handed back as they are.
    """
    import numpy

    linked = keys[keys["links"].any(axis=1)]
    if not len(linked):
        return keys
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        while (above := parent.setdefault(node, node)) != node:
            parent[node] = parent[above]
            node = parent[node]
        return node

    for group, links in zip(linked["group"].tolist(), linked["links"].tolist(), strict=True):
        for link in links:
            if link:
                low, high = sorted((root(group), root(link)))
                parent[high] = low
    names, first, place = numpy.unique(keys["group"], return_index=True, return_inverse=True)
    lowest: dict[int, int] = {}
    for at, name in enumerate(names.tolist()):  # in rising order
        lowest.setdefault(root(name), at)
    source = first[[lowest[root(name)] for name in names.tolist()]][place]
    joined = keys.copy()
    for field in DRAWN:
        joined[field] = keys[field][source]
    return joined
