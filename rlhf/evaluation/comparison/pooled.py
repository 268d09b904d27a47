"""What speakers scored, read from an evaluation's plain values; runs that differ only in their seed are taken together.

A pooled value is the mean over seeds. Three seeds or more have a Student-t interval, two have only their range; seeds
that say the very same have the widest of their intervals over questions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rlhf.evaluation.comparison.statistics import mean_over_seeds
from rlhf.evaluation.controls import NONSENSE
from rlhf.evaluation.described import describe
from rlhf.evaluation.metric import Metric

CONTROLS = ("reference", *NONSENSE)
SEEDS_OF_AN_INTERVAL = 3


@dataclass(frozen=True)
class Line:
    """A line of a comparison. `runs` are the names of its speakers in the data: several where seeds are pooled."""

    name: str
    role: str  # reference | base | start | sft | policy | one of NONSENSE
    label: str
    runs: tuple[str, ...]
    seeds: tuple[str, ...]

    @property
    def control(self) -> bool:
        """Whether it shows what good answers or nonsense score."""
        return self.role in CONTROLS

    @property
    def nonsense(self) -> bool:
        """Whether it shows what nonsense scores."""
        return self.role in NONSENSE


@dataclass(frozen=True)
class Measured:
    """One metric of one speaker. `each`, `draws` and `questions` are as in `rlhf.evaluation.contract.Scores`.

    `seeds` are the values of its runs; `kind` says what the interval is over. A range is no 95% interval.
    """

    value: float
    n: int
    low: float | None
    high: float | None
    each: tuple[float | None, ...]
    draws: tuple[float, ...]
    seeds: tuple[float, ...]
    kind: Literal["questions", "seeds", "range", ""]
    questions: int | None = None

    @property
    def counted(self) -> int:
        """How many questions it is of; `n` where that is not known."""
        if self.each:
            return sum(value is not None for value in self.each)
        return self.n if self.questions is None else self.questions


Measurements = Mapping[str, Mapping[str, Measured]]  # by metric, then by speaker


def pooled(speakers: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Return the speakers in their order, those of one role and `group` as one in the place of the first.

    `group` is what runs that differ only in their seed share; without one a speaker stands for itself. Two runs of the
    same seed are no two seeds: the later one counts.
    """
    together: dict[str, dict[str, Mapping[str, Any]]] = {}
    for speaker in speakers:
        own = str(speaker["name"])
        group = speaker.get("group") if speaker["role"] not in CONTROLS else None
        seed = speaker.get("seed")
        key = f"{speaker['role']} of {group}" if group else own
        together.setdefault(key, {})[own if seed is None else str(seed)] = speaker
    made = []
    for alike in together.values():
        first = next(iter(alike.values()))
        seeds = tuple(str(one["seed"]) for one in alike.values() if one.get("seed") is not None)
        runs = tuple(str(one["name"]) for one in alike.values())
        label = str(first.get("label") or first["name"])
        made.append(Line(str(first["name"]), str(first["role"]), label, runs, seeds))
    return made


def measurements(speakers: Sequence[Line], metrics: Mapping[str, Mapping[str, Any]]) -> Measurements:
    """Return what each speaker scored: `metrics` has plain values by metric, then by speaker; metrics keep their order.

    A pooled speaker has a metric only where each of its runs has.
    """
    made: dict[str, dict[str, Measured]] = {}
    for metric, by_speaker in metrics.items():
        for speaker in speakers:
            entries = [by_speaker[run] for run in speaker.runs if by_speaker.get(run) is not None]
            if len(entries) == len(speaker.runs) and all(entry["value"] is not None for entry in entries):
                made.setdefault(metric, {})[speaker.name] = _together(entries, describe(metric))
    return made


def _together(entries: Sequence[Mapping[str, Any]], metric: Metric | None) -> Measured:
    values = tuple(float(entry["value"]) for entry in entries)
    n = min(int(entry["n"]) for entry in entries)
    each = _means([entry.get("each") or () for entry in entries])
    draws = tuple(
        math.nan if value is None else value for value in _means([entry.get("draws") or () for entry in entries])
    )
    counts = [int(entry["questions"]) for entry in entries if entry.get("questions") is not None]
    questions = min(counts) if counts else None
    if len(values) == 1:
        low, high = entries[0].get("low"), entries[0].get("high")
        kind: Literal["questions", ""] = "" if low is None or high is None else "questions"
        return Measured(values[0], n, low, high, each, draws, values, kind, questions)
    ends = [float(entry[end]) for entry in entries for end in ("low", "high") if entry.get(end) is not None]
    if len(set(values)) == 1 and ends:  # nothing is known of the noise between seeds
        low, high = min(ends), max(ends)
        return Measured(values[0], n, low, high, each, draws, values, "questions", questions)
    if len(values) >= SEEDS_OF_AN_INTERVAL and all(map(math.isfinite, values)):
        over = mean_over_seeds(values)
        low, high = metric.within(over.low, over.high) if metric else (over.low, over.high)
        return Measured(over.mean, n, low, high, each, draws, values, "seeds", questions)
    return Measured(sum(values) / len(values), n, min(values), max(values), each, draws, values, "range", questions)


def _means(lists: Sequence[Sequence[float | None]]) -> tuple[float | None, ...]:
    """Means place by place; None where one of them has none, and nothing at all where they don't match."""
    if len({len(one) for one in lists}) != 1:
        return ()
    return tuple(
        None
        if any(value is None for value in place)
        else sum(value for value in place if value is not None) / len(place)
        for place in zip(*lists, strict=True)
    )
