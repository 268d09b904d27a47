"""`rlhf evaluate`: measure finished runs on the same questions, between control lines of good answers and nonsense."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from rlhf.errors import UserError, refuse_unwritable
from rlhf.loading import loading
from rlhf.suggest import did_you_mean
from rlhf.terminal import make_console, quiet_libraries

if TYPE_CHECKING:
    from rlhf.config import Run
    from rlhf.remeasure.find import Recorded

HELP = """Usage: rlhf evaluate run=RUN[,RUN...] [against=RUN] [KEY=VALUE ...] [--json]

Measures finished runs by the suites of metrics that evaluation.suites names. Every run answers the same questions with
the same settings, once (answers and findings are kept). Beside them stand the reference answers, the base model and
four speakers of nonsense: a metric on which nonsense does well says little, and is marked.

  RUN                a run's id or its beginning, its folder (outputs/runs/DATE/TIME, a sweep or a job of it),
                     a finished stage's folder (outputs/stages/...), or `last`: the run that finished last
  against            which of the runs all models are compared with. Default: the base model
  evaluation.suites  which suites: [text,safety,...]; evaluation.SUITE.KEY=VALUE sets one (`rlhf --cfg job` prints all)
  evaluation.*       also how many prompts, how they are answered and who judges. Default: as in the first run
  dataset=NAME       other data than the first run's own, with dataset.KEY=VALUE
  hardware.*         where it is computed
  --json             the values alone, on standard output

Leaves evaluation.json, .md, .csv and .html in outputs/evaluations/TIME; with tracking=mlflow, the measured runs get the
numbers and a run of its own holds the files.

Examples
  rlhf evaluate run=last
  rlhf evaluate run=last 'evaluation.suites=[text,task,latency]'
  rlhf evaluate run=3f2a9c,81bd04 evaluation.prompts=256
  rlhf evaluate run=3f2a9c,81bd04 against=3f2a9c
  rlhf evaluate run=multirun/2026-11-21/15-40-43-711c
  rlhf evaluate run=outputs/stages/dpo-tiny_gpt2-0123456789ab dataset=hh_rlhf dataset.path=FILE evaluation.judge=none
  rlhf evaluate run=last --json > evaluation.json
"""
FLAGS = {"--config-dir", "-cd"}
OWN_FLAGS = {"--config-dir", "--json", "--help", "--debug"}
KIND = {True: "a reward model", False: "a policy"}


def run(words: list[str]) -> int:
    """Measure the runs; returns 0, or 1 where a suite failed. Raises `UserError` for words that say nothing here."""
    if {"--help", "-h"} & set(words):
        sys.stdout.write(HELP)
        return 0
    as_json = "--json" in words
    given = [word for word in words if word != "--json"]
    recorded, runs, against = _checked(given)
    from rlhf.remeasure.find import EVALUATIONS

    refuse_unwritable(EVALUATIONS.parent, "the working folder")
    quiet_libraries()
    console = make_console()
    progress = Console(stderr=True) if as_json else console
    with Console(stderr=True).status("loading torch and transformers"), loading():
        from rlhf.remeasure.measure import measure_runs
    data, files, opened = measure_runs(recorded, runs, given, progress, against)
    if as_json:
        sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    else:
        _show(data, files, opened, console)
    return 1 if data["failures"] else 0


def _checked(words: list[str]) -> tuple[list[Recorded], list[Run], int | None]:
    """Find the runs, build their settings, and say which of them all are compared with (None: the base model).

    Everything that can be refused before anything is loaded is.
    """
    from rlhf.command_words import refuse_contradictions
    from rlhf.compose import parse_words
    from rlhf.door import check_measuring
    from rlhf.remeasure.find import find_runs
    from rlhf.remeasure.settings import refuse_training_word, run_of, tracking_of

    for word in [word for word in words if word.startswith("--")]:
        flag = word.partition("=")[0]
        if flag not in OWN_FLAGS and (near := did_you_mean(flag, OWN_FLAGS)).startswith("Did"):
            raise UserError(flag, "there is no such flag", near)
    names = [word.removeprefix("run=") for word in words if word.startswith("run=")]
    parsed = parse_words([word for word in words if not word.startswith(("run=", "against="))])
    if wrong := next((flag for flag in parsed.flags if flag.startswith("-") and flag not in FLAGS), None):
        raise UserError(
            wrong, "rlhf evaluate takes KEY=VALUE words, --json and --config-dir", "See `rlhf evaluate --help`"
        )
    asked = [name for value in names for name in value.strip("[]").split(",")]
    keys = {word: word.partition("=")[0] for word in words if "=" in word}
    if not names and (
        wrong := next((w for w, key in keys.items() if did_you_mean(key, ["run"]).startswith("Did")), None)
    ):
        raise UserError(wrong, "no run is named by this key", "Did you mean `run=`?")
    if not asked or not all(name.strip() for name in asked):
        raise UserError(
            "run",
            "no run is named" if not any(asked) else "one of its names is empty",
            "Write run=last, or ids or folders: run=A,B",
        )
    asked = [name.strip() for name in asked]
    against = _against([word.removeprefix("against=") for word in words if word.startswith("against=")], asked)
    for word in parsed.overrides:
        refuse_training_word(word)
    refuse_contradictions(parsed.overrides, parsed.config_dir)
    recorded = find_runs(asked, tracking_of(parsed))
    _refuse_mixture(recorded)
    first = run_of(recorded[0].settings, parsed, recorded[0])
    check_measuring(first.evaluation)
    return recorded, [first, *(run_of(one.settings, parsed, one, first) for one in recorded[1:])], against


def _against(wanted: Sequence[str], asked: Sequence[str]) -> int | None:
    """Return the place of the run, named as in `run=`, that others are compared with; None where none is wanted."""
    if not wanted:
        return None
    if len(asked) < 2 or len(wanted) > 1:
        problem = "there is one run alone" if len(asked) < 2 else "it is there twice"
        raise UserError(f"against={wanted[-1]}", problem, "Write run=A,B against=A")
    if wanted[0] not in asked:
        problem = "it is none of the runs that are measured"
        raise UserError(f"against={wanted[0]}", problem, f"Write one of them as run= has it: against={asked[0]}")
    return asked.index(wanted[0])


def _refuse_mixture(recorded: Sequence[Recorded]) -> None:
    scorers = [one.settings["method"]["name"] == "reward" for one in recorded]
    if len(set(scorers)) > 1:
        told = ", ".join(f"{one.asked} is {KIND[scores]}" for one, scores in zip(recorded, scorers, strict=True))
        raise UserError("run", f"they answer different questions: {told}", "Measure reward models and policies apart")


def _show(data: dict[str, Any], files: Sequence[Any], opened: dict[str, str], console: Console) -> None:
    from rlhf.report.evaluation_table import evaluation_table

    console.print(evaluation_table(data, console.width))
    for file in files:
        console.print(f"wrote    {file}", highlight=False, soft_wrap=True)
    for name, value in opened.items():
        console.print(f"{name:<8} {value}", soft_wrap=True, markup=False, highlight=False)
