"""One job in several processes (`accelerate launch -m rlhf ...`): the first one decides and writes, the others follow.

With one process everything here is a no-op.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from rlhf.errors import RunFailure, UserError

Value = TypeVar("Value")
# The others wait while the first one waits for another job that trains the same stage, and while it measures. One that
# dies does not leave them waiting: the launcher ends them all.
PATIENCE = timedelta(days=30)
LONGEST_END = 30.0  # seconds from the last line of the first process to its end


def world() -> int:
    """How many processes share the job."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def first() -> bool:
    """Whether this process is the one that writes files, tracks and prints."""
    return int(os.environ.get("RANK", "0")) == 0


def agreed(value: Value) -> Value:
    """Return the first process's value in all of them; every process has to call it."""
    if world() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    _connect()
    return broadcast_object_list([value])[0]


def together() -> None:
    """Wait until every process is here."""
    if world() > 1:
        _connect()
        from accelerate.utils import wait_for_everyone

        wait_for_everyone()


@contextmanager
def failing_together() -> Iterator[None]:
    """Raise in every process the `UserError` or `RunFailure` that the block raises in one; all have to enter it.

    Without it the others would wait for the one that failed, until the launcher kills them in the middle of recording.
    One that fails raises its own error, the others that of the first which did, with its traceback as a note.
    """
    wrong: UserError | RunFailure | None = None
    try:
        yield
    except (UserError, RunFailure) as error:
        wrong = error
    if world() > 1:
        _connect()
        from accelerate.utils import gather_object

        trace = "".join(traceback.format_exception(wrong)) if wrong else ""
        for rank, (found, where) in enumerate(gather_object([(wrong, trace)])):
            if wrong is None and found is not None:
                wrong = found
                wrong.add_note(f"In process {rank}:\n{where}")
    if wrong is not None:
        wrong.shared = True
        raise wrong


def end_together(code: int) -> None:
    """Let the first process end in peace where all end with exit `code`: the launcher kills those that outlive another.

    The first one returns at once to end by itself; the others end when the launcher tells them to.
    """
    together()
    if not first():
        signal.signal(signal.SIGTERM, lambda *_: os._exit(code))
        time.sleep(LONGEST_END)


def _connect() -> None:
    """Open the process group: gloo's where there is no GPU or ACCELERATE_USE_CPU says so, else nccl's.

    `hardware=cpu` is not known here: on a machine with GPUs it needs ACCELERATE_USE_CPU=true beside it.
    """
    import torch
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available()
    PartialState(cpu=on_cpu, timeout=PATIENCE)
