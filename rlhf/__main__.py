"""The command line: `rlhf [train] key=value ...`, with `-m` for a sweep. Composes, checks every job, then runs them.

rlhf method=sft model=tiny_mt5
rlhf -m method=dpo model=tiny_gpt2,tiny_mt5 method.beta=0.05,0.2
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from rlhf.errors import RunFailure, UserError
from rlhf.suggest import did_you_mean

INFORMATION = {"--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--info", "-i", "--resolve", "-sc"}
SWEEP_VARIABLE = "RLHF_SWEEP_ID"  # tells jobs, in whatever process they run, which sweep they belong to
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def main() -> None:
    """Run the verb and exit: 0 when all went well, 2 for a user's mistake, 1 for a failure."""
    words = sys.argv[1:]
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        sys.exit(VERBS[_verb(words)](words))
    except (UserError, RunFailure) as error:
        if debug:
            raise
        _say(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _say("interrupted: run the same command again and it goes on from the last checkpoint")
        sys.exit(130)


def _verb(words: list[str]) -> str:
    """Take the verb off `words`; training needs none."""
    if words and not words[0].startswith("-") and "=" not in words[0]:
        verb = words.pop(0)
        if verb not in VERBS:
            raise UserError(verb, "there is no such verb", did_you_mean(verb, VERBS))
        return verb
    return "train"


def train(words: list[str]) -> int:
    """Compose and check every job, then run them; returns the exit code."""
    from rlhf.compose import jobs, parse_words

    parsed = parse_words(words)
    if INFORMATION & {flag.partition("=")[0] for flag in parsed.flags}:
        return _hydra(words, lambda config: None)
    checked = jobs(parsed)
    _environment()
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
            console.rule(f"job {hydra.job.num + 1} of {len(checked)}: {' '.join(overrides)}", style="dim")
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


def _say(problem: Exception | str) -> None:
    """One line on stderr; an unforeseen exception with its type and the hint to see more."""
    if isinstance(problem, UserError | RunFailure | str):
        text = str(problem)
    else:
        text = f"{type(problem).__name__}: {' '.join(str(problem).split())} (--debug shows where)"
    print(f"rlhf: {text}", file=sys.stderr)


VERBS = {"train": train}

if __name__ == "__main__":
    main()
