"""How a job's process ended: in words, and as the outcome of a job that could not write one itself."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.disk import write_whole

KILLED_FOR_MEMORY = "the system's out-of-memory killer does that"


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, however that happens (Linux only)."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, int(signal.SIGKILL), 0, 0, 0)


def status_code(wait_status: int) -> int:
    """What `waitpid` told, as `subprocess` says it: the exit code, or minus the number of the signal."""
    return os.waitstatus_to_exitcode(wait_status)


def in_words(code: int) -> str:
    """Say how a process ended, from its exit code (minus a signal's number where one ended it)."""
    if code >= 0:
        return f"ended with exit code {code} and left no result"
    cause = f" ({KILLED_FOR_MEMORY})" if -code == signal.SIGKILL else ""
    return f"killed by {signal_name(-code)}{cause}"


def signal_name(number: int) -> str:
    """A signal's name; a real-time signal has none of its own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def read_outcome(folder: Path) -> dict[str, Any] | None:
    """What a job left in its folder; None where it left nothing that can be read."""
    try:
        found = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there, or torn by a power cut
        return None
    return found if isinstance(found, dict) else None


def write_outcome(folder: Path, outcome: dict[str, Any]) -> None:
    """Leave an outcome that is there in full or not at all."""
    write_whole(folder / "result.json", json.dumps(outcome))


def forget_failure(folder: Path) -> None:
    """Remove the outcome of an attempt that did not finish, so that it is not taken for that of the next one."""
    outcome = read_outcome(folder)
    if outcome is not None and outcome["status"] != "finished":
        (folder / "result.json").unlink()


def lost(name: str, words: Sequence[str], error: str, code: int = 1) -> dict[str, Any]:
    """The outcome of a job that could not write its own."""
    own = [word for word in words if not word.lstrip("+").startswith("hydra.")]
    common: dict[str, Any] = {"rows": [], "metrics": {}, "curves": {}, "upstream": [], "warnings": []}
    return {"name": name, "words": own, "status": "failed", "error": error, "exit_code": code} | common
