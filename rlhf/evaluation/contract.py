"""What a suite of metrics is: given the questions and one speaker's answers, it finds scores and tables.

A speaker is whatever answers: a trained policy, the base model, or a control line (`rlhf/evaluation/controls.py`) that
shows what good answers or nonsense score. Suites lie in `rlhf/evaluation/suites`, one file each, with `METRICS` (every
metric they may give, described) and `build(spec, tools)`, which returns a `Suite`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rlhf.data.rows import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Scores:
    """One metric of one speaker's answers.

    `each` has a value per question, in their order, and None where the metric says nothing of an answer; it is empty
    for a metric of the whole set (BLEU, distinct-n). `low` and `high` are the ends of the 95% interval of `value`,
    None where there is none. `n` is the number of things that `value` is taken over (answers, tokens, pairs). `draws`
    are the values of a metric of the whole set on resamples of so many `questions`, by which two speakers are compared
    in pairs (`corpus_scores`); empty where there is `each`, whose questions can be counted.
    """

    value: float
    n: int
    low: float | None = None
    high: float | None = None
    each: tuple[float | None, ...] = ()
    draws: tuple[float, ...] = ()
    questions: int | None = None


@dataclass(frozen=True)
class Table:
    """Anything of several columns that belongs to a speaker: a confusion matrix, the bins of a reliability plot."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Findings:
    """What a suite finds in one speaker's answers: scores by the metric's name, tables by a title of one line."""

    scores: Mapping[str, Scores]
    tables: Mapping[str, Table] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what a reader must know: what was left out and why, a sentence each


class Suite(Protocol):
    """Measures one speaker's answers; `texts` has one answer per question."""

    def __call__(self, questions: Sequence[Row], texts: Sequence[str]) -> Findings:
        """Return what is found; the same arguments give the same numbers."""
        ...


class Scorer(Protocol):
    """A judge: scores of (prompt, answer) pairs, higher is better."""

    def __call__(self, pairs: Sequence[tuple[Any, str]], /) -> list[float]:
        """Return a score per pair."""
        ...


@dataclass(frozen=True)
class Tools:
    """What a suite may ask for; everything heavy is made when it is first called."""

    train: Callable[[str], Sequence[Row]]  # training rows of the run's data: "demonstration" or "preference"
    logprobs: Callable[
        [Sequence[Row], Sequence[str]], Iterator[list[float]]
    ]  # log-prob of each answer token, base model
    judge: Callable[[], Scorer | None]  # the judge that the evaluation names; None where it names none
    resamples: int  # of every bootstrap
    seed: int
    store: Path  # what is trained for measuring is kept here, by fingerprint
    say: Callable[[str], None]  # prints one line of progress
    judge_in: Callable[[Path], Scorer] | None = None  # loads the reward model of a finished stage's folder
    gold: Callable[[Row, str], float] | None = None  # the true reward of an answer, where the data set knows it
    held_out: Callable[[str], Sequence[Row]] | None = None  # test rows in a shape, as `train`
    reference: Callable[[], Any] | None = None  # loads what the model that is measured live started from


def mean_scores(each: Sequence[float | None], tools: Tools) -> Scores:
    """Return the mean over the questions that have a value, with its interval (`statistics.mean_interval`).

    `n` is their number. A single one has no interval but that of a share. Raises ValueError where none has a value.
    """
    from rlhf.evaluation.comparison.statistics import mean_interval

    values = [value for value in each if value is not None]
    if not values:
        raise ValueError("no question has a value")
    found = mean_interval(values, tools.resamples, tools.seed)
    known = len(values) > 1 or found.low < found.high
    return Scores(found.mean, len(values), found.low if known else None, found.high if known else None, tuple(each))


def corpus_scores(statistic: Callable[[NDArray], float], questions: int, n: int, tools: Tools) -> Scores:
    """Return a metric of the whole set (BLEU, distinct-n) with its bootstrap interval and what comparing it takes.

    `statistic` gets an array of places of questions, some of them repeated, and returns the metric over those answers;
    it is called once per resample, so that whatever can be counted per answer is best counted before. `n` is the number
    of things the value is taken over. A single question has no interval. Raises ValueError where the statistic is
    finite on no resample.
    """
    import numpy as np

    from rlhf.evaluation.comparison.statistics import between, bootstrap_draws

    draws = bootstrap_draws(statistic, questions, tools.resamples, tools.seed)
    low, high = between(draws) if questions > 1 else (None, None)
    kept = tuple(float(f"{value:.6g}") for value in draws)  # six digits keep the file small
    return Scores(float(statistic(np.arange(questions))), n, low, high, draws=kept, questions=questions)
