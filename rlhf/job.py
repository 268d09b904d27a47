"""What one job of a command line does: run its pipeline, record it, leave `result.json`, say what came out."""

from __future__ import annotations

import shlex
import time
import traceback
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from rlhf import ranks
from rlhf.config import Run
from rlhf.data import load_corpus
from rlhf.disk import locked
from rlhf.errors import RunFailure, UserError, unwritable
from rlhf.evaluation.cost.meter import ENERGY_SOURCE, energy_of
from rlhf.evaluation.suites import module_of
from rlhf.fingerprint import loading_packages, versions
from rlhf.kept import for_report
from rlhf.launchers.endings import read_outcome, write_outcome
from rlhf.lineage import Lineage
from rlhf.pipeline import Finished, Job
from rlhf.recording.evaluation import PAGE, Told, evaluate_job
from rlhf.recording.reward_pairs import examine_job
from rlhf.report.learning import StageCurves, draw_job
from rlhf.report.outcome import facts_of, report_rows
from rlhf.report.table import comparison_table
from rlhf.report.words import told_apart
from rlhf.search.watcher import Pruned, watcher_of_this_job
from rlhf.sources import source_digest, suite_digest
from rlhf.stages.device import choose_device, limit_threads
from rlhf.stages.evaluate import Evaluator, Row
from rlhf.stages.start import stands_on
from rlhf.tracking import NullRun, NullTracker, deliver_spool, open_tracker
from rlhf.tracking.store import LOCAL_ID
from rlhf.unfinished import begin_attempt, job_digest, read
from rlhf.verdict import judged_by, kl_target, loss_baseline, loss_unit, notes_before, trained_on, warnings_of

NAME_LENGTH = 120  # of a run in the UI, where one word may be a whole mapping
SPOOL_HOMES = ("outputs/runs", "multirun")  # where earlier runs may have had to keep their records


def _quiet_libraries() -> None:
    """Silence what says nothing to our user: shard bars, and a rename that TRL 1.16 has not followed yet."""
    import warnings

    from datasets.utils.logging import disable_progress_bar as no_dataset_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    no_dataset_bars()
    # transformers 5 renames gradient_checkpointing to activation_checkpointing; TRL still passes the old name
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.* is deprecated", category=FutureWarning)


def execute(run: Run, folder: Path, words: Sequence[str], sweep_id: str | None, console: Console) -> dict[str, Any]:
    """Run one job and return what it leaves in `folder/result.json`; failures are recorded there and raised."""
    _quiet_libraries()
    limit_threads()
    if not ranks.first():
        return _follow(run)
    folder.mkdir(parents=True, exist_ok=True)
    if sweep_id is None:
        return _attempt(run, folder, words, None, console)
    with locked(folder / "job.lock"):  # an earlier attempt may still run on another machine
        if before := _finished_before(run, folder):
            console.print(f"[green]finished[/] before, in {folder}", highlight=False, soft_wrap=True)
            return before
        (folder / "result.json").unlink(missing_ok=True)  # whoever finds one later finds this attempt's
        return _attempt(run, folder, words, sweep_id, console)


def _finished_before(run: Run, folder: Path) -> dict[str, Any] | None:
    """Return what the job left in `folder` if it finished there and would come out the same now."""
    outcome = read_outcome(folder)
    if outcome is None or outcome["status"] != "finished":
        return None
    device = choose_device(run)
    corpora = cache(lambda shape: load_corpus(run.dataset, shape, Path(run.store)).fingerprint)
    now = _identity(run, Lineage(run, device.kind, device.precision, corpora))
    return outcome if outcome.get("job") == now else None


def _identity(run: Run, lineage: Lineage) -> str:
    """Hash what decides the outcome of a job: a policy is also measured, on prompts and by code of their own."""
    measuring: list[Any] = []
    if run.method.trains_policy:
        measuring = [lineage.data("demonstration"), versions(loading_packages(run)), source_digest("evaluate")]
        measuring += [suite_digest(module_of(suite).__name__) for suite in run.evaluation.suites]
    return job_digest(run, [stage.fingerprint for stage in lineage.stages()], measuring)


