"""The tables beside the comparison, as far as the jobs of a report have something to say in them."""

from __future__ import annotations

from collections.abc import Sequence

from rlhf.folders import conf_dir
from rlhf.report.best_sheet import best_sheets
from rlhf.report.goals import Verdict, goals_sheet
from rlhf.report.models import models_sheets, read_suitability
from rlhf.report.record import JobRecord
from rlhf.report.rows import Lines
from rlhf.report.runtimes import runtimes_sheets
from rlhf.report.savings_sheet import savings_sheets
from rlhf.report.sheets import Sheet

SUITABILITY = "suitability/default.yaml"  # below conf


def tables_beside(jobs: Sequence[JobRecord], lines: Lines, goals: Sequence[Verdict]) -> list[Sheet]:
    """Which is best, goals where some were asked for, savings, models, runtimes: each where it says something.

    `lines` is the comparison of the jobs, whose verdicts hold beside it.
    """
    asked = [goals_sheet(goals)] if goals else []
    suits = read_suitability(conf_dir() / SUITABILITY)
    return [
        *best_sheets(lines),
        *asked,
        *savings_sheets(jobs),
        *models_sheets(jobs, lines, suits),
        *runtimes_sheets(jobs),
    ]
