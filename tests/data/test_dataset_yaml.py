"""Every file in conf/dataset is whole: all keys of its spec, its own name, and a comment on source and licence."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import ValidationError

from rlhf.data import FORMATS
from rlhf.dataset_spec import FILE_FORMATS, FileDataset, FileSpec

CONF = Path(__file__).parents[2] / "conf" / "dataset"
FILES = sorted(CONF.glob("*.yaml"))
LICENCES = ("MIT", "CDLA-Sharing-1.0", "Apache-2.0", "CC BY", "licence is yours", "licensed as", "licence of what")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dataset_file_builds_its_spec_and_says_whose_data_it_is(file: Path, spec_of) -> None:
    spec = spec_of(file.stem)
    assert spec.name == spec.format == file.stem
    lines = file.read_text(encoding="utf-8").splitlines()
    head = " ".join(line for line in lines if line.startswith("#"))
    assert lines[0].startswith("#")
    assert "Source:" in head
    assert any(licence in head for licence in LICENCES)
    assert "©" in head or "yours" in head or "by us" in head or "made from" in head
    if getattr(spec, "hub_id", None):
        assert f"huggingface.co/datasets/{spec.hub_id}" in head


def test_the_formats_the_modules_and_the_files_are_the_same() -> None:
    formats = set(FILE_FORMATS)
    assert len(formats) == len(FILE_FORMATS)
    assert formats == set(FORMATS)
    assert formats | {"support_toy"} == {yaml.safe_load(file.read_text())["format"] for file in FILES}
    for name in formats:
        module = import_module(f"rlhf.data.{name}")
        assert callable(module.rows)
        assert "{" in (module.__doc__ or ""), f"{name} shows no example row"


OWN = {kind: set(kind.model_fields) - set(FileDataset.model_fields) for kind in get_args(FileSpec)}


@pytest.mark.parametrize("name", FILE_FORMATS)
def test_a_setting_of_another_format_is_refused(name: str, spec_of) -> None:
    own = OWN[type(spec_of(name))]
    foreign = set().union(*OWN.values()) - own
    assert {"columns", "turns", "placeholders", "comparisons", "api_calls"} - own <= foreign
    for key in foreign:
        with pytest.raises(ValidationError, match=f"{key}\n.*Extra inputs"):
            spec_of(name, **{key: "keep"})