def _begin(run: Run, folder: Path, words: Sequence[str], sweep_id: str | None, tracker: Any) -> Any:
    """Open the job's tracked run; in a sweep those of earlier attempts go, with their unfinished stages."""
    tags = {"command": shlex.join(["rlhf", *words]), LOCAL_ID: uuid.uuid4().hex}
    earlier: list[str] = []
    if sweep_id:
        tags["sweep_id"] = sweep_id
        earlier = begin_attempt(folder, tags[LOCAL_ID])
    record = read(folder.parent) if sweep_id else None
    name = f"{run.method.name}-{run.model.name}"
    shown = f"{name} {told_apart(words, record.words)}".rstrip()[:NAME_LENGTH] if record else name
    tracked = tracker.start_run(shown, role="job", tags=tags, params=run.model_dump())
    for replaced in tracker.supersede(earlier):
        with suppress(RunFailure):  # where the store does not answer
            built = tracker.find({"built_for": replaced})
            tracker.supersede([stage.id for stage in built if stage.status != "FINISHED"])
    return tracked


def _attempt(run: Run, folder: Path, words: Sequence[str], sweep_id: str | None, console: Console) -> dict[str, Any]:
    for home in SPOOL_HOMES:
        deliver_spool(run.tracking, Path(home))
    tracker = open_tracker(run.tracking, folder)
    tracker.close_zombies()
    tracked = _begin(run, folder, words, sweep_id, tracker)
    name = f"{run.method.name}-{run.model.name}"
    tracked.text("config.yaml", yaml.safe_dump(run.model_dump(), sort_keys=False, allow_unicode=True))
    outcome: dict[str, Any] = {"name": name, "words": list(words), "run_id": tracked.id, "started": time.time()}
    outcome |= {"trained_on": trained_on(run.method), "judge": judged_by(run)}
    for note in notes_before(run.method):
        console.print(f"[yellow]note[/] {note}", highlight=False, soft_wrap=True)
    try:
        job = Job(run, choose_device(run), tracker, tracked, console, watcher_of_this_job())
        finished = job.build(run.method, upstream=False)
        evaluator = Evaluator(job) if run.method.trains_policy else None
        rows = evaluator.rows(finished) if evaluator else []
        judge = (evaluator.scorer if evaluator else None) or finished.origin.judge
        told: Told = evaluate_job(evaluator, rows, folder, tracked) if evaluator else (None, [])
        outcome |= _record(job, finished, rows, judge, told, folder)
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        code = 130 if stopped else getattr(unwritable(error) or error, "exit_code", 1)
        status = "pruned" if isinstance(error, Pruned) else "interrupted" if stopped else "failed"
        outcome |= {"status": status, "error": _one_line(error), "exit_code": code}
        with suppress(OSError):  # where the disk is full, the error itself is what must be told
            write_outcome(folder, outcome | {"seconds": time.time() - outcome["started"]})
        tracked.tags({"error": outcome["error"]})
        tracked.text("traceback.txt", traceback.format_exc())
        tracked.end("FAILED" if status == "failed" else "KILLED")
        raise
    tracked.end("FINISHED")
    outcome |= {"status": "finished", "run_id": tracked.id}  # a spooled run learns its real id when it ends
    outcome["seconds"] = time.time() - outcome["started"]
    write_outcome(folder, outcome)
    if sweep_id is None:
        _show(outcome, folder, tracked, tracker, console)
    return outcome


def _follow(run: Run) -> dict[str, Any]:
    """What the other processes of a job do: train with the first one, and leave measuring and recording to it."""
    job = Job(run, choose_device(run), NullTracker(), NullRun(), Console(quiet=True))
    job.build(run.method, upstream=False)
    if run.method.trains_policy:
        Evaluator(job)  # whose judge is a stage that all may have to train
    return {}


def _show(outcome: dict[str, Any], folder: Path, tracked: Any, tracker: Any, console: Console) -> None:
    """Print what came out of a single run: the comparison with its controls, warnings, where to look."""
    console.print()
    console.print(comparison_table(report_rows([outcome]), outcome["name"], console.width, facts_of([outcome])))
    for line in outcome["pair_lines"]:
        console.print(f"pairs    {line}", highlight=False, markup=False)
    for warning in outcome["warnings"]:
        console.print(f"[yellow]note[/]     {warning}", highlight=False)
    console.print(f"model    {outcome['stage']}/model", highlight=False, soft_wrap=True)
    console.print(f"files    {folder}", highlight=False, soft_wrap=True)
    if outcome["evaluation"] and (folder / PAGE).exists():
        console.print(f"measured {folder}/{PAGE}", highlight=False, soft_wrap=True)
    if tracked.url:
        console.print(f"open UI  {tracker.ui_command}", highlight=False, soft_wrap=True)
        console.print(f"run      {tracked.url}", highlight=False, soft_wrap=True)


