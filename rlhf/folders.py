"""Where the YAML files lie."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent


def conf_dir() -> Path:
    """Return the folder of YAML files: inside the installed package, or beside it in a checkout."""
    inside = HERE / "conf"
    return inside if inside.is_dir() else HERE.parent / "conf"
