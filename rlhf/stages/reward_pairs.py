"""Held-out pairs of a finished reward stage: its scores are kept, so that what they say is told without the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.config import EvaluationSpec
from rlhf.data.rows import Row
from rlhf.evaluation.contract import Findings
from rlhf.evaluation.preference import metrics as names
from rlhf.evaluation.preference.pairs import BASELINES, examine
from rlhf.evaluation.reward import JudgedPairs
from rlhf.store import read_json

PAIRS = "pairs.json"  # in the stage's folder


def examined(rows: Sequence[Row], judged: JudgedPairs, spec: EvaluationSpec) -> Findings:
    """Measure the scores of held-out pairs as the evaluation's settings say.

    Scores that are no numbers, and a failure, leave a note and nothing else: the model is trained, and is what counts.
    """
    if wrong := sum(not math.isfinite(margin) for margin in judged.margins):
        return _untold(f"the margin of {wrong} of {len(judged.margins)} is not finite")
    try:
        return examine(rows, judged, spec.preference, spec.bootstrap, spec.seed)
    except Exception as error:
        return _untold(f"{type(error).__name__}: {' '.join(str(error).split())[:300] or 'no message'}")


def _untold(why: str) -> Findings:
    return Findings({}, {}, (f"What the held-out pairs say of calibration and baselines is left out: {why}.",))


def kept_pairs(folder: Path, rows: Sequence[Row]) -> JudgedPairs | None:
    """Return the scores that a stage left in its folder; None where it left none, or of other rows."""
    kept = read_json(folder / PAIRS)
    if not kept or len(kept["chosen"]) != len(rows):
        return None
    return JudgedPairs(**kept)


def record_pairs(found: Findings, tracked: Any) -> None:
    """Send what the pairs say to the tracker: numbers, and each table under its title."""
    tracked.metrics({name: score.value for name, score in found.scores.items()}, None)
    for title, table in found.tables.items():
        tracked.table(f"pairs_{title.replace(' ', '_')}", list(table.columns), [list(row) for row in table.rows])


def pair_lines(found: Findings) -> list[str]:
    """Tell in a few lines whether the reward model beats its baselines and whether its confidence comes true."""
    if BASELINES not in found.tables:  # a note says why
        return []
    lines = []
    for label, _, _, gain, low, high, _, _, p in found.tables[BASELINES].rows:
        verdict = "beats" if low > 0 else "is worse than" if high < 0 else "is not clearly better than"
        lines.append(f"{verdict} {label}: accuracy {gain:+.3f} [{low:+.3f}, {high:+.3f}], p {p:.2g}")
    error, chance = found.scores[names.ECE.name], found.scores[names.ECE_BY_CHANCE.name]
    comes = "comes true as far as this many pairs can tell" if error.value <= chance.value else "does not come true"
    told = f"confidence {comes}: ECE {error.value:.3f}, by chance up to {chance.value:.3f} of {error.n} pairs"
    temperature = found.scores[names.TEMPERATURE.name].value if names.TEMPERATURE.name in found.scores else math.nan
    return [*lines, told if math.isnan(temperature) else f"{told}; best divided by {temperature:.2g}"]
