"""Every file in conf/dataset is whole: all keys of its spec, its own name, and a comment on source and licence."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import yaml

from rlhf.config import FileDataset
from rlhf.data import FORMATS
from rlhf.data.formats import reader

CONF = Path(__file__).parents[2] / "conf" / "dataset"
FILES = sorted(CONF.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dataset_file_builds_its_spec(file: Path, spec_of) -> None:
    spec = spec_of(file.stem)
    assert spec.name == file.stem
    head = file.read_text(encoding="utf-8").split("\nname:")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert "Source:" in head and "licen" in head.lower() or "MIT" in head or "CDLA" in head


def test_there_is_a_reader_and_a_file_for_every_format() -> None:
    formats = set(get_args(FileDataset.model_fields["format"].annotation))
    assert formats == set(FORMATS)
    assert all(callable(reader(name)) for name in FORMATS)
    assert formats | {"support_toy"} <= {yaml.safe_load(file.read_text())["format"] for file in FILES}
