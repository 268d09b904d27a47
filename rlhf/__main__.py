"""The command line: `rlhf [train] key=value ...`, with `-m` for a sweep. Composes, checks every job, then runs them.

rlhf method=sft model=tiny_mt5
rlhf -m method=dpo model=tiny_gpt2,tiny_mt5 method.beta=0.05,0.2
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from rlhf import __version__, ranks
from rlhf.errors import RunFailure, UserError, mendable, refuse_unwritable, told_once
from rlhf.launchers import check_launcher, register_launchers
from rlhf.launchers.task import Task, say, tell_warnings_once
from rlhf.loading import loading
from rlhf.suggest import did_you_mean
from rlhf.terminal import make_console, quiet_libraries

INFORMATION = {"--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--info", "-i", "--resolve", "-sc"}
SPIN = "1000"  # turns that a thread of libgomp waits busily; its own 300000 stall steps tenfold beside another process
LAUNCHER, BASIC = "hydra/launcher=", "basic"
ELSEWHERE = (f"{LAUNCHER}slurm", f"{LAUNCHER}ray")  # whose jobs may run on other machines, with other meters
LOADING = "loading torch, transformers and trl"
SHORT = """\
rlhf: RLHF experiments that cannot fool their reader. Usage: rlhf [VERB] [-m] [KEY=VALUE ...]

  rlhf method=ppo_short dataset.rows=400   SFT, reward model and PPO on a tiny model: a minute or two
  rlhf train                               the defaults: model=tiny_gpt2 method=dpo dataset=support_toy
  rlhf --help                              every verb ({verbs}), examples, groups and options
"""
console = make_console()


def main() -> None:
    """Run the verb and exit: 0 when all went well, 2 for a user's mistake, 1 for a failure."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN)  # read once, when torch is loaded
    words = sys.argv[1:]
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        if not words:  # a command that is typed to see what it is should not train for minutes
            if ranks.first():
                sys.stdout.write(SHORT.format(verbs=", ".join(VERBS)))
            sys.exit(0)
        verb = _verb(words)
        if verb in COMPOSING:
            register_launchers()
        sys.exit(VERBS[verb](words))
    except Exception as error:
        shared = isinstance(error, UserError | RunFailure) and error.shared
        if debug:
            traceback.print_exc()
        elif ranks.first() or not shared:
            say(error)
        code = getattr(mendable(error) or error, "exit_code", 1)
        if shared:
            ranks.end_together(code)
        sys.exit(code)
    except KeyboardInterrupt:
        say("interrupted: run the same command again; what is finished or has a checkpoint is not done again")
        sys.exit(130)


@told_once()
def _verb(words: list[str]) -> str:
    """Take the verb off `words`; training needs none."""
    if words and not words[0].startswith("-") and "=" not in words[0]:
        verb = words.pop(0)
        if verb not in VERBS:
            remedy = f"{_group_hint(verb, words) or did_you_mean(verb, VERBS)} `rlhf --help` shows more"
            raise UserError(verb, "is neither a verb nor KEY=VALUE", remedy)
        return verb
    return "train"


def _group_hint(word: str, after: list[str]) -> str:
    """Say how a group's option is chosen, for who writes `ppo` or `method = ppo`; empty where `word` is neither."""
    from rlhf.compose import conf_dir

    if after[:1] == ["="]:
        return f"Write {word}={after[1] if len(after) > 1 else 'VALUE'} without spaces."
    groups = ("method", "model", "dataset", "experiment", "search", "adapter")
    found = next((group for group in groups if (conf_dir() / group / f"{word}.yaml").is_file()), None)
    return f"Write {found}={word}." if found else ""


def train(words: list[str], resumed: Path | None = None) -> int:
    """Compose and check every job, then run them, in the folder of the sweep `resumed` if given; the exit code."""
    from rlhf.compose import composed, hydra_settings, jobs, parse_words, replaced, with_experiment_sweep

    parsed = with_experiment_sweep(parse_words(words))
    words = [*parsed.flags, *(part for word in parsed.overrides for part in replaced(word))]  # as argparse wants it
    if "--version" in parsed.flags:
        console.print(f"rlhf {__version__}")
        return 0
    if INFORMATION & set(parsed.flags):
        if parsed.multirun:
            raise UserError("-m", "a sweep has no single configuration to print", "Leave -m out, or use `rlhf plan -m`")
        composed(parsed)  # which explains a misspelt key better than Hydra does
        return _hydra(words, lambda config: None)
    _refuse_sweep(parsed)
    if not ranks.first():
        words += ["hydra.run.dir=.", "hydra.output_subdir=null"]  # only the first process leaves files
    search = _search_of(parsed)
    checked = search.runs if search else jobs(parsed)
    added = _words_of(search, words) if search else []
    launcher = next((word for word in reversed([*words, *added]) if word.startswith(LAUNCHER)), LAUNCHER + BASIC)
    if parsed.multirun and launcher != LAUNCHER + BASIC:
        check_launcher(hydra_settings(search.first_job(added) if search else parsed).launcher)
    quiet_libraries()
    _pass_the_door(parsed, [run for _, run in checked], launcher)
    tell_warnings_once()
    from rlhf.tracking import prepare_store

    with console.status(LOADING), loading():
        prepare_store(checked[0][1].tracking)
        if not parsed.multirun or launcher == LAUNCHER + BASIC:  # all others load them in processes of their own
            import rlhf.job  # noqa: F401
    if search:
        from rlhf.searched import run_search

        return run_search(search, words, added, console, resumed, _hydra)
    task = Task([own for own, _ in checked], None, words)
    if not parsed.multirun:
        return _single(words, task)
    from rlhf.sweep import Sweep

    with Sweep(checked, words, console, resumed) as sweep:
        task.sweep_id = sweep.id
        _hydra([*words, f"hydra.sweep.dir={sweep.folder}"], task)
    return sweep.exit_code


