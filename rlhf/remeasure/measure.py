"""From finished runs to what the reader gets: measure, write files, record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from rlhf.config import Run
from rlhf.recording.evaluation import write_files
from rlhf.remeasure.find import Recorded
from rlhf.remeasure.record import new_folder, track
from rlhf.remeasure.scorers import measure_scorers
from rlhf.remeasure.together import measure_policies


def measure_runs(
    recorded: Sequence[Recorded],
    runs: Sequence[Run],
    words: Sequence[str],
    console: Console,
    against: int | None,
) -> tuple[dict[str, Any], list[Path], dict[str, str]]:
    """Measure runs of one kind together; return values, the files that hold them, how to open the tracked run.

    `against` is the place of the run that all models are compared with, None for the base model.
    """
    measure = measure_policies if runs[0].method.trains_policy else measure_scorers
    measured = measure(recorded, runs, console)
    data = measured.found.dump(whole=True) | {
        "settings": runs[0].evaluation.model_dump(),
        "dataset": runs[0].dataset.name,
        "baseline": None if against is None else measured.speakers[against],
        "samples": list(measured.samples),
        "runs": [
            {
                "speaker": speaker,
                "label": one.label,
                "run_id": one.run_id,
                "stage": str(one.stage),
                "command": one.command,
            }
            for speaker, one in zip(measured.speakers, recorded, strict=True)
        ],
    }
    title = recorded[0].label if len(recorded) == 1 else f"{len(recorded)} runs"
    files = write_files(new_folder(), data, f"Evaluation of {title}")
    return data, files, track(recorded, runs, measured, files, words)
