"""One job in several processes (`accelerate launch -m rlhf ...`): the first one decides and writes, the others follow.

With one process everything here is a no-op.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TypeVar

Value = TypeVar("Value")
# The others wait while the first one waits for another job that trains the same stage, and while it measures. One that
# dies does not leave them waiting: the launcher ends them all.
PATIENCE = timedelta(days=30)


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


def fail_together(error: Exception | None) -> None:
    """Raise in every process what went wrong in one of them; every process has to call it, with None if all is well.

    Without it the others would wait for the one that failed, until the launcher kills them in the middle of recording.
    The error gets `shared = True`: the first process tells it, for all.
    """
    if world() > 1:
        _connect()
        from accelerate.utils import gather_object

        error = next((found for found in gather_object([error]) if found is not None), None)
        if error is not None:
            error.shared = True
    if error is not None:
        raise error


def _connect() -> None:
    """Open the process group as the trainers do; `accelerate launch --cpu` says by itself that it is gloo's."""
    from accelerate import PartialState

    PartialState(timeout=PATIENCE)