def _record(
    job: Job, finished: Finished, rows: list[Row], judge: Finished | None, told: Told, folder: Path
) -> dict[str, Any]:
    """Send summary metrics, samples and plots of a finished job to the tracker."""
    tracked, (found, of_suites) = job.tracked, told
    metrics = dict(rows[-1].metrics if rows else finished.result["metrics"] | job.pipeline_cost(finished))
    warnings = warnings_of(finished.method, metrics, finished.result["curves"])
    if judge is not None:
        of_judge = warnings_of(judge.method, judge.result["metrics"], judge.result["curves"])
        warnings += [f"judge: {warning}" for warning in of_judge]
    tracked.metrics(metrics, None)
    if found is not None:  # whose numbers are tracked already
        metrics |= found.values_of(rows[-1].name)
        warnings += of_suites
    of_pairs = examine_job(job, finished, folder / "plots")
    metrics |= of_pairs["metrics"]
    tracked.tags({"stage_folder": str(finished.folder.resolve()), "fingerprint": finished.fingerprint})
    if warnings:
        tracked.tags({"warnings": " | ".join(warnings)})
    if rows:
        columns, table = sample_table(rows, job.run.evaluation.table_rows)
        tracked.table("samples", columns, table)
    stages = upstream_of(finished, judge)
    upstream = [_curves(stage) for stage in stages]
    for figure in draw_job([*upstream, _curves(finished)], folder / "plots"):
        tracked.figure(figure)
    return {
        "metrics": metrics,
        "warnings": warnings,
        "evaluation": found.dump(whole=False) if found else {},
        "pairs": of_pairs["pairs"],
        "pair_lines": of_pairs["lines"],
        "settings": job.run.model_dump(exclude={"tracking"}),
        "reused": finished.reused,
        "fingerprint": finished.fingerprint,
        "job": _identity(job.run, job.lineage),
        "stages": [_saved(stage) for stage in (*stages, finished)],
        ENERGY_SOURCE: finished.result.get(ENERGY_SOURCE, ""),
        f"pipeline_{ENERGY_SOURCE}": energy_of([stage.result for stage in stands_on(finished)]),
        "stage": str(finished.folder),
        **for_report(job, finished, rows),
        "curves": finished.result["curves"],
        "upstream": [asdict(stage) for stage in upstream],
    }


def sample_table(rows: list[Row], count: int) -> tuple[list[str], list[list[Any]]]:
    """Return columns and cells: the same prompts answered by every policy, with the judge's scores."""
    columns = ["#"]
    for row in rows:
        columns += (
            [row.role] + ([f"{row.role} reward"] if row.rewards else []) + ([f"{row.role} gold"] if row.gold else [])
        )
    table = []
    for index in range(min(count, len(rows[0].texts))):
        cells: list[Any] = [index]
        for row in rows:
            cells.append(row.texts[index])
            cells += [round(scores[index], 3) for scores in (row.rewards, row.gold) if scores]
        table.append(cells)
    return columns, table


def upstream_of(finished: Finished, judge: Finished | None) -> list[Finished]:
    """The stages that a job stands on, in the order of the pipeline: what its own started from, then its judge."""
    found: dict[str, Finished] = {}
    for last in (finished.origin.start, judge):
        chain = []
        while last is not None:
            chain.append(last)
            last = last.origin.start
        found |= {stage.fingerprint: stage for stage in reversed(chain)}
    return list(found.values())


def _saved(stage: Finished) -> dict[str, Any]:
    """What a stage took when it was trained, which is what reusing it saves."""
    metrics = stage.result["metrics"]
    return {
        "name": stage.name,
        "fingerprint": stage.fingerprint,
        "reused": stage.reused,
        "seconds": metrics.get("cost/seconds"),
        "usd": metrics.get("cost/usd"),
        "kwh": metrics.get("cost/kwh"),
        ENERGY_SOURCE: stage.result.get(ENERGY_SOURCE, ""),
        "run_id": stage.result.get("run_id"),
    }


def _curves(stage: Finished) -> StageCurves:
    method = stage.method
    return StageCurves(
        stage.name, method.name, loss_unit(method), loss_baseline(method), kl_target(method), stage.result["curves"]
    )


def _one_line(error: BaseException) -> str:
    error = unwritable(error) or error
    if isinstance(error, UserError | RunFailure):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text}"
