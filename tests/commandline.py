"""Running the command line in tests: inside this process (imports cost seconds) or for real."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
QUICK = (
    "dataset.rows=200",
    "++method.trainer.max_steps=4",
    "++upstream.sft.trainer.max_steps=4",
    "evaluation.prompts=8",
    "evaluation.max_new_tokens=12",
    "evaluation.suites=[]",
)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def refused(self, code: int, *parts: str) -> str:
        """Check that the user got one line that says all of `parts`, and no traceback; returns the line."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err + self.out
        assert self.code == code
        assert lines[0].startswith("rlhf: ")
        assert "Traceback" not in self.out
        for part in parts:
            assert part in lines[0]
        return lines[0]


class Here:
    """The command line inside this process, in a folder."""

    def __init__(self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capfd, self.monkeypatch = capfd, monkeypatch

    def __call__(self, *words: str, folder: Path) -> Done:
        from rlhf.__main__ import main

        self.monkeypatch.chdir(folder)
        self.monkeypatch.setattr(sys, "argv", ["rlhf", *words])
        self.capfd.readouterr()
        with logging_kept(), environment_kept(), pytest.raises(SystemExit) as left:
            main()
        out, err = self.capfd.readouterr()
        return Done(int(left.value.code or 0), out, err)


def refused_without(modules: set[str], words: Sequence[str], folder: Path) -> str:
    """Run a command that is refused in a process of its own; check that `modules` were not imported; returns stderr."""
    script = f"import sys; sys.argv = ['rlhf', *{list(words)!r}]\n"
    script += f"from rlhf.__main__ import main\ntry: main()\nfinally: print({modules!r} & set(sys.modules))"
    run = [sys.executable, "-c", script]
    done = subprocess.run(run, cwd=folder, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (2, "set()")
    return done.stderr


@contextmanager
def logging_kept() -> Iterator[None]:
    """The command line sets up logging for its whole process, which here is everybody's."""
    loggers = [logging.getLogger(), logging.getLogger("rlhf")]
    before = [(logger, list(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    try:
        yield
    finally:
        for logger, handlers, level, propagate in before:
            logger.handlers, logger.level, logger.propagate = handlers, level, propagate


@contextmanager
def environment_kept() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "160"} | more


def command(*words: str, folder: Path, **more: str) -> Done:
    """The command line for real."""
    done = subprocess.run(
        [sys.executable, "-m", "rlhf", *words], cwd=folder, env=environment(**more), capture_output=True, text=True
    )
    return Done(done.returncode, done.stdout, done.stderr)


def tracked(folder: Path, experiment: str = "rlhf", uri: str = "sqlite:///mlflow.db") -> list[Any]:
    """All runs in a folder's store, newest first."""
    from mlflow import MlflowClient

    database = Path(uri.removeprefix("sqlite:///"))
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / database}")
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id]))
