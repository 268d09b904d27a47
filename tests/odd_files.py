"""Reading a file with small bounds, for tests of files that are not as they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlhf.data.files import read_records
from rlhf.data.reading.base import UNBOUNDED
from rlhf.errors import UserError

SMALL = UNBOUNDED.model_copy(
    update={"max_row_mb": 0.001, "max_sheet_mb": 1.0, "max_unpacked_gb": 0.2, "max_unpacked_ratio": 50.0}
)
A, B = {"prompt": "a"}, {"prompt": "b"}


def read(file: Path) -> list[tuple[str, Any]]:
    """Places without the folder, and rows or errors."""
    return [(place.rpartition("/")[2], raw) for place, raw in read_records(str(file), SMALL)]


def rows(file: Path) -> list[Any]:
    return [str(raw).replace(f"{file.parent}/", "") if isinstance(raw, UserError) else raw for _, raw in read(file)]


def refused(file: Path) -> str:
    with pytest.raises(UserError) as caught:
        list(read_records(str(file), SMALL))
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{file.parent}/", "")


def put(folder: Path, name: str, content: bytes | str) -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file
