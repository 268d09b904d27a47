"""Metrics that nonsense scores well on, each told in one sentence: what no reader should take for quality."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlhf.evaluation.comparison.compare import difference
from rlhf.evaluation.comparison.pooled import Line, Measured, Measurements
from rlhf.evaluation.comparison.statistics import FEWEST
from rlhf.evaluation.described import describe
from rlhf.evaluation.metrics import Metric

SUBJECTS = {  # what is least like an answer first
    "random": "random tokens",
    "echo": "an echo of the prompt",
    "polite": "one polite sentence for everything",
    "shuffled": "answers to other prompts",
}
PLURAL = ("random", "shuffled")
CONCLUSIONS = {
    "random": "it can't tell answers from nonsense",
    "echo": "repeating the prompt is enough",
    "polite": "saying the same to everybody is enough",
    "shuffled": "it doesn't see whether an answer fits its prompt",
}
TUNED = ("policy", "sft", "start")  # whose answers nonsense must not reach where references are perfect by themselves


@dataclass(frozen=True)
class Flag:
    """A metric on which nonsense is not clearly worse than `against`: the references, or the best trained model.

    `roles` are those of the nonsense, what is least like an answer first; `sure` where one of them scores as well or
    better, not only too near to be told apart; `absent` where the nonsense has the best possible value of a metric
    that counts what should not be there, as saying nothing always has. `told` is the whole sentence, `together` what
    is said of several metrics at once that have it in common.
    """

    metric: str
    roles: tuple[str, ...]
    against: str
    sure: bool
    absent: bool
    told: str
    together: str


def flags(speakers: Sequence[Line], found: Measurements, resamples: int, seed: int) -> list[Flag]:
    """Flag the metrics that have a better direction and nonsense that is not clearly worse than it should be.

    It should be worse than the reference answers. Where those have the best possible value (of BLEU, because they are
    compared with themselves), nonsense that is worse than they are is compared with the best trained model as well.
    The references in another order (`shuffled`) are not held against metrics that read answers alone: they are the
    same answers. Of fewer than `FEWEST` questions nothing is claimed either way (`unheld`).
    """
    made = []
    for name, values in found.items():
        metric = describe(name)
        if metric is None or metric.better is None:
            continue
        nonsense = {one.role: values[one.name] for one in speakers if one.role in SUBJECTS and one.name in values}
        blind = {"shuffled"} if metric.reads == "answer" else set()
        held = [role for role in SUBJECTS if role in nonsense and role not in blind]
        ordered = {role: nonsense[role] for role in held if nonsense[role].counted >= FEWEST}
        flag = None
        reference = next((values[one.name] for one in speakers if one.role == "reference" and one.name in values), None)
        if reference is not None and reference.counted < FEWEST:
            continue
        if reference is not None:
            flag = _flag(metric, name, ordered, reference, "references", resamples, seed)
        if flag is None and (reference is None or _perfect(metric, reference.value)):
            best = _best(metric, speakers, values)
            if best is not None and values[best.name].counted >= FEWEST:
                flag = _flag(metric, name, ordered, values[best.name], best.label, resamples, seed)
        if flag is not None:
            made.append(flag)
    return made


def unheld(speakers: Sequence[Line], found: Measurements) -> list[str]:
    """Return the metrics with a better direction that have nonsense, but too few questions to hold it against them."""
    made = []
    for name, values in found.items():
        metric = describe(name)
        known = [one for one in speakers if one.name in values]
        nonsense = [values[one.name].counted for one in known if one.nonsense]
        good = [values[one.name].counted for one in known if one.role == "reference"]
        good = good or [values[one.name].counted for one in known if one.role in TUNED]
        directed = metric is not None and metric.better is not None
        if directed and nonsense and good and min(*nonsense, *good) < FEWEST:
            made.append(name)
    return made


def _flag(
    metric: Metric, name: str, nonsense: Mapping[str, Measured], good: Measured, label: str, resamples: int, seed: int
) -> Flag | None:
    sign = 1.0 if metric.better == "higher" else -1.0
    fooled = {role: bad for role, bad in nonsense.items() if not _clearly_worse(bad, good, sign, resamples, seed)}
    if not fooled:
        return None
    as_good = {role: bad for role, bad in fooled.items() if sign * (bad.value - good.value) >= 0}
    told = as_good or fooled
    first, *others = told
    conclusion = CONCLUSIONS[first] if as_good else f"on {good.n} values it can't tell them apart"
    if label != "references":
        conclusion = "by it, that model is not clearly better than nonsense"
    subject = f"{SUBJECTS[first]} {'score' if first in PLURAL else 'scores'} {short(told[first].value)}"
    likewise = ", ".join(f"{SUBJECTS[role]} {short(told[role].value)}" for role in others)
    sentence = f"{name}: {subject}, {label} {short(good.value)}: {conclusion}" + (
        f" (also {likewise})" if likewise else ""
    )
    together = f"{SUBJECTS[first]} {'do' if first in PLURAL else 'does'} as well as references or better: {conclusion}"
    if label != "references":
        together = f"by none of them, {label} is clearly better than nonsense"
    elif not as_good:
        together = "nonsense is worse than references, but not clearly so on this number of values"
    against = "references" if label == "references" else "policy"
    absent = metric.better == "lower" and all(_perfect(metric, bad.value) for bad in fooled.values())
    return Flag(name, tuple(fooled), against, bool(as_good), absent, sentence, together)


def _clearly_worse(bad: Measured, good: Measured, sign: float, resamples: int, seed: int) -> bool:
    """By the interval of the paired difference; without one by their own intervals; without those by the values."""
    gap = difference(good, bad, resamples, 1, seed)
    if gap.low is not None and gap.high is not None:
        return gap.low > 0 if sign > 0 else gap.high < 0
    if None not in (good.low, good.high, bad.low, bad.high):
        return good.low > bad.high if sign > 0 else good.high < bad.low  # type: ignore[operator]
    return sign * (good.value - bad.value) > 0


def _best(metric: Metric, speakers: Sequence[Line], values: Mapping[str, Measured]) -> Line | None:
    for role in TUNED:
        having = [one for one in speakers if one.role == role and one.name in values]
        if having:
            sign = 1.0 if metric.better == "higher" else -1.0
            return max(having, key=lambda one: sign * values[one.name].value)
    return None


def _perfect(metric: Metric, value: float) -> bool:
    """Whether a value is the best that the metric's range allows."""
    ends = [float(end) for end in re.findall(r"-?\d+(?:\.\d+)?", metric.range)]
    if not ends or (metric.better == "higher" and len(ends) < 2):
        return False
    best = ends[1] if metric.better == "higher" else ends[0]
    return abs(value - best) <= 1e-6 * max(1.0, abs(best))


def short(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}"
