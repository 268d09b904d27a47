"""How the command line shows itself: one console for all verbs, and libraries that keep quiet."""

from __future__ import annotations

import os
import sys

from rich.console import Console

WIDTH = 140  # of what is printed into files; a terminal has its own
QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "TOKENIZERS_PARALLELISM": "false",
}


def make_console() -> Console:
    """Return the console of stdout, which leaves texts as they are: `a:leaves:b` is no picture of leaves."""
    return Console(emoji=False, highlight=False, width=None if sys.stdout.isatty() else WIDTH)


def quiet_libraries() -> None:
    """Quiet the libraries and keep them from reporting to anyone; call it before they are imported."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
