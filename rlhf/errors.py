"""The two kinds of ending that are not success: a user's mistake (exit code 2) and a failure (exit code 1)."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LONGEST = 1000  # characters of a problem that are shown


def _sentence(place: str, problem: str, remedy: str) -> str:
    """Make one line of them, that any terminal can show: names in files hold what they like."""
    problem = problem if len(problem) <= LONGEST else f"{problem[:LONGEST]} ..."
    end = "" if remedy.endswith(("?", ".", ")", "`")) else "."
    said = f"{place}: {problem.rstrip('.')}. {remedy[:1].upper()}{remedy[1:]}{end}"
    return "".join(sign if sign.isprintable() else " " for sign in said)


class UserError(ValueError):
    """A mistake that the user can mend: one line with the place, the problem and the remedy.

    `place` is what the user can find again: a config key (`method.beta`), a file and line (`pairs.jsonl:17`), a folder.
    The command line prints it without a traceback and exits with code 2.
    """

    exit_code = 2
    shared = False  # whether every process of the job raises it at the same moment: then the first one tells it for all

    def __init__(self, place: str, problem: str, remedy: str) -> None:
        self.place, self.problem, self.remedy = place, problem, remedy
        super().__init__(_sentence(place, problem, remedy))

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str, str]]:
        """Let it travel between processes."""
        return type(self), (self.place, self.problem, self.remedy)


@contextmanager
def told_once() -> Iterator[None]:
    """Mark a refusal as one that every process of the job raises: all of them read the same words and files."""
    try:
        yield
    except UserError as error:
        error.shared = True
        raise


class RunFailure(RuntimeError):
    """A run that cannot go on (NaN, no gradient, full disk): one line, the run is marked FAILED, exit code 1."""

    exit_code = 1
    shared = False  # as a `UserError`'s

    def __init__(self, place: str, problem: str, remedy: str, *, resumable: bool = False) -> None:
        self.place, self.problem, self.remedy, self.resumable = place, problem, remedy, resumable
        super().__init__(_sentence(place, problem, remedy))

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it travel between processes."""
        return type(self), (self.place, self.problem, self.remedy), {"resumable": self.resumable}


def one_line(error: BaseException) -> str:
    """Return the first 200 characters of what a library says, in one line, its type first."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def unwritable(error: BaseException, setting: str = "store=FOLDER") -> UserError | RunFailure | None:
    """Return what to tell where the system refused to write: no permission, read-only, or no space; else None.

    `setting` is what the user sets to name another place.
    """
    place = str(getattr(error, "filename", None) or Path.cwd())
    full = RunFailure(place, "the disk is full", "Free some space and run the same command again")
    if not isinstance(error, OSError):  # safetensors wraps the system's error in a type of its own
        return full if "No space left on device" in str(error) else None
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return UserError(place, "cannot be written to", f"Work elsewhere, or set {setting} to one that can be")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return full
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return UserError(place, "is a file where a folder is needed", f"Move it, or set {setting} to another place")
    return None


def mendable(error: BaseException) -> UserError | RunFailure | None:
    """Return what to tell where the system refused to write or a YAML file cannot be read; else None."""
    mark = getattr(error, "problem_mark", None)  # of PyYAML's errors, without importing it
    if mark is not None:
        problem = " ".join(str(getattr(error, "problem", None) or "not YAML").split())
        return UserError(f"{mark.name}:{mark.line + 1}", f"not YAML ({problem})", "Mend the file")
    return unwritable(error)


def refuse_unwritable(folder: Path, setting: str = "store=FOLDER") -> None:
    """Raise `UserError` unless files can be made in `folder`, which is made where it is missing."""
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        error.filename = str(folder)
        why = (error.strerror or type(error).__name__).lower()
        cannot = UserError(str(folder), f"cannot be made ({why})", f"Set {setting} to one that can be")
        raise (unwritable(error, setting) or cannot) from None
