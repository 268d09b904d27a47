"""`rlhf plan`: what a command line would build, need in memory and cost. Starts and writes nothing."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rich.console import Console

from rlhf.errors import UserError
from rlhf.loading import loading
from rlhf.suggest import did_you_mean
from rlhf.terminal import make_console, quiet_libraries

FLAGS = ("--json", "--multirun", "--config-dir", "--help")
HELP = """Usage: rlhf plan [-m] [KEY=VALUE ...] [--json]

Composes and checks every job of the command line as `rlhf` would, then shows what would be built, what is reused, the
memory that each stage needs by component, time, usd and kWh. Nothing is started and nothing is written.

Examples
  rlhf plan method=ppo model=tiny_mt5
  rlhf plan -m method=dpo method.beta=0.05,0.1,0.2,0.4
  rlhf plan method=ppo model=mt5_large adapter=lora hardware=l4
  rlhf plan -m experiment=quickstart --json
"""


def run(words: list[str]) -> int:
    """Show the plan; returns 0 whether all fits or not."""
    if {"--help", "-h"} & set(words):
        sys.stdout.write(HELP)
        return 0
    as_json = "--json" in words
    from rlhf.__main__ import ELSEWHERE
    from rlhf.compose import hydra_settings, jobs, parse_words, with_experiment_sweep
    from rlhf.door import check_meters, check_readable
    from rlhf.launchers import check_launcher
    from rlhf.ranks import world
    from rlhf.search.check import find_search

    for word in [word for word in words if word.startswith("--") and word.partition("=")[0] not in FLAGS]:
        if (near := did_you_mean(word, FLAGS)).startswith("Did"):
            raise UserError(word, "there is no such flag", near)
    parsed = with_experiment_sweep(parse_words([word for word in words if word != "--json"]))
    known = {"-m", "--multirun", "--config-dir", "-cd"}
    if wrong := next((flag for flag in parsed.flags if flag.startswith("-") and flag not in known), None):
        raise UserError(wrong, "a plan takes KEY=VALUE words, -m, --config-dir and --json", "See `rlhf plan --help`")
    if any(word.startswith("hydra/launcher=") for word in parsed.overrides):
        check_launcher(hydra_settings(parsed).launcher)
    search = find_search(parsed)
    checked = search.runs if search else jobs(parsed)
    check_readable([each for _, each in checked], world())
    if not any(word in ELSEWHERE for word in parsed.overrides):
        check_meters([each for _, each in checked if each.hardware.device != "cuda"])  # a GPU may be planned for
    _refuse_closed_store({each.store for _, each in checked})
    quiet_libraries()
    console = make_console()
    with Console(stderr=True).status("loading torch, transformers and trl"), loading():
        import rlhf.job  # noqa: F401  # what a process takes once it has this is measured below
        from rlhf.plan.table import as_values, show
        from rlhf.plan.whole import make_plan
    with Console(stderr=True).status("planning"):
        plan = make_plan(checked, parsed.config_dir, None)
    if as_json:
        sys.stdout.write(json.dumps(as_values(plan), indent=1) + "\n")
    else:
        if search:
            told = f"a search of up to {search.spec.trials} trials: below are the ends of its space, not its trials"
            console.print(told, soft_wrap=True)
        show(plan, console)
    return 0


def _refuse_closed_store(stores: set[str]) -> None:
    """Refuse a store that could not be written to, without making it."""
    for store in sorted(stores):
        folder = Path(store).absolute()
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir():
            raise UserError(str(folder), "is a file where a folder is needed", "Move it, or set store=FOLDER")
        if not os.access(folder, os.W_OK):
            raise UserError(str(folder), "cannot be written to", "Work elsewhere, or set store=FOLDER")
