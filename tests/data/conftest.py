"""Specs from the YAML files in conf/dataset, and small files written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from rlhf.config import DatasetSpec

CONF = Path(__file__).parents[2] / "conf" / "dataset"


@pytest.fixture
def spec_of() -> Callable[..., Any]:
    def build(name: str, **changes: Any) -> Any:
        values = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
        return TypeAdapter(DatasetSpec).validate_python({**values, **changes})

    return build


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., str]:
    def write(rows: Sequence[Mapping[str, Any]], name: str = "rows.jsonl") -> str:
        file = tmp_path / name
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return str(file)

    return write
