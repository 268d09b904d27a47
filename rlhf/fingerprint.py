"""A hash of everything that can change a stage's result."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rlhf import ranks
from rlhf.config import Method, ModelSpec, Run

PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "tokenizers", "scikit-learn")
SOURCES = (
    "stages/*",
    "ppo/**/*",
    "models/*",
    "data/*",
    "evaluation/*",
    "losses.py",
    "kl.py",
    "alike.py",
    "config.py",
    "*spec.py",
)


def digest(value: Any) -> str:
    """Return the sha256 of a JSON-able value, keys sorted."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def digest_files(folder: Path) -> str:
    """Return the sha256 of the names and bytes of all files below `folder` (or of the file itself)."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
        if file.is_file():
            total.update(str(file.relative_to(folder)).encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    total.update(block)
    return total.hexdigest()


def file_sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file below `folder`: a cheap test of whether it is still what was written."""
    return {str(f.relative_to(folder)): f.stat().st_size for f in sorted(folder.rglob("*")) if f.is_file()}


@cache
def source_digest() -> str:
    """Return the sha256 of our own modules that a stage runs."""
    here = Path(__file__).parent
    files = {file for pattern in SOURCES for file in here.glob(pattern) if file.suffix in (".py", ".yaml")}
    return digest([(str(file.relative_to(here)), file.read_text(encoding="utf-8")) for file in sorted(files)])


@cache
def package_versions() -> dict[str, str | None]:
    """Return the versions of the libraries that compute; None for one that is not installed."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def base_identity(model: ModelSpec) -> dict[str, Any]:
    """Say what weights a model has before any training: its settings, and the bytes of a local folder."""
    values = model.model_dump(exclude={"name", "path", "learning_rates"})
    if model.path is not None:
        values["path_bytes"] = digest_files(Path(model.path))
    if model.tokenizer is not None and Path(model.tokenizer).exists():
        values["tokenizer_bytes"] = digest_files(Path(model.tokenizer))
    return values


def stage_fingerprint(run: Run, method: Method, data: str, upstream: str, device: str, precision: str) -> str:
    """Hash a stage: its settings, what it starts from (`upstream`), its data's fingerprint, machine kind and code."""
    return digest(
        {
            "method": method.model_dump(),
            "adapter": run.adapter.model_dump(),
            "quantization": run.quantization.model_dump(),
            "seed": run.seed,
            "held_out": [run.evaluation.prompts, run.evaluation.seed] if method.learns_from_samples else None,
            "processes": ranks.world(),  # each adds a batch of its own
            "upstream": upstream,
            "data": data,
            "device": device,
            "precision": precision,
            "packages": package_versions(),
            "source": source_digest(),
        }
    )
