"""The score of an answer: the weighted sum of what several sources say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from rlhf import ranks
from rlhf.data.rows import Row
from rlhf.errors import RunFailure, UserError, one_line
from rlhf.ppo.rewards.base import GO_ON, Scorer
from rlhf.ppo_spec import place


class Combined:
    """A scorer that sums named scorers by their weights; a weight of 0 only watches."""

    def __init__(self, sources: Mapping[str, tuple[float, Scorer]]) -> None:
        self.sources = dict(sources)

    def __call__(self, rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
        """Return one score per answer; raises `RunFailure` where a source gives something else than finite numbers."""
        return self.total(self.each(rows, answers))

    def each(self, rows: Sequence[Row], answers: Sequence[str]) -> dict[str, list[float]]:
        """Return every source's own scores of the answers, not weighted; raises `RunFailure` as the sum does.

        Of several processes each scores answers of its own, all at the same moments: what fails in one ends all.
        """
        assert len(rows) == len(answers)
        found: dict[str, list[float]] = {}
        with ranks.failing_together():
            for name, (_, scorer) in self.sources.items():
                with _running(name):
                    found[name] = scorer(rows, answers)
                    _refuse_unusable(name, found[name], answers)
        return found

    def total(self, each: Mapping[str, Sequence[float]]) -> list[float]:
        """Return the weighted sum of what `each` gave."""
        weighted = [[weight * own for own in each[name]] for name, (weight, _) in self.sources.items()]
        return [sum(scores) for scores in zip(*weighted, strict=True)]


@contextmanager
def _running(name: str) -> Iterator[None]:
    """Make one line of whatever a source raises: a user's function or a library may raise anything."""
    try:
        yield
    except (UserError, RunFailure):
        raise
    except torch.OutOfMemoryError as error:
        remedy = f"Lower evaluation.batch_size, the answers that are read at once, and {GO_ON}"
        raise RunFailure(place(name), str(error).splitlines()[0].rstrip("."), remedy, resumable=True) from error
    except Exception as error:
        raise RunFailure(place(name), one_line(error), GO_ON, resumable=True) from error


def _refuse_unusable(name: str, scores: Sequence[float], answers: Sequence[str]) -> None:
    if len(scores) != len(answers):
        problem = f"{len(scores)} scores came back for {len(answers)} answers"
        remedy = f"Return one score per answer, in their order, and {GO_ON}"
        raise RunFailure(place(name), problem, remedy, resumable=True)
    for score, answer in zip(scores, answers, strict=True):
        if not math.isfinite(score):
            problem = f"the score of {answer[:60]!r} is {score}, not a finite number"
            remedy = f"Try precision=fp32, or take this source out; where the cause has gone, {GO_ON}"
            raise RunFailure(place(name), problem, remedy, resumable=True)
