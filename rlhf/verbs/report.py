"""`rlhf report`: the comparison of a sweep as a table, a page and a spreadsheet, from what its jobs left on disk."""

from __future__ import annotations

import webbrowser
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console
from rich.markup import escape

from rlhf.errors import UserError
from rlhf.folders import conf_dir
from rlhf.report.record import RUNS, SWEEPS, Record, job_folders, newer_without_jobs, newest_sweep, read_record
from rlhf.suggest import did_you_mean
from rlhf.terminal import make_console

if TYPE_CHECKING:
    from rlhf.report.goals import Verdict
    from rlhf.report.rows import Lines

EXAMPLES = """examples
  rlhf report                                    the newest sweep below multirun
  rlhf report --open                             and show the page in a browser
  rlhf report multirun/2026-11-21/15-40-43-711c  a sweep, also while it runs
  rlhf report FIRST SECOND --output both.html    two sweeps or runs in one comparison
  rlhf report --goals s1                         and whether its goals are met: a name in conf/goals, or a file
"""
BEST_TRIALS = 10  # of a search, in the terminal
ON_THE_PAGE = ("runtimes",)  # and in no terminal, whose comparison shows times as well


class OneLine(ArgumentParser):
    """Refuses in one line, as the rest of the command line does."""

    def error(self, message: str) -> NoReturn:
        """Raise `UserError` with argparse's finding."""
        raise UserError("rlhf report", message, "`rlhf report --help` shows examples")


def run(words: list[str]) -> int:
    """Print the comparison and write its files; returns the exit code."""
    asked = _parser().parse_args(words)
    folders = [Path(folder) for folder in asked.folders] or [_newest()]
    for folder in folders:
        if not folder.exists():
            raise UserError(str(folder), "there is no such folder", _near(folder) or _remedy())
        if not job_folders(folder):
            raise UserError(str(folder), "holds no job of a sweep or run", _remedy())
    if len(folders) > 1 and asked.output is None:
        raise UserError("--output", "several folders have no common place for a report", "Add --output FILE.html")
    if asked.output is not None and not asked.output.endswith(".html"):
        raise UserError(asked.output, "is not the name of a page", "End --output in .html")

    from rlhf.report.goals import MET, read_goals, verdicts
    from rlhf.report.rows import build_lines
    from rlhf.report.write import PAGE_NAME, refuse_foreign, write_pages, write_tables

    if asked.strict and not asked.goals:
        raise UserError("--strict", "there are no goals to be strict about", "Add --goals NAME")
    page = Path(asked.output or folders[0] / PAGE_NAME)
    if page.resolve() not in [(folder / PAGE_NAME).resolve() for folder in folders]:  # where a sweep has its own
        refuse_foreign(page)
    record = read_record(folders)
    measured = {name for job in record.jobs for name in job.outcome["metrics"]}
    goals = read_goals(_goals_file(asked.goals), measured) if asked.goals else []
    found = verdicts(goals, record.jobs)
    console = make_console()
    lines = build_lines(record.jobs)
    _print(record, lines, found, console)
    if not asked.folders and (newer := newer_without_jobs(SWEEPS, folders[0])):
        told = f"shown is {folders[0]}: the newer sweep {newer} has no job yet"
        console.print(f"[yellow]note[/] {escape(told)}", highlight=False, soft_wrap=True)
    for file in [*write_pages(record, lines, page, found), *write_tables(record, lines, page, found)]:
        console.print(f"wrote    {file}", highlight=False, soft_wrap=True)
    for folder in folders:
        _tell_unfinished(folder, console)
    if asked.open:
        webbrowser.open(page.resolve().as_uri())
    damaged = record.damaged or any(job.outcome["status"] == "damaged" for job in record.jobs)
    short = asked.strict and (not found or any(one.word != MET for one in found))
    return 1 if damaged or short else 0


def _parser() -> ArgumentParser:
    parser = OneLine("rlhf report", description=__doc__, epilog=EXAMPLES, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="folders of sweeps or runs; default: newest sweep")
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    parser.add_argument(
        "--goals", metavar="NAME", help="thresholds to check: a file of conf/goals (s1), or one of yours"
    )
    parser.add_argument("--strict", action="store_true", help="with --goals: end with code 1 unless every goal is met")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="the page's name, FILE.html, with FILE.xlsx, .md and .csv beside it; default: report.html in the folder",
    )
    return parser


def _goals_file(name: str) -> Path:
    """A file as it is named, else the one of that name in conf/goals."""
    own, home = Path(name), conf_dir() / "goals"
    if own.is_file():
        return own
    if (found := home / f"{name}.yaml").is_file():
        return found
    known = sorted(file.stem for file in home.glob("*.yaml"))
    raise UserError(f"--goals {name}", "is neither a file nor a name in conf/goals", did_you_mean(name, known))


def _newest() -> Path:
    found = newest_sweep(SWEEPS)
    if found is None and (begun := newer_without_jobs(SWEEPS, Path())):
        raise UserError(str(begun), "has no job yet", "Wait for its first job, or run `rlhf resume` if it was killed")
    if found is None:
        raise UserError(str(SWEEPS), "holds no sweep", "Run `rlhf -m ...`, or name the folder of a sweep or run")
    return found


def _near(missing: Path) -> str:
    """Ask for the folder beside `missing` that has nearly its name; empty where there is none."""
    beside = missing.parent.iterdir() if missing.parent.is_dir() else []
    near = did_you_mean(missing.name, (str(folder.name) for folder in beside if folder.is_dir()))
    found = missing.parent / near.removeprefix("Did you mean `").removesuffix("`?")
    return f"Did you mean `{found}`?" if near.startswith("Did") else ""


def _remedy() -> str:
    known = [home for top in (SWEEPS, RUNS) if (home := newest_sweep(top))]
    return f"Name a folder such as {known[0]}" if known else "Name a folder below multirun or outputs/runs"


def _tell_unfinished(folder: Path, console: Console) -> None:
    """Say how to go on with a sweep that did not finish, as its own end does."""
    from rlhf.unfinished import finished_jobs, to_go_on

    if (record := to_go_on(folder)) is None:
        return
    missing = record.jobs - finished_jobs(folder, record.jobs)
    lacking = f"runs what is missing: {missing} of {record.jobs} jobs"
    what = lacking if record.search is None else "goes on with the search"
    if missing:
        console.print(f"go on    rlhf resume {record.id}  # {what}", highlight=False, soft_wrap=True)


def _print(record: Record, lines: Lines, goals: Sequence[Verdict], console: Console) -> None:
    """The comparison as the sweep itself printed it, with its warnings and the tables beside it."""
    from rlhf.report.extras import tables_beside
    from rlhf.report.outcome import facts_of, notes_of, report_rows, without_effect
    from rlhf.report.sheets import sheet_table
    from rlhf.report.summary import title_of
    from rlhf.report.table import comparison_table
    from rlhf.report.trials import trials_sheets

    outcomes = [dict(job.outcome) for job in record.jobs]
    console.print(comparison_table(report_rows(outcomes), title_of(record), console.width, facts_of(outcomes)))
    for told in record.damaged:
        console.print(f"[red]damaged[/] {escape(told.replace(' is damaged', '', 1))}", highlight=False, soft_wrap=True)
    for note in [*without_effect(outcomes), *notes_of(outcomes)]:
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)
    for sheet in (*trials_sheets(record.searches, BEST_TRIALS), *tables_beside(record.jobs, lines, goals)):
        if sheet.key not in ON_THE_PAGE:
            console.print()
            console.print(sheet_table(sheet, console.width))
