"""What a stage stands on: the weights that it starts from, and the finished stages that made and teach it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf.config import MethodSpec
from rlhf.models.load import BASE, Source, open_folder


@dataclass(frozen=True)
class Origin:
    """What a stage stands on."""

    source: Source  # the weights it starts from
    fingerprint: str  # of those weights
    start: Finished | None  # the stage that made them; None for the base model or a folder
    judge: Finished | None  # the reward stage that teaches it


@dataclass(frozen=True)
class Finished:
    """A stage that is complete: its folder holds `model/` and `result.json`."""

    method: MethodSpec
    folder: Path
    fingerprint: str
    result: Mapping[str, Any]
    reused: bool
    origin: Origin

    @property
    def name(self) -> str:
        """Its folder's name, method and model first."""
        return self.folder.name

    def source(self, base: Source) -> Source:
        """The weights it leaves: a whole model, or an adapter on the base."""
        model = self.folder / "model"
        if not (model / "adapter_config.json").exists():
            return Source(base=model, adapter=None, kind="folder")
        own = self.folder / BASE
        if own.exists():
            return Source(base=own, adapter=model, kind="folder")
        start = self.origin.source  # a folder of weights that no stage of ours made is no model of the configuration
        return Source(base=start.base, adapter=model, kind=start.kind)


def starting_weights(method: MethodSpec, start: Finished | None, base: Source) -> Source:
    """Return the weights that a method starts from: those of a trained stage, the base model's, or a folder's."""
    if start is not None:
        return start.source(base)
    if method.starts_from == "base":
        return base
    folder = Path(method.starts_from)
    if (folder / "adapter_config.json").exists():
        return on_its_base(folder, base)
    return Source(base=folder, adapter=None, kind="folder")


def on_its_base(adapter: Path, base: Source) -> Source:
    """An adapter on the weights that it was trained on: a folder that it names and that is there, else the model's."""
    named = open_folder(adapter, "method.starts_from")
    return named if named.kind == "folder" else Source(base=base.base, adapter=adapter, kind=base.kind)


def stands_on(finished: Finished) -> list[Finished]:
    """A stage and all below it, each once."""
    chain: dict[str, Finished] = {}
    waiting: list[Finished | None] = [finished]
    while waiting:
        stage = waiting.pop()
        if stage is not None and stage.fingerprint not in chain:
            chain[stage.fingerprint] = stage
            waiting += [stage.origin.start, stage.origin.judge]
    return list(chain.values())
