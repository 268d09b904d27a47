"""Intervals of metrics of a whole set of answers, in milliseconds: from statistics per question, all draws at once.

The draws are those of `comparison.statistics.bootstrap_draws`: with as many questions, resamples and the same seed
every metric and every speaker sees the same questions drawn, so that differences can be taken in pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rlhf.evaluation.comparison.statistics import between
from rlhf.evaluation.contract import Scores, Tools

if TYPE_CHECKING:
    from numpy.typing import NDArray

AT_ONCE = 1 << 22  # drawn questions that are held in memory at a time
Formula = Callable[["NDArray"], "NDArray"]  # sums of statistics (sets, columns) -> scores (sets,)


def summed_scores(statistics: NDArray, formula: Formula, tools: Tools, n: int | None = None) -> Scores:
    """Return `formula` of the statistics' sum over questions, with its percentile bootstrap (Koehn 2004).

    `statistics` is (questions, columns). `n` counts what the value is taken over, the questions where it is None.
    Raises ValueError where the formula is finite on no resample.
    """
    import numpy as np

    value = float(formula(statistics.sum(axis=0, keepdims=True))[0])
    draws = formula(np.concatenate([times @ statistics for times in _times_drawn(len(statistics), tools)]))
    ends, questions = between(draws.tolist()), len(statistics)
    low, high = ends if questions > 1 else (None, None)
    return Scores(value, questions if n is None else n, low, high, draws=_kept(draws), questions=questions)


def left_out_scores(value: float, without: NDArray, n: int, highest: float, tools: Tools) -> Scores:
    """Return `value`, between 0 and `highest`, with the interval that its values `without` each question tell.

    For metrics of repetition, which a bootstrap would make itself by drawing an answer twice. The draws are of what
    each question adds to the value, (questions - 1) x (mean of `without` - `without`), so that their variance is the
    delete-one jackknife's, which is too large rather than too small (Efron and Stein 1981).
    """
    import numpy as np

    questions = len(without)
    added = (questions - 1) * (without.mean() - without)
    draws = np.concatenate([value + times @ added / questions for times in _times_drawn(questions, tools)])
    low, high = between(draws.tolist())
    return Scores(value, n, max(0.0, low), min(highest, high), draws=_kept(draws), questions=questions)


def _times_drawn(questions: int, tools: Tools) -> Iterator[NDArray]:
    """Yield blocks, (resamples, questions), of how often each question is drawn."""
    import numpy as np

    rng = np.random.default_rng(tools.seed)
    step = max(1, AT_ONCE // questions)
    for first in range(0, tools.resamples, step):
        size = min(step, tools.resamples - first)
        places = rng.integers(0, questions, size=(size, questions)) + questions * np.arange(size)[:, None]
        yield np.bincount(places.ravel(), minlength=size * questions).reshape(size, questions).astype(float)


def _kept(draws: NDArray) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in draws)  # six digits keep the file of findings small
