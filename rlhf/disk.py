"""The disk: how much a folder takes, what is told when there is no room left, and who may write a folder."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from rlhf.errors import RunFailure, UserError

LEAST_FREE_BYTES = 1 << 20


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def write_whole(file: Path, text: str) -> None:
    """Write a file that is there in full or not at all, after a kill and after a power cut."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.new")
    with new.open("w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(file)


@contextmanager
def locked(file: Path, timeout: float = -1) -> Iterator[None]:
    """Hold the lock `file` against all other processes; the file is gone afterwards.

    Raises filelock's `Timeout` when others hold it for `timeout` seconds; a negative one waits for ever.

    It is removed while it is held. Whoever waited for it then holds a file without a name, which filelock sees
    (`st_nlink` is 0), and asks anew for the file of that name: nobody goes on beside a newcomer.
    """
    with FileLock(file, timeout):
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


@contextmanager
def refusing_full_disk(folder: Path) -> Any:
    """Turn a full disk or an unwritable folder into one line with the remedy."""
    try:
        yield
    except (UserError, RunFailure):
        raise
    except Exception as error:  # safetensors and torch.save wrap the system's error in types of their own
        if getattr(error, "errno", None) in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError(str(folder), "cannot be written to", "Set store=FOLDER to one that can be") from None
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        if full or shutil.disk_usage(folder.parent).free < LEAST_FREE_BYTES:
            remedy = "Free some space and run the same command again: it resumes from the last whole checkpoint"
            raise RunFailure(str(folder), "the disk is full", remedy) from None
        raise
