"""What the comparisons of a table are worth: paired tests on single questions, corrected together for their number.

A line is compared with the model it started from, on the same prompts; a reward model with chance, on pairs. Scores of
single questions are in a job's result.json (`each`, see `rlhf.kept`); what left none is not tested.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from rlhf.evaluation import metrics as names
from rlhf.evaluation.comparison.compare import LEVEL, Difference, differences, permutations
from rlhf.evaluation.comparison.pooled import Measured
from rlhf.evaluation.comparison.statistics import holm_of_each, wins

REWARD, GOLD, RIGHT = names.FINAL_REWARD.name, names.FINAL_REWARD_GOLD.name, names.FINAL_ACCURACY.name
SCORES = {  # a comparison -> the scores of single questions that it is made of
    names.FINAL_REWARD_DIFFERENCE.name: REWARD,
    names.FINAL_REWARD_GOLD_DIFFERENCE.name: GOLD,
    names.FINAL_WIN_RATE.name: REWARD,
    names.FINAL_ACCURACY.name: RIGHT,
}
COMPARED = {  # what a comparison is called in tables
    names.FINAL_REWARD_DIFFERENCE.name: "reward gain",
    names.FINAL_REWARD_GOLD_DIFFERENCE.name: "gold gain",
    names.FINAL_WIN_RATE.name: "win rate",
    names.FINAL_ACCURACY.name: "accuracy",
}
GAINS = {names.FINAL_REWARD_DIFFERENCE.name, names.FINAL_REWARD_GOLD_DIFFERENCE.name}
COUNTED = {names.FINAL_WIN_RATE.name, names.FINAL_ACCURACY.name}  # what a tie counts half of
RESAMPLES, PERMUTATIONS, SEED = 2000, 10_000, 0

Each = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Beside:
    """A line's scores on single questions, and those of the model it started from, on the same ones; of one seed.

    `asked` tells the questions from others. A reward model started from nothing that could be compared.
    """

    ours: Each
    theirs: Each
    asked: str


def beside_start(outcome: Mapping[str, Any], place: int = -1) -> Beside:
    """Return what a line of a job (a place in its `rows`) is compared by; empty where the job left no such scores."""
    asked = str(outcome.get("asked") or "")
    rows = outcome.get("rows") or []
    if not rows:
        return Beside(outcome.get("each") or {}, {}, asked)
    place %= len(rows)
    before = rows[place - 1].get("each") or {} if place else {}
    return Beside(rows[place].get("each") or {}, before, asked)


def control_key(row: Mapping[str, Any]) -> str:
    """What tells a control from others: one that several jobs share is one line."""
    return json.dumps([row["fingerprint"], row["metrics"]], sort_keys=True)


def controls_with_scores(outcomes: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Mapping[str, Any], int]]:
    """For each control a job that has it and its place there: of those that share it one that left its scores."""
    found: dict[str, tuple[Mapping[str, Any], int]] = {}
    for outcome in outcomes:
        for place, row in enumerate((outcome.get("rows") or [])[:-1]):
            key = control_key(row)
            if key not in found or (row.get("each") and not found[key][0]["rows"][found[key][1]].get("each")):
                found[key] = (outcome, place)
    return found


def without(one: Beside, scores: str) -> Beside:
    """The same without one kind of scores."""
    return replace(one, ours={kind: each for kind, each in one.ours.items() if kind != scores})


def compare_lines(lines: Sequence[Sequence[Beside]]) -> list[dict[str, Difference]]:
    """Compare each line, of one seed or several, with what it started from: by metric, as far as it has scores.

    All p values are one family. Rewards that are the gold scores themselves are tested once.
    """
    found = [(at, name) for at, seeds in enumerate(lines) for name in SCORES if _has(seeds, name)]
    made = compare_pairs({(at, name): _pair(lines[at], name) for at, name in found})
    tests: list[dict[str, Difference]] = [{} for _ in lines]
    for (at, name), one in made.items():
        if one.p is not None:
            tests[at][name] = replace(one, metric=name)
    return tests


def compare_pairs(pairs: Mapping[tuple[int, str], tuple[Measured, Measured]]) -> dict[tuple[int, str], Difference]:
    """Compare pairs of lines, by the place of the first and a metric; all p values are one family."""
    drawn = permutations(len(pairs), PERMUTATIONS)
    return corrected(dict(zip(pairs, differences(list(pairs.values()), RESAMPLES, drawn, SEED), strict=True)))


def corrected(made: Mapping[tuple[int, str], Difference]) -> dict[tuple[int, str], Difference]:
    """Fill in `p_holm`: Holm's correction over all that was tested; a gain told under two names counts once."""
    adjusted = holm_of_each({key: (_test(*key, one), one.p) for key, one in made.items() if one.p is not None})
    return {key: replace(one, p_holm=adjusted.get(key)) for key, one in made.items()}


