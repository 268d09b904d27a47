"""Specs composed from conf/, rows written by hand, and makers run without the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rlhf.build import validated
from rlhf.compose import composed, parse_words, plain
from rlhf.data.rows import Row
from rlhf.pairs.made import Made
from rlhf.pairs.make import make_pairs, manifest_of
from rlhf.pairs.spec import PairsRun
from tests.commandline import Here


@cache  # specs are frozen
def pairs_run(*words: str) -> PairsRun:
    ((_, config),) = composed(parse_words(["hardware=cpu", *words]))
    values = plain(config)
    return validated(PairsRun, {key: values[key] for key in PairsRun.model_fields})


def spec_of(*words: str) -> Any:
    return pairs_run(*words).pairs


def row(question: str, answer: str | None, *, system: str | None = None, group: str = "g", **meta: Any) -> Row:
    first = [] if system is None else [{"role": "system", "content": system}]
    return Row((*first, {"role": "user", "content": question}), group, completion=answer, meta=meta)


def only(made: Made) -> Any:
    assert len(made.pairs) == 1 and made.lost == {}
    return made.pairs[0]


def make(run: PairsRun, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    return make_pairs(run, environment or {}, Console(quiet=True))


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def files_of(output: Path) -> tuple[bytes, bytes]:
    return output.read_bytes(), manifest_of(output).read_bytes()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tiny models are built once."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(capfd, monkeypatch)
