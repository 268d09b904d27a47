"""What a job that trained a reward model leaves of its held-out pairs: numbers, tables, a reliability plot, lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlhf.evaluation.preference.pairs import RELIABILITY
from rlhf.evaluation.result import dump_findings
from rlhf.pipeline import Job
from rlhf.report.reliability import draw_reliability
from rlhf.stages.reward_pairs import examined, kept_pairs, pair_lines, record_pairs
from rlhf.stages.start import Finished

FIGURE = "reliability.png"


def examine_job(job: Job, finished: Finished, plots: Path) -> dict[str, Any]:
    """Record what the scores that a reward stage left say; return `metrics`, `lines` for the reader and `pairs`.

    They are measured anew from the scores, so the evaluation's settings may differ from those the stage was trained
    under. Empty for a policy.
    """
    empty: dict[str, Any] = {"metrics": {}, "lines": [], "pairs": {}}
    if finished.method.trains_policy:
        return empty
    rows = job.corpus(finished.method.data_shape).test
    judged = kept_pairs(finished.folder, rows)
    if judged is None:
        return empty
    found = examined(rows, judged, job.run.evaluation)
    if finished.reused:  # else the stage has told it
        record_pairs(found, job.tracked)
    if RELIABILITY in found.tables:
        job.tracked.figure(draw_reliability(found.tables[RELIABILITY].rows, plots / FIGURE, finished.name))
    return {
        "metrics": {name: score.value for name, score in found.scores.items()},
        "lines": [*pair_lines(found), *found.notes],
        "pairs": dump_findings(found, whole=False),
    }
