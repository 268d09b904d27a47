"""What is left of an evaluation: numbers and a table for the tracker, evaluation.json, lines for the reader."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.disk import write_whole
from rlhf.evaluation.comparison.pooled import CONTROLS
from rlhf.evaluation.controls import nonsense
from rlhf.evaluation.policy import evaluation_prompts
from rlhf.evaluation.result import Evaluation
from rlhf.stages.evaluate import Evaluator, Row
from rlhf.stages.speakers import Model, distinct
from rlhf.stages.suites import measure

FILE, PAGE = "evaluation.json", "evaluation.html"
FILES = (FILE, "evaluation.md", "evaluation.csv", PAGE)
COLUMNS = ["metric", "speaker", "value", "low", "high", "n"]
Told = tuple[Evaluation | None, list[str]]  # what was found, and what a run's warnings say of it


def evaluate_job(evaluator: Evaluator, rows: Sequence[Row], folder: Path, tracked: Any) -> Told:
    """Run the suites that the job names on its models, record what they find, leave files of it in `folder`.

    What was found is None where the job names no suite. Files that cannot be made are a warning: the numbers are in the
    job's result all the same.
    """
    suites = evaluator.spec.suites
    if not suites:
        return None, []
    models = [Model(row, evaluator) for row in rows]
    found = measure(models, suites)
    data = found.dump(whole=True) | {
        "settings": evaluator.spec.model_dump(),
        "samples": sample_answers(evaluator, models, found),
    }
    warnings = []
    try:
        write_files(folder, data, f"Evaluation of {rows[-1].name}")
    except OSError:  # a full disk is told as such
        raise
    except Exception as error:
        warnings.append(f"evaluation: not all of its files in {folder} could be made ({_told(error)})")
    for file in (folder / name for name in FILES):
        if file.exists():
            tracked.file(file)
    *before, own = distinct(models)[1]
    chain = {model.row.role: name for model, name in zip(models, before, strict=False)}
    tracked.metrics(policy_metrics(found, own) | control_metrics(found, chain), None)
    tracked.table("evaluation", COLUMNS, list(table_rows(found)))
    return found, [*suite_warnings(data), *warnings]


def suite_warnings(data: Mapping[str, Any]) -> list[str]:
    """What the warnings of a run say of its evaluation: failed suites, metrics that nonsense does well on."""
    from rlhf.report.evaluation_table import flag_lines

    failed = list(data["failures"].values())
    try:
        return [*failed, *flag_lines(data)]
    except Exception as error:
        return [*failed, f"evaluation: which metrics nonsense does well on could not be told ({_told(error)})"]


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300] or 'no message'}"


def sample_answers(first: Evaluator, models: Sequence[Model], found: Evaluation) -> list[dict[str, Any]]:
    """Return the first questions with the reference and everybody's answers, for the page."""
    questions = evaluation_prompts(first.job.corpus("demonstration"), first.spec)
    lines, _ = nonsense(questions, first.codec, first.spec.seed)
    texts: dict[str, Sequence[str]] = {entry.voice.name: entry.texts for entry in distinct(models)[0]}
    texts |= {str(role): own for role, own in lines.items()}
    answers = {voice.name: texts[voice.name] for voice in found.speakers if voice.name in texts}
    return [
        {
            "prompt": "\n".join(f"{turn['role']}: {turn['content']}" for turn in row.prompt),
            "reference": row.completion or "",
            "answers": {name: own[place] for name, own in answers.items()},
        }
        for place, row in enumerate(questions[: first.spec.table_rows])
    ]


def write_files(folder: Path, data: Mapping[str, Any], title: str) -> list[Path]:
    """Write what was found as JSON, Markdown, CSV and a page; return the files."""
    from rlhf.report.evaluation_cells import suite_tables
    from rlhf.report.evaluation_page import render_evaluation
    from rlhf.report.evaluation_table import to_csv, to_markdown

    write_values(folder / FILE, data)  # first: they are there whatever becomes of their forms
    suites = suite_tables(data)
    write_whole(folder / "evaluation.md", to_markdown(data, suites))
    write_whole(folder / "evaluation.csv", to_csv(suites))
    write_whole(folder / PAGE, render_evaluation(data, suites, title))
    return [folder / name for name in FILES]


def policy_metrics(found: Evaluation, speaker: str) -> dict[str, float]:
    """Return what a run's own policy scored, by metric."""
    return found.values_of(speaker)


def control_metrics(found: Evaluation, chain: Mapping[str, str]) -> dict[str, float]:
    """Return what stands beside a run's policy, as `control/<role>/<metric>`: references, nonsense, and its `chain`.

    `chain` names the speakers that the run's own policy came from, by their role.
    """
    beside: dict[str, str] = {voice.role: voice.name for voice in found.speakers if voice.role in CONTROLS}
    return {
        f"control/{role}/{metric}": value
        for role, speaker in (beside | dict(chain)).items()
        for metric, value in found.values_of(speaker).items()
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
    write_whole(file, json.dumps(values, ensure_ascii=False, allow_nan=False))
