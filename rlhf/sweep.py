"""What surrounds the jobs of a sweep: its folder and summary run before them, the comparison after them."""

from __future__ import annotations

import json
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

from rlhf.config import Run
from rlhf.report.cells import UNFINISHED
from rlhf.report.learning import IMPLICIT_UNIT, StageCurves, draw_sweep_stages
from rlhf.report.outcome import facts_of, notes_of, report_rows, without_effect
from rlhf.report.plots import Panel, plot_curves
from rlhf.report.table import comparison_table, to_csv, to_markdown
from rlhf.report.words import given, own_words
from rlhf.tracking import open_tracker
from rlhf.verdict import judged_by, loss_baseline, loss_unit, trained_on

LEGEND = "Gains, KL and win rates are over the model a run started from; italics: the 95% interval holds no difference."
PANELS = {  # curve of a job -> title of the panel that shows it, and its unit (of losses: the method's own)
    "train/loss": ("training loss", None),
    "eval/loss": ("held-out loss", None),
    "train/rewards/margins": ("training margin", IMPLICIT_UNIT),
    "eval/rewards/margins": ("held-out margin", IMPLICIT_UNIT),
    "eval/reward/score": ("score (weighted sum), held out", "score"),
    "eval/reward/gold": ("gold score, held out", "score"),
    "eval/kl/k1_policy_to_reference": ("KL to the reference, held out", "nats per response"),
}


class Sweep:
    """Opens the summary run, waits for the jobs to leave their `result.json`, then reports."""

    def __init__(self, jobs: Sequence[tuple[tuple[str, ...], Run]], words: Sequence[str], console: Console) -> None:
        self.jobs, self.words, self.console = jobs, words, console
        self.id = uuid.uuid4().hex[:12]
        self.folder = Path("multirun") / time.strftime("%Y-%m-%d") / f"{time.strftime('%H-%M-%S')}-{self.id[:4]}"
        self.exit_code = 0
        run = jobs[0][1]
        self.tracker = open_tracker(run.tracking, self.folder)
        self.summary = self.tracker.start_run(
            f"sweep-{run.method.name}",
            role="summary",
            tags={"sweep_id": self.id, "command": shlex.join(["rlhf", *words])},
            params={"jobs": len(jobs)},
        )

    def __enter__(self) -> Sweep:
        self.console.print(f"sweep [bold]{self.id}[/]: {len(self.jobs)} jobs -> {self.folder}", highlight=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcomes = self._outcomes()
        failed = [outcome for outcome in outcomes if outcome["status"] == "failed"]
        self.exit_code = 1 if failed else 0
        self._report(outcomes)
        for outcome in outcomes:
            words, status = escape(shlex.join(given(outcome["words"]))), outcome["status"]
            if status in UNFINISHED:
                told = f"{words}: {escape(outcome['error'])}" if outcome in failed else words
                colour = "red" if outcome in failed else "yellow"
                self.console.print(f"[{colour}]{status}[/] {told}", highlight=False, soft_wrap=True)
        stopped = isinstance(error, KeyboardInterrupt)
        self.summary.end("KILLED" if stopped else "FAILED" if failed or error else "FINISHED")

    def _outcomes(self) -> list[dict[str, Any]]:
        """Read what each job left; one that left nothing was killed, or never started where it has no folder either."""
        outcomes = []
        for number, (overrides, run) in enumerate(self.jobs):
            file = self.folder / str(number) / "result.json"
            if file.exists():
                outcomes.append(json.loads(file.read_text(encoding="utf-8")))
                continue
            name = f"{run.method.name}-{run.model.name}"
            started = file.parent.exists()
            outcomes.append(
                {
                    "name": name,
                    "words": list(overrides),
                    "status": "failed" if started else "not started",
                    "error": "left no result, it was killed" if started else "not started",
                    "exit_code": 1,
                    "rows": [],
                    "metrics": {},
                    "trained_on": trained_on(run.method),
                    "judge": judged_by(run),
                }
            )
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
        page = to_markdown(rows) + "".join(f"\n- {line}" for line in (*facts, LEGEND, *notes)) + "\n"
        for name, text in (("comparison.md", page), ("comparison.csv", to_csv(rows))):
            (self.folder / name).write_text(text, encoding="utf-8")
            self.summary.text(name, text)
        figures = self._figures(outcomes)
        for figure in figures:
            self.summary.figure(figure)
        self.summary.metrics({f"jobs/{status}": float(count) for status, count in _statuses(outcomes).items()}, None)
        ids = [outcome["run_id"] for outcome in outcomes if "run_id" in outcome]
        self.console.print(f"files    {self.folder}", highlight=False, soft_wrap=True)
        drawn = [f"{self.folder}/*.png"] if figures else []
        drawn += [f"{self.folder}/JOB/plots"] if any(self.folder.glob("*/plots/*.png")) else []
        if drawn:
            self.console.print(f"plots    {' and '.join(drawn)}", highlight=False, soft_wrap=True)
        if ids and (url := self.tracker.compare_url(ids)):
            self.console.print(f"open UI  {self.tracker.ui_command}", highlight=False, soft_wrap=True)
            self.console.print(f"compare  {url}", highlight=False, soft_wrap=True)

    def _figures(self, outcomes: list[dict[str, Any]]) -> list[Path]:
        """Draw the jobs' losses and margins side by side, and the stages that they stand on."""
        drawn = [run.method for _, run in self.jobs if not run.method.learns_from_samples]
        units = {loss_unit(method) for method in drawn}
        floors = [loss_baseline(method) for method in drawn]
        floor = floors[0] if floors and all(other == floors[0] for other in floors) else {}
        loss = (units.pop() if len(units) == 1 else "loss", floor)
        panels: dict[str, Panel] = {}
        names = [" ".join(own) for own in own_words([outcome["words"] for outcome in outcomes])]
        for metric, (title, own_unit) in PANELS.items():
            for number, (outcome, (_, run)) in enumerate(zip(outcomes, self.jobs, strict=True), start=1):
                if own_unit is None and run.method.learns_from_samples:
                    continue  # its surrogate loss says nothing
                if points := outcome.get("curves", {}).get(metric):
                    name = names[number - 1] or outcome["name"]
                    unit, baselines = loss if own_unit is None else (own_unit, {})
                    panel = panels.setdefault(title, Panel({}, unit, baselines))
                    panel.curves[f"{number}: {name}"] = [(int(step), float(value)) for step, value in points]
        upstream = [[StageCurves(**stage) for stage in outcome.get("upstream", [])] for outcome in outcomes]
        figures = draw_sweep_stages(upstream, self.folder / "stages.png", f"sweep {self.id}: the stages below its jobs")
        return [plot_curves(panels, self.folder / "curves.png", f"sweep {self.id}"), *figures] if panels else figures


def announce(console: Console, number: int, jobs: Sequence[Sequence[str]]) -> None:
    """Head the output of job `number`, counted from 0, with its words, those that other jobs do not share first."""
    title, own, words = f"job {number + 1} of {len(jobs)}", own_words(jobs)[number], given(jobs[number])
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
