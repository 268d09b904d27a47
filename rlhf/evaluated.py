"""What is left of an evaluation: numbers and a table for the tracker, evaluation.json, lines for the reader."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.disk import write_whole
from rlhf.evaluation.measured import Evaluation
from rlhf.stages.evaluate import Evaluator, Row
from rlhf.stages.measuring import Model, measure

FILE = "evaluation.json"
COLUMNS = ["metric", "speaker", "value", "low", "high", "n"]


def evaluate_job(evaluator: Evaluator, rows: Sequence[Row], folder: Path, tracked: Any) -> Evaluation | None:
    """Run the suites that the job names on its models, record what they find, leave evaluation.json in `folder`.

    None where it names none.
    """
    suites = evaluator.spec.suites
    if not suites:
        return None
    found = measure([Model(row, evaluator) for row in rows], suites)
    write_values(folder / FILE, found.dump(whole=True))
    tracked.metrics(policy_metrics(found, rows[-1].name) | control_metrics(found), None)
    tracked.table("evaluation", COLUMNS, list(table_rows(found)))
    return found


def policy_metrics(found: Evaluation, speaker: str) -> dict[str, float]:
    """Return what a run's own policy scored, by metric."""
    return found.values_of(speaker)


def control_metrics(found: Evaluation) -> dict[str, float]:
    """Return what everybody but policies scored, as `control/<role>/<metric>`."""
    others = [voice for voice in found.speakers if voice.role != "policy"]
    return {
        f"control/{voice.role}/{metric}": value
        for voice in others
        for metric, value in found.values_of(voice.name).items()
    }


def table_rows(found: Evaluation) -> Iterator[list[Any]]:
    """Yield every score as cells of `COLUMNS`, speakers side by side."""
    values = found.dump(whole=False)
    labels = {voice.name: voice.label for voice in found.speakers}
    for metric, by_speaker in values["metrics"].items():
        for speaker, score in by_speaker.items():
            yield [metric, labels[speaker], *(score[column] for column in COLUMNS[2:])]


def write_values(file: Path, values: Mapping[str, Any]) -> None:
    """Write an evaluation's plain values, in full or not at all."""
    write_whole(file, json.dumps(values, ensure_ascii=False))
