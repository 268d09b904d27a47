"""What a job leaves in its result.json for reports alone: answers, scores, what its curves are read against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlhf.config import MethodSpec
from rlhf.data.rows import Row as Question
from rlhf.evaluation.policy import evaluation_prompts
from rlhf.fingerprint import digest
from rlhf.pipeline import Job
from rlhf.stages.evaluate import Row
from rlhf.stages.reward_pairs import kept_pairs
from rlhf.stages.start import Finished
from rlhf.tracking.surroundings import surroundings
from rlhf.verdict import kl_target, loss_baseline, loss_unit

FACTS = ("version.", "hardware.", "git.", "platform")  # of what surrounds a run; names of people and hosts stay out


def for_report(job: Job, finished: Finished, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the fields; of answers as many as the tracker's table has, to the same prompts for every policy."""
    method: MethodSpec = finished.method
    asked = evaluation_prompts(job.corpus("demonstration"), job.run.evaluation) if rows else []
    return {
        "loss_unit": loss_unit(method),
        "floor": loss_baseline(method),
        "kl_target": kl_target(method),
        "machine": {name: value for name, value in surroundings().items() if name.startswith(FACTS)},
        "rows": [_row(row) for row in rows],
        **(_prompts(asked) if rows else _pairs(job, finished)),
        "samples": _samples(asked[: job.run.evaluation.table_rows], rows) if rows else {},
    }


def _row(row: Row) -> dict[str, Any]:
    """A line of the comparison; `each` has what single answers scored, in the order of the prompts, and pairs."""
    scored = {"final/reward": row.rewards, "final/reward_gold": row.gold, "final/accuracy": row.right}
    each = {name: list(scores) for name, scores in scored.items() if scores}
    return {
        "name": row.name, "role": row.role, "fingerprint": row.fingerprint, "metrics": dict(row.metrics), "each": each
    }  # fmt: skip


def _prompts(asked: Sequence[Question]) -> dict[str, Any]:
    """How many prompts were answered, and by what jobs see whether they had the same ones."""
    return {"questions": len(asked), "pairs_judged": 0, "asked": digest([row.prompt for row in asked])}


def _pairs(job: Job, finished: Finished) -> dict[str, Any]:
    """The same of the pairs that a reward model judged, and of which it was right (1, 0, a half on a tie)."""
    asked = job.corpus(finished.method.data_shape).test
    judged = kept_pairs(finished.folder, asked)
    return {
        "questions": 0,
        "pairs_judged": len(asked) if judged else 0,
        "asked": digest([(row.prompt, row.chosen, row.rejected) for row in asked]),
        "each": {"final/accuracy": judged.right} if judged else {},
    }


def _samples(asked: Sequence[Question], rows: Sequence[Row]) -> dict[str, Any]:
    count = len(asked)
    policies = [
        {
            "name": row.name,
            "role": row.role,
            "fingerprint": row.fingerprint,
            "texts": list(row.texts[:count]),
            "rewards": list(row.rewards[:count]) if row.rewards else None,
            "gold": list(row.gold[:count]) if row.gold else None,
        }
        for row in rows
    ]
    prompts = ["\n".join(f"{turn['role']}: {turn['content']}" for turn in row.prompt) for row in asked]
    return {"prompts": prompts, "policies": policies}
