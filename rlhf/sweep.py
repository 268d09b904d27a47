"""What surrounds the jobs of a sweep: its folder and summary run before them, the comparison after them."""

from __future__ import annotations

import shlex
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from rlhf.config import MethodSpec, Run
from rlhf.errors import UserError
from rlhf.launchers.endings import read_outcome
from rlhf.report.cells import UNFINISHED
from rlhf.report.charts import sweep_view
from rlhf.report.learning import IMPLICIT_UNIT, StageCurves, draw_sweep_stages, kl_marks
from rlhf.report.outcome import colour_places, facts_of, notes_of, report_rows, without_effect
from rlhf.report.plots import Panel, plot_curves
from rlhf.report.record import job_folders
from rlhf.report.table import comparison_table
from rlhf.report.words import given, own_words
from rlhf.report.write import TABLE_NAME, tables, write_report
from rlhf.tracking import open_tracker
from rlhf.tracking.store import LOCAL_ID
from rlhf.unfinished import (
    ROOT,
    Record,
    claim,
    composed_digest,
    equal_jobs,
    finished_jobs,
    fresh_record,
    last_attempt,
    read,
    same_sweep,
)
from rlhf.verdict import judged_by, loss_baseline, loss_unit, trained_on

KL = "kl/k1_policy_to_reference"
PANELS = {  # curve of a job -> title of the panel that shows it, and its unit (of losses: the method's own)
    "train/loss": ("training loss", None),
    "eval/loss": ("held-out loss", None),
    "train/rewards/margins": ("training margin", IMPLICIT_UNIT),
    "eval/rewards/margins": ("held-out margin", IMPLICIT_UNIT),
    "eval/reward/score": ("training reward (weighted sum), held out", "score"),
    "eval/reward/gold": ("gold score, held out", "score"),
    f"eval/{KL}": ("KL to the reference, held out", "nats per response"),
}


