"""`pairs=votes`: the pairs of a data set as they are, called votes where somebody voted; ties are counted by it."""

from __future__ import annotations

from rlhf.data.rows import Row
from rlhf.pairs.made import Made, Pair, Work, one_by_one
from rlhf.pairs.texts import alike

CHUNK = 500  # rows between two writes
VOTED = {"vote", "selected"}  # what rows of the feedback store and of its exports are marked with
SAME = "both answers are the same"


def votes_work() -> Work:
    """Return the work of the maker."""
    return one_by_one(lambda at, row: vote(row), CHUNK)


def vote(row: Row) -> Made:
    """Return a row's own pair."""
    assert row.chosen is not None and row.rejected is not None, "the rows were asked for as pairs"
    if alike(row.chosen, row.rejected):
        return Made(lost={SAME: 1})
    parameters = {name: row.meta[name] for name in ("vote", "rating") if name in row.meta}
    source = "vote" if VOTED & row.meta.keys() else str(row.meta.get("source", "data set"))
    return Made([Pair(row.prompt, row.chosen, row.rejected, source, parameters)])
