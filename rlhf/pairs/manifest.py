"""The finished file of pairs and `<output>.manifest.yaml` beside it: what they were made from, and what came of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf import __version__
from rlhf.data.rows import Count
from rlhf.disk import write_whole
from rlhf.errors import UserError
from rlhf.pairs.journal import Journal, as_line, partial_of, refuse_other
from rlhf.pairs.made import add
from rlhf.pairs.spec import ENDING, LeakSpec
from rlhf.pairs.summary import by_source, leak_values, measure

MANIFEST = ".manifest.yaml"
ASKED_BEFORE = "the prompt of a row before"


def manifest_of(output: Path) -> Path:
    """Return the name of the manifest beside an output."""
    return output.with_name(output.name.removesuffix(ENDING) + MANIFEST)


def is_finished(output: Path, head: Mapping[str, Any]) -> bool:
    """Whether the output is there, whole and of these settings; raises `UserError` where it is of others or changed."""
    if not output.exists() or not manifest_of(output).exists():
        return False
    kept = read_manifest(output)
    refuse_other(output, {key: kept.get(key) for key in head}, head, output)
    if kept.get("sha256") != _sha256(output):
        problem = "it is not as it was written"
        raise UserError(str(output), problem, f"Write to another file, output=OTHER.jsonl, or remove {output}")
    partial_of(output).unlink(missing_ok=True)
    return True


def refuse_foreign(output: Path) -> None:
    """Raise `UserError` where the output is a file that was not made here."""
    if output.exists() and not partial_of(output).exists():
        problem = f"there is such a file already, without {manifest_of(output).name}"
        raise UserError(str(output), problem, "Write to another file: output=OTHER.jsonl")


def publish(output: Path, head: Mapping[str, Any], journal: Journal, counts: Sequence[Count], repeated: int) -> None:
    """Write the pairs in the order of their rows, then the manifest; each is there in full or not at all."""
    fresh = output.with_name(f"{output.name}.new")
    count = 0
    hashed = hashlib.sha256()
    lost: dict[str, int] = {ASKED_BEFORE: repeated} if repeated else {}
    noted: dict[str, int] = {}
    with fresh.open("wb") as stream:
        for _, records, own_lost, own_noted in journal.entries():
            for values in records:
                line = as_line(values)
                stream.write(line)
                hashed.update(line)
                count += 1
            add(lost, own_lost)
            add(noted, own_noted)
        stream.flush()
        os.fsync(stream.fileno())
    if count == 0:
        fresh.unlink()
        reasons = ", ".join(f"{reason} ({times})" for reason, times in lost.items())
        raise UserError(
            str(output), f"no pair came of {head['input']['dataset']}: {reasons}", "Change the settings below pairs"
        )
    manifest = {
        "made_by": f"rlhf {__version__}",
        **head,
        "counts": [[step.step, step.before, step.after] for step in counts],
        "count": count,
        "sha256": hashed.hexdigest(),
        "lost": _sorted(lost),
        "noted": _sorted(noted),
    }
    fresh.replace(output)
    _write_manifest(output, manifest)


def measured(output: Path, spec: LeakSpec) -> dict[str, Any]:
    """Return the manifest with what is measured on the finished file, written anew."""
    manifest = read_manifest(output)
    leak = measure(output, spec, manifest["count"])
    manifest |= {"sources": by_source(output), "leaks": leak_values(leak, spec)}
    _write_manifest(output, manifest)
    return manifest


def read_manifest(output: Path) -> dict[str, Any]:
    """Return the manifest beside an output; raises `UserError` where it is not one."""
    import yaml

    file = manifest_of(output)
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(str(file), f"cannot be read ({type(error).__name__})", "Write to another output") from None
    if not isinstance(values, dict) or "sha256" not in values:
        raise UserError(str(file), "is no manifest of pairs", "Write to another output=OTHER.jsonl")
    return values


def _write_manifest(output: Path, values: Mapping[str, Any]) -> None:
    import yaml

    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=120)
    write_whole(manifest_of(output), text)


def _sha256(file: Path) -> str:
    hashed = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            hashed.update(block)
    return hashed.hexdigest()


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))
