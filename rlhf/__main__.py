"""The command line: `rlhf [train] key=value ...`, with `-m` for a sweep. Composes, checks every job, then runs them.

rlhf method=sft model=tiny_mt5
rlhf -m method=dpo model=tiny_gpt2,tiny_mt5 method.beta=0.05,0.2
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from rlhf import __version__, ranks
from rlhf.errors import RunFailure, UserError, told_once, unwritable
from rlhf.suggest import did_you_mean

INFORMATION = {"--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--info", "-i", "--resolve", "-sc"}
SWEEP_VARIABLE = "RLHF_SWEEP_ID"  # tells jobs, in whatever process they run, which sweep they belong to
console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)


def main() -> None:
    """Run the verb and exit: 0 when all went well, 2 for a user's mistake, 1 for a failure."""
    words = sys.argv[1:]
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        sys.exit(VERBS[_verb(words)](words))
    except Exception as error:
        if debug:
            raise
        shared = isinstance(error, UserError | RunFailure) and error.shared
        if ranks.first() or not shared:
            _say(error)
        code = getattr(unwritable(error) or error, "exit_code", 1)
        if shared:
            ranks.end_together(code)
        sys.exit(code)
    except KeyboardInterrupt:
        _say("interrupted: run the same command again and it goes on from the last checkpoint")
        sys.exit(130)


@told_once()
def _verb(words: list[str]) -> str:
    """Take the verb off `words`; training needs none."""
    if words and not words[0].startswith("-") and "=" not in words[0]:
        verb = words.pop(0)
        if verb not in VERBS:
            remedy = f"{did_you_mean(verb, VERBS)} `rlhf --help` shows more"
            raise UserError(verb, "is neither a verb nor KEY=VALUE", remedy)
        return verb
    return "train"


def train(words: list[str]) -> int:
    """Compose and check every job, then run them; returns the exit code."""
    from rlhf.compose import composed, jobs, parse_words, replaced, with_experiment_sweep

    parsed = with_experiment_sweep(parse_words(words))
    words = [*parsed.flags, *(part for word in parsed.overrides for part in replaced(word))]  # as argparse wants it
    if "--version" in parsed.flags:
        console.print(f"rlhf {__version__}")
        return 0
    if INFORMATION & set(parsed.flags):
        composed(parsed)  # which explains a misspelt key better than Hydra does
        return _hydra(words, lambda config: None)
    _refuse_sweep(parsed)
    if not ranks.first():
        words += ["hydra.run.dir=.", "hydra.output_subdir=null"]  # only the first process leaves files
    checked = jobs(parsed)
    _pass_the_door([run for _, run in checked])
    _environment()
    _tell_warnings_once()
    from rlhf.tracking import prepare_store

    with console.status("loading torch, transformers and trl"):
        prepare_store(checked[0][1].tracking)
        from rlhf.job import execute
    failures: list[Exception] = []

    def task(config: Any) -> None:
        from hydra.core.hydra_config import HydraConfig

        from rlhf.build import build
        from rlhf.compose import plain

        hydra = HydraConfig.get()
        overrides = list(hydra.overrides.task)
        sweep_id = os.environ.get(SWEEP_VARIABLE)
        if sweep_id:
            from rlhf.sweep import announce

            announce(console, hydra.job.num, [words for words, _ in checked])
        try:
            execute(build(plain(config)), Path(hydra.runtime.output_dir), overrides, sweep_id, console)
        except Exception as error:  # one failing job must not end the others; it is recorded and told again at the end
            failures.append(error)
            if sweep_id:
                _say(error)

    if not parsed.multirun:
        return _single(words, task, failures)
    from rlhf.sweep import Sweep

    with Sweep(checked, words, console) as sweep:
        os.environ[SWEEP_VARIABLE] = sweep.id
        _hydra([*words, f"hydra.sweep.dir={sweep.folder}"], task)
    return sweep.exit_code


@told_once()
def _refuse_sweep(parsed: Any) -> None:
    """Raise `UserError` for a sweep's folder of the user's own, and for a sweep in several processes."""
    if own := next((word for word in parsed.overrides if word.startswith("hydra.sweep.")), None):
        raise UserError(own, "a sweep makes its own folder below multirun", "Leave it out")
    if ranks.world() > 1 and parsed.multirun:
        raise UserError("-m", "a sweep runs its jobs one by one", "Under accelerate launch, start one job per command")


@told_once()
def _pass_the_door(runs: list[Any]) -> None:
    from rlhf.door import check_files

    check_files(runs, ranks.world())


def _single(words: list[str], task: Any, failures: list[Exception]) -> int:
    os.environ.pop(SWEEP_VARIABLE, None)
    _hydra(words, task)
    if failures:
        raise failures[0]
    return 0


def _hydra(words: list[str], task: Any) -> int:
    """Hand the words to Hydra, which composes again, makes the output folder and calls `task`."""
    import hydra

    from rlhf.compose import conf_dir

    sys.argv = ["rlhf", *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # what goes wrong comes out as it is, and `main` makes one line of it
    hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")(task)()
    return 0


def _environment() -> None:
    """Quiet the libraries and keep them from reporting to anyone; set before they are imported."""
    for name, value in {
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "TOKENIZERS_PARALLELISM": "false",
    }.items():
        os.environ.setdefault(name, value)


def _tell_warnings_once() -> None:
    """Print the framework's warnings as lines on stderr; that a store is down is told once, not by each part."""
    told: set[str] = set()

    def fresh(record: logging.LogRecord) -> bool:
        cause = str(record.args[0]) if isinstance(record.args, tuple) and record.args else record.getMessage()
        known = cause in told
        told.add(cause)
        return not known

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("rlhf: %(message)s"))
    handler.addFilter(fresh)
    logger = logging.getLogger("rlhf")
    logger.handlers, logger.propagate = [handler], False


def _say(problem: Exception | str) -> None:
    """One line on stderr; an unforeseen exception with its type and the hint to see more."""
    if isinstance(problem, Exception):
        problem = unwritable(problem) or problem
    if isinstance(problem, UserError | RunFailure | str):
        text = str(problem)
    else:
        text = f"{type(problem).__name__}: {' '.join(str(problem).split())} (--debug shows where)"
    print(f"rlhf: {text}", file=sys.stderr)


VERBS = {"train": train}

if __name__ == "__main__":
    main()
