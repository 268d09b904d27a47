"""What is said below an evaluation's tables: what was compared, what could not be, and how to read the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rlhf.evaluation.comparison.compare import LEVEL
from rlhf.evaluation.comparison.statistics import FEWEST
from rlhf.report.evaluation_cells import SuiteTable

MARK = "~"  # of a difference that is not clear, for eyes and files without colour


def facts(suite: SuiteTable) -> list[str]:
    """What was compared in a suite's table, and what could not be."""
    told = []
    if suite.compared and suite.baseline is not None:
        told.append(f"{suite.compared} comparisons with {suite.baseline.label}, corrected together.")
        if suite.drawn and suite.compared * suite.finest >= LEVEL:
            told.append(
                f"evaluation.bootstrap is too small for so many: it takes {math.ceil(suite.compared / LEVEL):,} "
                "resamples for a metric of the whole set to be clearly different."
            )
    if suite.too_few:
        told.append(f"Not tested, too few questions (fewer than {FEWEST}): {', '.join(suite.too_few)}.")
    if suite.unheld:
        told.append(f"Not held against nonsense, fewer than {FEWEST} questions: {', '.join(suite.unheld)}.")
    if suite.untested:
        told.append(f"Not tested, no values to compare in pairs: {', '.join(suite.untested)}.")
    return told


def reading(suites: Sequence[SuiteTable], where: str) -> list[str]:
    """How to read the tables, where intervals stand `where`."""
    told = [f"{where} its 95% interval. ↑ higher is better, ↓ lower. n: what values are taken over."]
    if any(suite.pooled for suite in suites):
        told.append("Seeds: their mean, with Student's 95% interval of three or more, else from the lowest .. highest.")
        if any(suite.compared for suite in suites):
            told.append("A difference must be clear over three seeds or more, too, which so few seldom are: add seeds.")
    if any(suite.compared for suite in suites):
        (baseline,) = {suite.baseline.label for suite in suites if suite.baseline}
        told.append(
            f"{MARK} and grey: no clear difference from {baseline} on the same questions (95% interval of the paired "
            "difference includes 0, or p is not below 0.05 after Holm's correction over the table). Bold: clearly "
            "better than every other model, on a metric without a flag."
        )
    return told
