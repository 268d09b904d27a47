"""What `rlhf evaluate` leaves: files in a folder of its own, and numbers and files in the tracker."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rlhf.config import Run
from rlhf.recording.evaluation import COLUMNS, control_metrics, policy_metrics, table_rows
from rlhf.remeasure.find import EVALUATIONS, Recorded
from rlhf.remeasure.together import Together
from rlhf.tracking import open_tracker


def new_folder() -> Path:
    """Make and return the folder of this evaluation."""
    folder = EVALUATIONS / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
    folder.mkdir(parents=True)
    return folder


def track(
    recorded: Sequence[Recorded],
    runs: Sequence[Run],
    measured: Together,
    files: Sequence[Path],
    words: Sequence[str],
) -> dict[str, str]:
    """Give each measured run its numbers, and a run of its own to the evaluation; return how to open it."""
    spec, found, speakers = runs[0].tracking, measured.found, measured.speakers
    if spec.name == "none":
        return {}
    tracker = open_tracker(spec, files[0].parent)
    ids = [one.run_id for one in recorded if one.run_id]
    tags = {"command": shlex.join(["rlhf", "evaluate", *words]), "evaluated": ",".join(ids)}
    params = {"evaluation": runs[0].evaluation.model_dump(), "dataset": runs[0].dataset.model_dump()}
    tracked = tracker.start_run(
        f"evaluate {len(recorded)} run{'s' * (len(recorded) > 1)}", role="evaluation", tags=tags, params=params
    )
    first, *others = measured.chains
    shared = {role: name for role, name in first.items() if all(chain.get(role) == name for chain in others)}
    own = policy_metrics(found, speakers[0]) if len(speakers) == 1 else {}
    tracked.metrics(control_metrics(found, shared) | own, None)
    tracked.table("evaluation", COLUMNS, list(table_rows(found)))
    for file in files:
        tracked.file(file)
    for one, speaker, chain in zip(recorded, speakers, measured.chains, strict=True):
        if one.run_id:
            tracker.add_metrics(one.run_id, policy_metrics(found, speaker) | control_metrics(found, chain))
            tracker.tag_run(one.run_id, {f"evaluated_by.{tracked.id}": files[0].parent.name})
    tracked.end("FINISHED")
    return {"tracked": tracked.url, "browse": tracker.ui_command}
