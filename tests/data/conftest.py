"""Specs from the YAML files in conf/dataset, and small files written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pydantic import TypeAdapter

from rlhf.config import DatasetSpec

CONF = Path(__file__).parents[2] / "conf"


@cache
def composed(name: str) -> dict[str, Any]:
    """The values of a data set's YAML, with those of the groups that its defaults name."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        values: Any = OmegaConf.to_container(compose(overrides=[f"+dataset={name}"]), resolve=True)
    return values["dataset"]


@pytest.fixture
def spec_of() -> Callable[..., Any]:
    def build(name: str, **changes: Any) -> Any:
        return TypeAdapter(DatasetSpec).validate_python({**composed(name), **changes})

    return build


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., str]:
    def write(rows: Sequence[Mapping[str, Any]], name: str = "rows.jsonl") -> str:
        file = tmp_path / name
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return str(file)

    return write


@pytest.fixture
def inspection() -> Any:
    """The thresholds and sizes of `conf/inspection/default.yaml`."""
    from rlhf.inspection_spec import InspectionSpec

    with initialize_config_dir(str(CONF), version_base="1.3"):
        values: Any = OmegaConf.to_container(compose(overrides=["+inspection=default"]), resolve=True)
    return InspectionSpec.model_validate(values["inspection"])
