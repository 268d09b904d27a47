"""Which models of the hub the settings of a suite name, and what commits they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf.evaluation_spec import NLISpec, SimulationSpec, TextSpec, ToxicitySpec
from rlhf.fingerprint import hub_commit
from rlhf.spec import Spec


def identity(spec: Spec) -> list[tuple[str, str | None]]:
    """Return each model of the hub that a suite with these settings reads or talks with, and its commit now.

    `revision: null` means the newest one, which moves without the settings changing. Folders are left out.
    """
    named = dict.fromkeys(_named(spec))
    return [(name, hub_commit(name, revision, "config.json")) for name, revision in named if not Path(name).exists()]


def _named(spec: Any) -> Iterator[tuple[str, str | None]]:
    """Yield name and revision of the models that settings name, wherever they lie in them."""
    if isinstance(spec, NLISpec | ToxicitySpec) and spec.model is not None:
        yield spec.model, spec.revision
    elif isinstance(spec, TextSpec) and spec.encoder is not None:
        yield spec.encoder, spec.revision
    elif isinstance(spec, SimulationSpec) and spec.user is not None:
        yield spec.user, None
    for name in type(spec).model_fields:
        if isinstance(value := getattr(spec, name), Spec):
            yield from _named(value)
