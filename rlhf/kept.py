"""What a job leaves in its result.json for reports alone: answers, what its curves are read against, its machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlhf.config import MethodSpec
from rlhf.evaluation.policy import evaluation_prompts
from rlhf.pipeline import Job
from rlhf.stages.evaluate import Row
from rlhf.tracking.surroundings import surroundings
from rlhf.verdict import kl_target, loss_baseline, loss_unit

FACTS = ("version.", "hardware.", "git.", "platform")  # of what surrounds a run; names of people and hosts stay out


def for_report(job: Job, method: MethodSpec, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the fields; of answers as many as the tracker's table has, to the same prompts for every policy."""
    return {
        "loss_unit": loss_unit(method),
        "floor": loss_baseline(method),
        "kl_target": kl_target(method),
        "machine": {name: value for name, value in surroundings().items() if name.startswith(FACTS)},
        "questions": len(rows[-1].texts) if rows else 0,
        "samples": _samples(job, rows) if rows else {},
    }


def _samples(job: Job, rows: Sequence[Row]) -> dict[str, Any]:
    count = job.run.evaluation.table_rows
    asked = evaluation_prompts(job.corpus("demonstration"), job.run.evaluation)[:count]
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
