"""Detectors that work offline and in time proportional to the text: language, personal data, toxic words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """Something found in a text: what it is and where, `text[start:end]`; never the text itself."""

    kind: str
    start: int
    end: int
