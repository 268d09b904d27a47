"""What the scores of a reward model on held-out pairs say: calibration, subsets, and whether it beats the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlhf.data.rows import Row
from rlhf.evaluation.comparison.statistics import holm, sign_test, wilson
from rlhf.evaluation.contract import Findings, Scores, Table
from rlhf.evaluation.metrics import Metric
from rlhf.evaluation.preference import metrics as names
from rlhf.evaluation.preference.calibration import (
    brier,
    calibrated_error,
    calibrating_temperature,
    confidences,
    expected_calibration_error,
    reliability,
)
from rlhf.evaluation.preference.leaks import mean_over_groups
from rlhf.evaluation.reward import JudgedPairs
from rlhf.evaluation_spec import PreferenceSpec

OTHERS = "others"
RELIABILITY, BASELINES, SINGLE = "reliability", "against baselines", "single pairs"
SHOWN_CHARACTERS = 200  # of a text in the table of single pairs


def examine(rows: Sequence[Row], judged: JudgedPairs, spec: PreferenceSpec, resamples: int, seed: int) -> Findings:
    """Measure a reward model by its scores of `rows`, which are pairs."""
    margins, right = judged.margins, judged.right
    confidence = confidences(margins)
    bins = reliability(confidence, right, spec.bins, spec.binning)
    n = len(rows)
    scores = {
        names.ECE.name: Scores(expected_calibration_error(bins), n),
        names.ECE_BY_CHANCE.name: Scores(calibrated_error(confidence, spec.bins, spec.binning, resamples, seed), n),
        names.BRIER.name: Scores(brier(margins), n),
    }
    notes = []
    temperature = calibrating_temperature(margins)
    if 0 < temperature < float("inf"):
        scores[names.TEMPERATURE.name] = Scores(temperature, n)
    else:
        why = "every pair is in the right order" if temperature == 0 else "the mean margin is not above 0"
        notes.append(f"No {names.TEMPERATURE.name}: {why}, so that none is best.")
    shorter = [value for row, value in zip(rows, right, strict=True) if len(row.chosen or "") < len(row.rejected or "")]
    if shorter:
        share = wilson(sum(shorter), len(shorter))
        scores[names.ACCURACY_SHORTER.name] = Scores(share.mean, len(shorter), share.low, share.high)
    else:
        notes.append(f"No {names.ACCURACY_SHORTER.name}: no chosen answer is the shorter one.")
    gains, baselines = _against_baselines(rows, judged, resamples, seed)
    table = Table(
        ("from", "to", "confidence", "accuracy", "n"),
        tuple((one.low, one.high, one.confidence, one.accuracy, one.n) for one in bins),
    )
    tables = {RELIABILITY: table, BASELINES: baselines, **_by_subset(rows, right, spec)}
    if spec.shown:
        tables[SINGLE] = _single(rows, judged, spec.shown)
    return Findings(scores | gains, tables, tuple(notes))


def _against_baselines(
    rows: Sequence[Row], judged: JudgedPairs, resamples: int, seed: int
) -> tuple[dict[str, Scores], Table]:
    """Compare with each baseline pair by pair; pairs of one group are no independent evidence, so groups are drawn.

    The sign test counts the groups on which the model is right more often than the baseline, and less often.
    """
    scores, lines, pvalues = {}, [], []
    compared: tuple[tuple[str, Metric, list[float]], ...] = (
        ("answer length", names.OVER_LENGTH, judged.length_rule),
        ("bag of words", names.OVER_WORDS, judged.bag_of_words),
    )
    for label, metric, baseline in compared:
        differences = [ours - theirs for ours, theirs in zip(judged.right, baseline, strict=True)]
        groups = _grouped(rows, differences)
        gain = mean_over_groups(groups, resamples, seed)
        better, worse = sum(sum(own) > 0 for own in groups), sum(sum(own) < 0 for own in groups)
        scores[metric.name] = Scores(gain.mean, len(differences), gain.low, gain.high, tuple(differences))
        pvalues.append(sign_test(better, worse))
        lines.append((label, _mean(baseline), _mean(judged.right), gain.mean, gain.low, gain.high, better, worse))
    columns = ("baseline", "its accuracy", "accuracy", "difference", "low", "high", "better", "worse", "p, corrected")
    table = Table(columns, tuple((*line, p) for line, p in zip(lines, holm(pvalues), strict=True)))
    return scores, table


def _grouped(rows: Sequence[Row], values: Sequence[float]) -> list[list[float]]:
    groups: dict[str, list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        groups.setdefault(row.group, []).append(value)
    return list(groups.values())


def _by_subset(rows: Sequence[Row], right: Sequence[float], spec: PreferenceSpec) -> dict[str, Table]:
    """Accuracy by each key of the rows' meta that has more than one value, small values pooled, the largest first."""
    tables = {}
    for key in spec.subsets:
        by_value: dict[str, list[float]] = {}
        for row, outcome in zip(rows, right, strict=True):
            if key in row.meta:
                by_value.setdefault(str(row.meta[key]), []).append(outcome)
        if len(by_value) < 2:
            continue
        large = {value: own for value, own in by_value.items() if len(own) >= spec.least}
        small = [outcome for own in by_value.values() if len(own) < spec.least for outcome in own]
        groups = sorted(large.items(), key=lambda item: (-len(item[1]), item[0]))
        pooled = len(by_value) - len(large)
        groups += [(f"{OTHERS} ({pooled})", small)] if small else []
        lines = []
        for value, own in groups:
            share = wilson(sum(own), len(own))
            lines.append((value, share.mean, share.low, share.high, len(own)))
        tables[f"accuracy by {key}"] = Table((key, "accuracy", "low", "high", "n"), tuple(lines))
    return tables


def _single(rows: Sequence[Row], judged: JudgedPairs, shown: int) -> Table:
    """Single pairs from the one that the model is most wrong about to the one that it is most right about, evenly."""
    margins = judged.margins
    order = sorted(range(len(rows)), key=lambda at: margins[at])
    count = min(shown, len(order))
    places = [order[at * (len(order) - 1) // max(count - 1, 1)] for at in range(count)]
    columns = ("pair", "question", "chosen", "rejected", "score of chosen", "score of rejected", "margin")
    lines = [
        (
            at,
            _short(rows[at].prompt[-1]["content"]),
            _short(rows[at].chosen or ""),
            _short(rows[at].rejected or ""),
            judged.chosen[at],
            judged.rejected[at],
            margins[at],
        )
        for at in places
    ]
    return Table(columns, tuple(lines))


def _short(text: Any) -> str:
    words = " ".join(str(text).split())
    return words if len(words) <= SHOWN_CHARACTERS else f"{words[: SHOWN_CHARACTERS - 4]} ..."


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