def number_of_tests(tests: Sequence[Mapping[str, Difference]]) -> int:
    """How many p values a table's correction is over."""
    return len({_test(at, name, one) for at, own in enumerate(tests) for name, one in own.items()})


def _test(at: int, name: str, one: Difference) -> tuple[Any, ...]:
    """What tells a test from the others: the gain in reward is that in gold where the gold reward is the judge."""
    return (at, one.value, one.low, one.high, one.p) if name in GAINS else (at, name)


def unclear(low: float, high: float, null: float, tested: Difference | None) -> bool:
    """Whether a comparison may be no difference: its interval holds that, or the corrected p value is not small.

    Where nothing was tested the interval alone decides.
    """
    return low <= null <= high or (tested is not None and tested.p_holm is not None and tested.p_holm >= LEVEL)


def told(low: float, high: float, null: float, tested: Difference | None) -> str:
    """What a comparison is called, for files without colour."""
    if tested is None:
        return "not tested"
    return "no clear difference" if unclear(low, high, null, tested) else "clear difference"


def gains(one: Beside, name: str) -> list[float]:
    """What a comparison is the mean of, question by question: the gain; of what is counted -1, 0 or 1."""
    left, right = _sides(one, name)
    return [a - b for a, b in zip(left, right, strict=True)]


def interval_of(own: Difference) -> tuple[float, float]:
    """The ends of a difference in the unit of its metric: of what is counted a share, no difference being one half."""
    assert own.low is not None and own.high is not None, "what has a p value has an interval"
    if own.metric in COUNTED:
        return max(0.0, 0.5 + own.low / 2), min(1.0, 0.5 + own.high / 2)
    return own.low, own.high


def measured(seeds: Sequence[Beside], name: str, values: Sequence[float]) -> Measured:
    """Return a line's `values` in a metric, one per seed, with what they are means of, question by question."""
    each: list[list[float]] = []
    if name in SCORES and _has(seeds, name):
        each = [gains(one, name) for one in seeds]
        each = [[0.5 + gain / 2 for gain in own] for own in each] if name in COUNTED else each
    elif name in SCORES.values() and seeds and all(one.ours.get(name) for one in seeds):
        each = [list(one.ours[name]) for one in seeds]
    mean = [fmean(place) for place in zip(*each, strict=True)] if len({len(own) for own in each}) == 1 else []
    return Measured(fmean(values), len(mean), None, None, tuple(mean), (), tuple(values), "")


def known_values(values: Sequence[float | None]) -> list[float]:
    """A line's values in a metric, one per seed; none where a seed has none, or one that is no number."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return known if len(known) == len(values) else []


def _has(seeds: Sequence[Beside], name: str) -> bool:
    scores = SCORES[name]
    sides = [(one.ours.get(scores) or (), one.theirs.get(scores) or ()) for one in seeds]
    paired = all(ours and (scores == RIGHT or len(ours) == len(theirs)) for ours, theirs in sides)
    return bool(seeds) and paired and all(math.isfinite(value) for side in sides for own in side for value in own)


def _sides(one: Beside, name: str) -> tuple[list[float], list[float]]:
    """Ours and theirs: scores, or of what is counted who won, question by question."""
    ours = list(one.ours[SCORES[name]])
    if name not in COUNTED:
        return ours, list(one.theirs[SCORES[name]])
    won = ours if name == RIGHT else wins(ours, one.theirs[SCORES[name]])
    return [float(value == 1.0) for value in won], [float(value == 0.0) for value in won]


def _pair(seeds: Sequence[Beside], name: str) -> tuple[Measured, Measured]:
    """What is compared: two lines of one seed, else the gains, their means over seeds by question, with none."""
    if len(seeds) == 1:
        left, right = _sides(seeds[0], name)
        return _measured(left, ()), _measured(right, ())
    own = [gains(one, name) for one in seeds]
    over = tuple(fmean(values) for values in own)
    same = len({one.asked for one in seeds}) == 1 and len({len(values) for values in own}) == 1
    mean = [fmean(values) for values in zip(*own, strict=True)] if same else []
    return replace(_measured(mean, over), value=fmean(over)), _measured([0.0] * len(mean), ())


def _measured(each: Sequence[float], seeds: tuple[float, ...]) -> Measured:
    value = fmean(each) if each else 0.0
    return Measured(value, len(each), None, None, tuple(each), (), seeds, "")
