"""The store of finished work: what lies in it, whether it is whole, and how it is taken out.

- `<method>-<model>-<fingerprint>/`: a stage with `model/`, `result.json`, `run.json` and `used`, touched by each use;
- `<...>.partial/`: one that is being trained or was interrupted;
- `references/<fingerprint>/`: log-probabilities of preference pairs under a frozen start; `rows/<...>/` and
  `tokens/<...>/`: what was made of a large data set;
- `evaluations/*.json`: answers sampled from a policy, with their scores; `models/<...>/`: base weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rlhf.disk import folder_bytes, locked
from rlhf.fingerprint import file_sizes

Kind = Literal["stage", "references", "rows", "tokens", "evaluation", "model"]
RESULT, PLAN, USED, PARTIAL, DATA = "result.json", "stage.json", "used", ".partial", "data"  # DATA: of its rows
VALUES = "values"  # in a folder of KEPT, what it is about
KEPT: tuple[Kind, ...] = ("references", "rows", "tokens")  # kinds that lie in a folder of that name
REMOVED = ".removed-"  # in the name of what is being deleted
State = Literal["complete", "partial", "damaged"]


def file_sums(folder: Path, parts: Sequence[str]) -> dict[str, str]:
    """Return the sha256 of each file in these parts of `folder`, by its path below it."""
    files = [file for part in parts for file in sorted((folder / part).rglob("*")) if file.is_file()]
    return {file.relative_to(folder).as_posix(): _sha256(file) for file in files}


def _sha256(file: Path) -> str:
    total = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def read_json(file: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file; an empty one where it is not there or not whole."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_whole(folder: Path, result: Mapping[str, Any], part: str = "model") -> bool:
    """Whether a finished folder holds all that its `result` names: `part` in these sizes, and what lies beside it."""
    sizes = result.get("sizes")
    there = sizes is not None and sizes == file_sizes(folder / part)
    return there and all((folder / name).is_file() for name in result.get("sums", ()))


def write_json(file: Path, values: Any) -> None:
    """Write by rename, so that the file is there in full or not at all."""
    fresh = file.with_name(f"{file.name}.new-{uuid.uuid4().hex[:8]}")
    fresh.write_text(json.dumps(values), encoding="utf-8")
    fresh.replace(file)


class Hold:
    """A finished folder that serves now: `remove` leaves it alone until this is closed or forgotten."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def close(self) -> None:
        """Let go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.close()


def hold(folder: Path) -> Hold | None:
    """Note that a finished folder serves now, and hold it.

    A store that may only be read, or whose file system knows no locks, is as good: None then.
    """
    try:
        import fcntl

        descriptor = os.open(folder / USED, os.O_WRONLY | os.O_CREAT, 0o644)
        held_now = Hold(descriptor)
        os.utime(folder / USED)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return held_now
    except (OSError, ImportError):
        return None


def held(folder: Path) -> bool:
    """Whether a job that runs now has said that it uses this folder."""
    try:
        import fcntl

        with (folder / USED).open() as mark:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except (OSError, ImportError):
        return False


def lock_of(path: Path) -> Path:
    """Return the lock file that whoever writes this folder holds."""
    return path.with_name(f"{path.name.removesuffix(PARTIAL)}.lock")


@dataclass(frozen=True)
class Entry:
    """One thing in the store."""

    kind: Kind
    path: Path
    fingerprint: str
    method: str
    model: str
    state: State  # by names and sizes of files; `damage` reads them
    made: float  # seconds since the epoch
    used: float  # when it last served, or was made
    needs: tuple[str, ...]  # fingerprints of the stages that it was trained on

    @property
    def name(self) -> str:
        """Its place below the store."""
        parent = self.path.parent.name
        return self.path.name if self.kind == "stage" else f"{parent}/{self.path.name}"

    @property
    def bytes(self) -> int:
        """What it takes on disk."""
        return folder_bytes(self.path) if self.path.is_dir() else self.path.stat().st_size


def entries(store: Path) -> list[Entry]:
    """Return all that lies in a store: stages first, each kind by name."""
    found: list[Entry] = []
    for path in _folders(store):
        if (path / PLAN).exists() or (path / RESULT).exists() or path.name.endswith(PARTIAL):
            found.append(_stage(path))
    found += [_kept(path, kind) for kind in KEPT for path in _folders(store / kind)]
    for path in sorted((store / "evaluations").glob("*.json")):
        stat, name = path.stat(), path.stem
        found.append(
            Entry("evaluation", path, name[-12:], "", name[:-13], "complete", stat.st_mtime, stat.st_atime, ())
        )
    for path in _folders(store / "models"):
        name, _, mark = (*path.name.rsplit("-", 2), "", "")[:3]
        made = path.stat().st_mtime
        state: State = "complete" if (path / "config.json").exists() else "damaged"
        found.append(Entry("model", path, mark, "", name, state, made, _used(path, made), ()))
    return found


def _folders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith("."))


def _stage(path: Path) -> Entry:
    plan, result = read_json(path / PLAN), read_json(path / RESULT)
    partial = path.name.endswith(PARTIAL)
    method, _, rest = path.name.removesuffix(PARTIAL).partition("-")
    model, _, shown = rest.rpartition("-")
    made = (path / RESULT if (path / RESULT).exists() else path).stat().st_mtime
    state: State = "partial" if partial else "complete" if is_whole(path, result) else "damaged"
    fingerprint = str(result.get("fingerprint") or plan.get("fingerprint") or shown)
    used = max((file.stat().st_mtime for file in path.glob("checkpoints/*")), default=made) if partial else made
    needs = tuple(plan.get("needs", ()))
    return Entry("stage", path, fingerprint, method, model, state, made, _used(path, used), needs)


def _kept(path: Path, kind: Kind) -> Entry:
    result, made = read_json(path / RESULT), path.stat().st_mtime
    whole = is_whole(path, result, VALUES)
    state: State = "partial" if path.name.endswith(PARTIAL) else "complete" if whole else "damaged"
    fingerprint, model = str(result.get("fingerprint", path.name)), str(result.get("model", ""))
    return Entry(kind, path, fingerprint, str(result.get("method", "dpo")), model, state, made, _used(path, made), ())


def _used(path: Path, made: float) -> float:
    mark = path / USED
    return max(made, mark.stat().st_mtime) if mark.exists() else made


def trained_on(stages: Sequence[Entry], found: Sequence[Entry]) -> set[str]:
    """Return the fingerprints of all that these stages were trained on, directly or not."""
    needs = {entry.fingerprint: entry.needs for entry in found if entry.kind == "stage"}
    seen: set[str] = set()
    waiting = [fingerprint for stage in stages for fingerprint in stage.needs]
    while waiting:
        fingerprint = waiting.pop()
        if fingerprint not in seen:
            seen.add(fingerprint)
            waiting += needs.get(fingerprint, ())
    return seen


def needed_by(found: Sequence[Entry]) -> Counter[str]:
    """Return how many stages of the store were trained on each fingerprint, directly or not."""
    stages = [entry for entry in found if entry.kind == "stage"]
    return Counter(fingerprint for stage in stages for fingerprint in trained_on([stage], found))


def damage(entry: Entry) -> list[str]:
    """Read all bytes of an entry; return what is not as it was written, one line each."""
    if entry.state == "partial" or entry.kind == "model":
        return [] if entry.state != "damaged" else ["config.json is missing"]
    if entry.kind == "evaluation":
        before = entry.path.stat()
        broken = not read_json(entry.path)
        os.utime(entry.path, ns=(before.st_atime_ns, before.st_mtime_ns))  # a check is no use of it
        return ["is no whole JSON file"] if broken else []
    result = read_json(entry.path / RESULT)
    if not result:
        return [f"{RESULT} is missing or broken"]
    part = VALUES if entry.kind in KEPT else "model"
    if "sums" not in result:  # written before sums were kept
        return [] if entry.state == "complete" else [f"files of {part} have other sizes than when they were written"]
    written, there = result["sums"], file_sums(entry.path, (part, "base"))
    lines = [f"{name} is missing" for name in written if name not in there]
    changed = [name for name in written if there.get(name, written[name]) != written[name]]
    lines += [f"{name} has other bytes than when it was written" for name in changed]
    return lines + [f"{name} was not written with the stage" for name in there if name not in written]


def in_use(found: Sequence[Entry]) -> set[Path]:
    """Return the paths of what jobs train or use now, with the stages and base models below them."""
    busy = [entry for entry in found if entry.path.is_dir() and (held(entry.path) or _being_written(entry))]
    needed = {fingerprint for entry in busy for fingerprint in (entry.fingerprint, *entry.needs)}
    models = {entry.model for entry in busy}
    return {
        entry.path
        for entry in found
        if entry in busy or entry.fingerprint in needed or (entry.kind == "model" and entry.model in models)
    }


def _being_written(entry: Entry) -> bool:
    from filelock import Timeout

    if not lock_of(entry.path).exists():
        return False
    try:
        with locked(lock_of(entry.path), timeout=0):
            return False  # left behind by a kill
    except Timeout:
        return True


def remove(entry: Entry) -> bool:
    """Take an entry out of the store: renamed first, so that no half of it is ever found. False where it is in use."""
    from filelock import Timeout

    aside = entry.path.with_name(f".{entry.path.name}{REMOVED}{uuid.uuid4().hex[:8]}")
    try:
        with locked(lock_of(entry.path), timeout=0):
            if held(entry.path):
                return False
            os.replace(entry.path, aside)
    except Timeout:
        return False
    except FileNotFoundError:  # somebody else was faster
        return True
    if aside.is_dir():
        shutil.rmtree(aside)
    else:
        aside.unlink()
    return True


def sweep_up(store: Path) -> None:
    """Delete what an interrupted `remove` had already renamed."""
    for folder in (store, *(store / part for part in (*KEPT, "evaluations", "models"))):
        for aside in folder.glob(f".*{REMOVED}*"):
            if aside.is_dir():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                aside.unlink(missing_ok=True)


def age(seconds_since_epoch: float) -> float:
    """Seconds from then to now."""
    return max(0.0, time.time() - seconds_since_epoch)
