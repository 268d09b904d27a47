"""A tracked run as it is found again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RunInfo:
    """A tracked run as found in the store. `started` is in milliseconds since the epoch."""

    id: str
    name: str
    status: str
    started: int
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