class Sweep:
    """Opens the summary run, waits for the jobs to leave their `result.json`, then reports."""

    goes_on = True  # whether going on with it runs the jobs that did not finish

    def __init__(
        self,
        jobs: Sequence[tuple[tuple[str, ...], Run]],
        words: Sequence[str],
        console: Console,
        resumed: Path | None = None,
    ) -> None:
        """Begin a sweep, or go on with `resumed`, or with the newest of the same command if it is unfinished."""
        found = resumed or same_sweep(words, composed_digest(jobs))
        record = read(found) if found else None
        if record is not None and record.jobs != len(jobs):
            raise UserError(str(found), f"had {record.jobs} jobs and has {len(jobs)} now", "Start it as a new sweep")
        self._begin(jobs, console, record or fresh_record(uuid.uuid4().hex[:12], words, jobs), found, jobs[0][1])

    def _begin(
        self,
        jobs: Sequence[tuple[tuple[str, ...], Run]],
        console: Console,
        record: Record,
        found: Path | None,  # the folder of one that is gone on with
        run: Run,
    ) -> None:
        """Take the folder for this process and open the summary run."""
        self.jobs, self.console, self.record, self.resumed = jobs, console, record, found is not None
        self.exit_code, self.id = 0, record.id
        name = f"{time.strftime('%H-%M-%S')}-{self.id[:4]}"
        self.folder = found or ROOT / time.strftime("%Y-%m-%d") / name
        self.lock = claim(self.folder)
        if self.lock is None:
            raise UserError(str(self.folder), "another process runs this sweep", "Wait for it, or end it first")
        self.record.write(self.folder)  # before the summary run, which is then found again after a kill
        self.tracker = open_tracker(run.tracking, self.folder)
        self.summary = self.tracker.start_run(
            "sweep-" + "+".join(dict.fromkeys(each.method.name for each in ([job for _, job in jobs] or [run]))),
            role="summary",
            tags={LOCAL_ID: f"sweep-{self.id}", "sweep_id": self.id, "command": shlex.join(["rlhf", *record.words])},
            params={"jobs": record.jobs},
        )
        self.record.summary_run, self.record.reported = self.summary.id, False
        self.record.write(self.folder)

    def __enter__(self) -> Sweep:
        count = len(self.jobs)
        told = f"sweep [bold]{self.id}[/]: {count} job{'s' * (count != 1)} -> {self.folder}"
        if self.resumed:
            done = finished_jobs(self.folder, len(self.jobs))
            told = f"sweep [bold]{self.id}[/] goes on: {done} of {count} jobs have finished -> {self.folder}"
        self.console.print(told, highlight=False)
        if count == 1 and self.record.search is None:
            self.console.print("[yellow]note[/] nothing varies: -m with one job (KEY=A,B makes two)", highlight=False)
        for places in equal_jobs(self.jobs):
            numbers = f"{', '.join(map(str, places[:-1]))} and {places[-1]}"
            runs = [self.jobs[place - 1][1] for place in places]
            end = "one is trained" if all(job.reuses(job.method.name) for job in runs) else "each is trained anew"
            self.console.print(f"[yellow]note[/] jobs {numbers} are the same: {end}", highlight=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcomes = self._outcomes()
        failed = [outcome for outcome in outcomes if outcome["status"] == "failed"]
        self.exit_code = 1 if failed else 0
        self._close_runs(outcomes)
        self._report(outcomes)
        missing = self._tell_unfinished(outcomes)
        if missing and self.goes_on:
            told = f"go on    rlhf resume {self.id}  # runs what is missing: {missing} of {len(outcomes)} jobs"
            self.console.print(told, highlight=False, soft_wrap=True)
        stopped = isinstance(error, KeyboardInterrupt)
        self.summary.end("KILLED" if stopped else "FAILED" if failed or error else "FINISHED")
        self.record.reported = True
        self.record.write(self.folder)
        assert self.lock is not None
        self.lock.release()

    def _tell_unfinished(self, outcomes: list[dict[str, Any]]) -> int:
        """Print what did not come to its end, with the reason of what failed; returns how many."""
        unfinished = [outcome for outcome in outcomes if outcome["status"] in UNFINISHED]
        for outcome in unfinished:
            words, status = escape(shlex.join(given(outcome["words"]))), outcome["status"]
            failed = status == "failed"
            told = f"{words}: {escape(outcome['error'])}" if failed else words
            colour = "red" if failed else "yellow"
            self.console.print(f"[{colour}]{status}[/] {told}", highlight=False, soft_wrap=True)
        return len(unfinished)

    def _close_runs(self, outcomes: list[dict[str, Any]]) -> None:
        """Close the tracked runs of jobs that were killed, with the reason; their machine may be another one."""
        killed = []
        for number, outcome in enumerate(outcomes):
            last = last_attempt(self.folder / str(number))
            if outcome["status"] == "failed" and "run_id" not in outcome and last:
                tags = {LOCAL_ID: last, "sweep_id": self.id, "error": outcome["error"]}
                run = self.tracker.start_run(outcome["name"], role="job", tags=tags, params={}, of_another=True)
                run.end("FAILED")
                outcome["run_id"] = run.id
                killed.append(run.id)
        self.tracker.close_zombies(killed)

    def _outcomes(self) -> list[dict[str, Any]]:
        """Read what each job left; one that left nothing was killed, or never started where it has no folder either."""
        outcomes = []
        for number, (overrides, run) in enumerate(self.jobs):
            folder = self.folder / str(number)
            started = folder.exists()
            known = {
                "name": f"{run.method.name}-{run.model.name}",
                "words": list(overrides),
                "status": "failed" if started else "not started",
                "error": "left no result, it was killed" if started else "not started",
                "exit_code": 1,
                "rows": [],
                "metrics": {},
                "trained_on": trained_on(run.method),
                "judge": judged_by(run),
            }
            outcomes.append(known | (read_outcome(folder) or {}))
        return outcomes

    def _report(self, outcomes: list[dict[str, Any]]) -> None:
        """Print the table, log it on the summary run, and say how to open the comparison."""
        rows, facts = report_rows(outcomes), facts_of(outcomes)
        self.console.print()
        self.console.print(comparison_table(rows, f"sweep {self.id}", self.console.width, facts))
        notes = [*without_effect(outcomes), *notes_of(outcomes)]
        for note in notes:
            self.console.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for ending, text in tables(outcomes).items():
            (self.folder / f"{TABLE_NAME}{ending}").write_text(text, encoding="utf-8")
            self.summary.text(f"{TABLE_NAME}{ending}", text)
        figures = self._figures(outcomes)
        for figure in figures:
            self.summary.figure(figure)
        report = write_report(self.folder) if job_folders(self.folder) else []
        for file in report:
            self.summary.file(file)
        self.summary.metrics({f"jobs/{status}": float(count) for status, count in _statuses(outcomes).items()}, None)
        ids = [outcome["run_id"] for outcome in outcomes if "run_id" in outcome]
        self.console.print(f"files    {self.folder}", highlight=False, soft_wrap=True)
        if report:
            self.console.print(f"report   {report[0]}", highlight=False, soft_wrap=True)
        drawn = [f"{self.folder}/*.png"] if figures else []
        drawn += [f"{self.folder}/JOB/plots"] if any(self.folder.glob("*/plots/*.png")) else []
        if drawn:
            self.console.print(f"plots    {' and '.join(drawn)}", highlight=False, soft_wrap=True)
        view = sweep_view(self.id, outcomes)
        if ids and (url := self.tracker.compare_url(ids, f"sweep-{self.id}", view)):
            self.console.print(f"open UI  {self.tracker.ui_command}", highlight=False, soft_wrap=True)
            self.console.print(f"compare  {url}", highlight=False, soft_wrap=True)

    def _figures(self, outcomes: list[dict[str, Any]]) -> list[Path]:
        """Draw the jobs' losses and margins side by side, and the stages that they stand on."""
        kinds = [_loss_kind(run.method) for _, run in self.jobs]
        several = len({kind for kind in kinds if kind}) > 1  # losses of two kinds are no one scale
        having = [outcome for outcome in outcomes if outcome.get("curves", {}).get(f"eval/{KL}")]
        steered = kl_marks([(outcome.get("kl_target") or {}, outcome["curves"]) for outcome in having])
        panels: dict[str, Panel] = {}
        names = [" ".join(own) for own in own_words([outcome["words"] for outcome in outcomes])]
        for metric, (title, own_unit) in PANELS.items():
            for number, (outcome, (_, run)) in enumerate(zip(outcomes, self.jobs, strict=True), start=1):
                if own_unit is None and not kinds[number - 1]:
                    continue  # its surrogate loss says nothing
                if points := outcome.get("curves", {}).get(metric):
                    name = names[number - 1] or outcome["name"]
                    shown, unit, baselines = title, own_unit, steered if metric.endswith(KL) else {}
                    if unit is None:
                        shown = f"{title} ({kinds[number - 1]})" if several else title
                        unit, baselines = loss_unit(run.method), loss_baseline(run.method)
                    panel = panels.setdefault(shown, Panel({}, unit, baselines))
                    panel.curves[f"{number}: {name}"] = [(int(step), float(value)) for step, value in points]
        upstream = [[StageCurves(**stage) for stage in outcome.get("upstream", [])] for outcome in outcomes]
        figures = draw_sweep_stages(upstream, self.folder / "stages.png", f"sweep {self.id}: the stages below its jobs")
        places = {
            f"{number}: {names[number - 1] or outcomes[number - 1]['name']}": place
            for number, place in enumerate(colour_places(outcomes), start=1)
        }
        if panels:
            return [plot_curves(panels, self.folder / "curves.png", f"sweep {self.id}", places), *figures]
        return figures


def _loss_kind(method: MethodSpec) -> str:
    """What a method's loss is called beside others; empty where it learns from its own samples."""
    kinds = [str(kind) for kind in getattr(method, "loss_type", [])]
    return "" if method.learns_from_samples else " ".join([method.name, *kinds])


def announce(console: Console, number: int, jobs: Sequence[Sequence[str]], total: int | None = None) -> None:
    """Head the output of job `number`, counted from 0, with its words, those that other jobs do not share first.

    `total` counts the jobs where not all are known yet.
    """
    title, own, words = (
        f"job {number + 1} of {max(total or 0, len(jobs))}",
        own_words(jobs)[number],
        given(jobs[number]),
    )
    shared = shlex.join(word for word in words if word not in own)
    told = " ".join(part for part in (shlex.join(own), shared) if part)
    if len(f"{title}: {told}") + 4 <= console.width:
        console.rule(Text(f"{title}: {told}"), style="dim")
        return
    console.rule(Text(title), style="dim")
    for line, style in ((shlex.join(own), "bold"), (shared, "dim")):
        if line:
            console.print(Text(line, style), soft_wrap=True)


def _statuses(outcomes: Sequence[dict[str, Any]]) -> dict[str, int]:
    states = [outcome["status"] for outcome in outcomes]
    return {state: states.count(state) for state in ("finished", *UNFINISHED)}
