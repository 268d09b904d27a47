"""What jobs left on disk, read back: a sweep's folder, a part of one, or the folder of a single run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf.report.words import given
from rlhf.tracking.masking import mask_text, mask_value

SWEEPS, RUNS = Path("multirun"), Path("outputs/runs")
JOB_REMEDY = "delete it, and run the job again with `rlhf resume` or its own command"
SWEEP_REMEDY = "the jobs are told without it, but `rlhf resume` needs the sweep's command given again"
SEARCH_REMEDY = "the jobs are told without it; the search's command writes it anew"
EMPTY: dict[str, Any] = {
    "name": "", "words": [], "status": "failed", "error": "", "metrics": {}, "rows": [], "curves": {}, "upstream": [],
    "warnings": [], "stages": [], "judge": "", "trained_on": "",
}  # fmt: skip


@dataclass(frozen=True)
class JobRecord:
    """One job: its outcome with every field that this module's readers ask for, and its composed configuration."""

    number: int  # as a reader counts, from 1, over all folders of a report
    folder: Path
    outcome: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def settings(self) -> dict[str, str]:
        """The words of its command line, by key, passwords and tokens masked."""
        words = (word.lstrip("+").partition("=") for word in given(self.outcome["words"]) if "=" in word)
        return {key: mask_value(key, value) for key, _, value in words}

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return bool(self.outcome["status"] == "finished")

    def value(self, key: str) -> str | None:
        """A setting as text: as it was given, else as the configuration was composed; None where neither knows it."""
        if key in self.settings:
            return self.settings[key]
        found: Any = self.config
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        found = found.get("name") if isinstance(found, Mapping) else found
        return None if found is None or "${" in str(found) else str(found)


@dataclass(frozen=True)
class Record:
    """All that a report is made of."""

    folders: tuple[Path, ...]
    sweeps: tuple[Mapping[str, Any], ...]  # their sweep.json, as far as there is one
    searches: tuple[Mapping[str, Any], ...]  # their search.json, of those that searched
    jobs: tuple[JobRecord, ...]
    damaged: tuple[str, ...]  # files that can't be read, each with its remedy


def read_record(folders: Sequence[Path], ended: bool = False) -> Record:
    """Read the jobs below `folders` in order, however little is known of one; those that never started, too.

    One that left no result runs or was killed; in a sweep that has `ended`, or reported, it was killed. Raises
    `FileNotFoundError` with a folder that holds no job.
    """
    jobs: list[JobRecord] = []
    sweeps, searches, damaged = [], [], []
    for folder in folders:
        searches += [found] if (found := _json(folder / "search.json")) else []
        sweep = _json(folder / "sweep.json")
        sweeps.append({"id": folder.name, "words": [], **(sweep or {}), "folder": str(folder)})
        damaged += [_cannot(folder / "sweep.json", SWEEP_REMEDY)] if _torn(folder / "sweep.json", sweep) else []
        damaged += [_cannot(folder / "search.json", SEARCH_REMEDY)] if _torn(folder / "search.json", found) else []
        homes = job_folders(folder)
        if not homes:
            raise FileNotFoundError(folder)
        over = ended or bool(sweep.get("reported"))
        waiting = _not_started(folder, sweep) if homes != [folder] else {}
        every = sorted({*homes, *waiting}, key=lambda home: int(home.name)) if waiting else homes
        jobs += [
            JobRecord(place, home, waiting[home], {}) if home in waiting else _job(home, place, over)
            for place, home in enumerate(every, start=len(jobs) + 1)
        ]
    return Record(tuple(folders), tuple(sweeps), tuple(searches), tuple(jobs), tuple(damaged))


def _not_started(folder: Path, sweep: Mapping[str, Any]) -> dict[Path, dict[str, Any]]:
    """The outcomes of the jobs that a sweep planned and that have no folder yet, by the folder that they would have."""
    return {
        folder / str(number): {**EMPTY, **job, "status": "not started", "error": "its turn had not come"}
        for number, job in enumerate(sweep.get("planned") or [])
        if not (folder / str(number)).exists()
    }


def _torn(file: Path, found: Mapping[str, Any]) -> bool:
    return file.is_file() and not found


def _cannot(file: Path, remedy: str) -> str:
    return f"{file} is damaged: {remedy}"


def job_folders(folder: Path) -> list[Path]:
    """The folder itself where a single run left its result there, else its numbered folders."""
    if (folder / "result.json").is_file():
        return [folder]
    found = folder.iterdir() if folder.is_dir() else []
    return sorted((home for home in found if home.is_dir() and home.name.isdigit()), key=lambda home: int(home.name))


def newest_sweep(home: Path) -> Path | None:
    """The sweep below `home` that was started last, where there is one."""
    found = [folder for folder in home.glob("*/*") if job_folders(folder)]
    return max(found, key=lambda folder: (folder.parent.name, folder.name), default=None)


def newer_without_jobs(home: Path, shown: Path) -> Path | None:
    """The newest sweep below `home` that was started after `shown` and has no job yet, where there is one."""
    started = [file.parent for file in home.glob("*/*/sweep.json")]
    later = [one for one in started if (one.parent.name, one.name) > (shown.parent.name, shown.name)]
    return max(later, key=lambda folder: (folder.parent.name, folder.name), default=None)


def _job(home: Path, number: int, ended: bool) -> JobRecord:
    config = _yaml(home / "config" / "config.yaml")
    file = home / "result.json"
    outcome = _json(file)
    if not (outcome.get("name") and outcome.get("status")):
        words = _yaml(home / "config" / "overrides.yaml")
        method, model = (config.get(part, {}).get("name", "job") for part in ("method", "model"))
        outcome = {"name": f"{method}-{model}", "words": words if isinstance(words, list) else []}
        if file.is_file():
            outcome |= {"status": "damaged", "error": _cannot(file, JOB_REMEDY)}
        elif ended:
            outcome["error"] = "left no result, it was killed"
        else:
            outcome |= {"status": "running or killed", "error": "left no result yet"}
    outcome["error"] = mask_text(str(outcome.get("error") or ""))
    return JobRecord(number, home, {**EMPTY, **outcome}, config if isinstance(config, dict) else {})


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not written yet, or torn by a full disk: what else is there is still told
        return {}
    return found if isinstance(found, dict) else {}


def _yaml(file: Path) -> Any:
    import yaml

    if not file.is_file():
        return {}
    return yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
