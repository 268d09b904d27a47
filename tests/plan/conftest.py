"""Runs composed from words, as `rlhf plan` takes them."""

from __future__ import annotations

from rlhf.compose import jobs, parse_words
from rlhf.config import Run


def run_of(*words: str) -> Run:
    ((_, run),) = jobs(parse_words(["tracking=none", *words]))
    return run