def _search_of(parsed: Any) -> Any:
    """Return the search that a command line asks for; None, and nothing imported, where it says nothing of one."""
    if not any(word.lstrip("+").startswith(("search=", "search.", "experiment=")) for word in parsed.overrides):
        return None
    from rlhf.search.check import find_search

    return find_search(parsed)


def _words_of(search: Any, words: list[str]) -> list[str]:
    """Return what Hydra is told besides, so that the search draws the jobs."""
    from rlhf.launchers.search import register_search, words_of

    register_search()
    return words_of(search, words)


@told_once()
def _refuse_sweep(parsed: Any) -> None:
    """Raise `UserError` for a sweep's folder of the user's own, and for a sweep in several processes."""
    if own := next((word for word in parsed.overrides if word.startswith("hydra.sweep.")), None):
        raise UserError(own, "a sweep makes its own folder below multirun", "Leave it out")
    if parsed.multirun and not parsed.overrides:
        raise UserError("-m", "nothing varies, so there is no sweep", "Give a key several values, as in seed=1,2")
    if any(word == "hydra.run.dir=" for word in parsed.overrides):
        raise UserError("hydra.run.dir=", "it is empty", "Write hydra.run.dir=FOLDER, or leave it out")
    launcher = next((word for word in reversed(parsed.overrides) if word.startswith(LAUNCHER)), LAUNCHER + BASIC)
    if not parsed.multirun and launcher != LAUNCHER + BASIC:
        raise UserError(launcher, "a launcher runs the jobs of a sweep, and this is one job", "Add -m")
    if ranks.world() > 1 and parsed.multirun:
        raise UserError("-m", "a sweep runs its jobs one by one", "Under accelerate launch, start one job per command")


@told_once()
def _pass_the_door(parsed: Any, runs: list[Any], launcher: str) -> None:
    """Raise `UserError` for what can be told of the jobs before one begins; what it makes are their folders, last."""
    from rlhf.compose import hydra_settings
    from rlhf.door import check_files, check_meters, make_stores

    if launcher not in ELSEWHERE:
        check_meters(runs)
    try:
        check_files(runs, ranks.world())
    except SystemExit as left:  # of a module of the user's, which must not end the command without a word
        problem = f"a module that it names calls sys.exit({left.code!r})"
        raise UserError("method.rewards", problem, "Mend the module") from left
    if any(getattr(run.adapter, "targets", None) for run in runs):  # else torch is not needed yet
        with console.status(LOADING), loading():
            from rlhf.plan.skeleton import refuse_targets
        refuse_targets(runs)
    own = [word for word in parsed.overrides if word.startswith("hydra.run.dir=") and "$" not in word]
    if own and not parsed.multirun:
        refuse_unwritable(Path(hydra_settings(parsed).run.dir), "hydra.run.dir=FOLDER")
    make_stores(runs)


def _single(words: list[str], task: Task) -> int:
    _hydra(words, task)
    if task.failures:
        if isinstance(left := task.failures[0], SystemExit):
            problem = f"code of yours called sys.exit({left.code!r})"
            raise RunFailure("the run", problem, "Mend it and run the same command again") from left
        raise task.failures[0]
    return 0


def _hydra(words: list[str], task: Any) -> int:
    """Hand the words to Hydra, which composes again, makes the output folder and calls `task`."""
    import hydra

    from rlhf.compose import conf_dir

    sys.argv = ["rlhf", *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # what goes wrong comes out as it is, and `main` makes one line of it
    hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")(task)()
    return 0


def _verb_of_its_own(name: str) -> Callable[[list[str]], int]:
    """Return the verb in `rlhf/verbs/<name>.py`, imported when it is called."""

    def call(words: list[str]) -> int:
        run: Callable[[list[str]], int] = import_module(f"rlhf.verbs.{name}").run
        return run(words)

    return call


COMPOSING = ("train", "plan", "resume")  # verbs whose words may choose a launcher
OWN_VERBS = ("plan", "data", "evaluate", "cache", "report", "resume", "pairs")
VERBS: dict[str, Callable[[list[str]], int]] = {"train": train} | {name: _verb_of_its_own(name) for name in OWN_VERBS}

if __name__ == "__main__":
    main()
