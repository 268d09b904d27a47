"""Folders of the store that hold what was made of data: formatted rows and token ids, written once, read by others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rlhf.disk import locked
from rlhf.fingerprint import file_sizes
from rlhf.store import PARTIAL, RESULT, VALUES, Hold, file_sums, hold, is_whole, lock_of, read_json, write_json


def kept(
    folder: Path, fingerprint: str, make: Callable[[Path], Mapping[str, Any]]
) -> tuple[dict[str, Any], Hold | None]:
    """Return the result of a finished folder and a hold on it; without one, `make` fills its folder `values` first.

    Other jobs that need the same folder wait for the one that makes it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock_of(folder)):
        result = read_json(folder / RESULT)
        if result.get("fingerprint") != fingerprint or not is_whole(folder, result, VALUES):
            work = folder.with_name(f"{folder.name}{PARTIAL}")
            shutil.rmtree(work, ignore_errors=True)
            (work / VALUES).mkdir(parents=True)
            try:
                made = dict(make(work / VALUES))
            except BaseException:
                shutil.rmtree(work, ignore_errors=True)  # there is no going on from half of it
                raise
            result = made | {"fingerprint": fingerprint}
            result |= {"sizes": file_sizes(work / VALUES), "sums": file_sums(work, (VALUES,))}
            write_json(work / RESULT, result)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(work, folder)
        return result, hold(folder)
