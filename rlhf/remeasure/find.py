"""The finished runs that a word of the command line means: by id or its beginning, by folder, or the newest.

Everything is read from files: a job's `result.json` names its stage, and a stage's folder holds all that is needed to
load its model again.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.errors import UserError
from rlhf.report.record import RUNS, SWEEPS, job_folders
from rlhf.report.words import own_words
from rlhf.spec import RUN
from rlhf.store import PARTIAL, RESULT, is_whole, read_json

if TYPE_CHECKING:
    from rlhf.config import TrackingSpec

BESIDE = ("hydra", "tracking", "evaluation", "experiment", "reuse", "model=", "method=")
SEED = "seed="
LAST = "last"
EVALUATIONS = Path("outputs/evaluations")  # where evaluations are left
NOT_A_RUN = "Give the id of a run, its folder below outputs/runs or multirun, a folder of outputs/stages, or run=last"


@dataclass(frozen=True)
class Recorded:
    """A finished run as its files tell of it."""

    asked: str  # the word that it was found by
    label: str  # for readers: method and model, and which of its settings the runs beside it don't have
    stage: Path  # folder of its finished stage
    settings: Mapping[str, Any]  # plain values of its `Run`, `method` being the stage's own; no tracking
    result: Mapping[str, Any]  # of the stage
    run_id: str | None  # in the tracker
    command: str  # what trained it, as far as it is known
    words: tuple[str, ...]  # of its command line, as far as they are known
    stages: tuple[str, ...]  # names of the stages that its job used


def find_runs(words: list[str], tracking: TrackingSpec) -> list[Recorded]:
    """Return the runs that `words` name, each once; raises `UserError` for the first that is none or not finished."""
    found: dict[Path, Recorded] = {}
    for word in words:
        for recorded in _find(word, tracking):
            found.setdefault(recorded.stage.resolve(), recorded)
    return _told_apart(list(found.values()))


def _told_apart(found: list[Recorded]) -> list[Recorded]:
    """Label runs by the words that they don't share but for the seed, or by their stages where no word tells."""
    own = [[w for w in words if not w.lstrip("+~").startswith(BESIDE)] for words in own_words([o.words for o in found])]
    whole = Counter((one.label, *words) for one, words in zip(found, own, strict=True))
    labelled = []
    for one, words in zip(found, own, strict=True):
        told = shlex.join(word for word in words if not word.startswith(SEED))  # seeds of one setting become one line
        alone = whole[one.label, *words] == 1
        labelled.append(replace(one, label=f"{one.label} {told}".strip() if alone else one.stage.name))
    return labelled


def _find(word: str, tracking: TrackingSpec) -> Iterator[Recorded]:
    folder = Path(word).expanduser()
    if word == LAST:
        yield _of_job(_newest(), word)
    elif not folder.is_dir():
        yield _by_id(word, tracking)
    elif (stage := folder.parent if folder.name == "model" else folder).joinpath(RUN).exists():
        yield _of_stage(stage, word, None, None)
    elif stage.name.endswith(PARTIAL):
        raise UserError(word, "this stage has not finished", "Run its command again: it goes on where it was")
    else:
        homes = job_folders(folder)
        if not homes:
            raise UserError(word, "this folder holds no run", NOT_A_RUN)
        for home in homes:
            yield _of_job(home, word)


def _newest() -> Path:
    """Return the folder of the run that finished last; raises `UserError` where none has."""
    results = [(_values(file), file) for file in _results()]
    finished = [(float(told.get("started", 0)), file) for told, file in results if told.get("status") == "finished"]
    if not finished:
        raise UserError("run=last", f"no run has finished below {RUNS} or {SWEEPS}", "Train one: `rlhf --help`")
    return max(finished)[1].parent


def _results() -> Iterator[Path]:
    yield from RUNS.glob(f"*/*/{RESULT}")
    yield from SWEEPS.glob(f"*/*/*/{RESULT}")


def _values(file: Path) -> dict[str, Any]:
    return read_json(file)


def _of_job(home: Path, word: str) -> Recorded:
    """Read a job's outcome; raises `UserError` where it did not finish or its stage is gone."""
    told = _values(home / RESULT)
    if not told and (home / RESULT).exists():
        raise UserError(
            word, f"{home / RESULT} is damaged", "Run its command again, or name its folder of outputs/stages"
        )
    command = _command(told)
    status = told.get("status")
    if status != "finished":
        why = f"it {status}: {told['error']}" if status and told.get("error") else "it has not finished"
        why = why.replace("it failed", "the run failed").replace("it has", "the run has")
        raise UserError(word, why, f"Run it to its end: {command}")
    stage = Path(str(told.get("stage", "")))
    if not stage.is_absolute() and not stage.exists():  # it was started somewhere else
        stage = next((above / stage for above in home.absolute().parents if (above / stage).exists()), stage)
    return _of_stage(stage, word, told, command)


def _command(told: Mapping[str, Any]) -> str:
    return shlex.join(["rlhf", *map(str, told.get("words", []))])


def _of_stage(stage: Path, word: str, told: Mapping[str, Any] | None, command: str | None) -> Recorded:
    """Read a stage's folder; raises `UserError` where it is gone or not whole."""
    again = f"Train it again: {command}" if command else "Train it again"
    if not stage.is_dir():
        raise UserError(word, f"its model is gone from {stage}", again)
    settings, result = read_json(stage / RUN), read_json(stage / RESULT)
    if not settings or not result or not is_whole(stage, result):
        raise UserError(word, f"{stage} is not as it was written", again)
    method = stage.name.partition("-")[0]
    if told and told.get("settings"):
        settings = dict(told["settings"])
    if settings["method"]["name"] != method:  # it was trained on the way to another
        settings = settings | {"method": settings["upstream"][method]}
    words = tuple(map(str, (told or {}).get("words", ())))
    label = stage.name.rpartition("-")[0].replace("-", " ", 1)
    run_id = str((told or result).get("run_id") or "") or None
    stages = tuple(str(one["name"]) for one in (told or {}).get("stages", []))
    return Recorded(word, label, stage, settings, result, run_id, command or "", words, stages)


def _by_id(word: str, tracking: TrackingSpec) -> Recorded:
    """Find a run by the beginning of its id: on this disk, else in the tracker's store."""
    if not word.isalnum():
        raise UserError(word, "there is no such folder", NOT_A_RUN)
    jobs = {
        str(told["run_id"]): file
        for file in _results()
        if str((told := _values(file)).get("run_id", "")).startswith(word)
    }
    if len(jobs) > 1:
        raise UserError(word, f"{len(jobs)} runs begin so", f"Write more of the id: {', '.join(sorted(jobs)[:3])}")
    if jobs:
        return _of_job(next(iter(jobs.values())).parent, word)
    return _tracked(word, tracking)


def _tracked(word: str, tracking: TrackingSpec) -> Recorded:
    from rlhf.tracking import open_tracker

    found = open_tracker(tracking, RUNS).by_prefix(word)
    if not found:
        raise UserError(word, "there is no such run", NOT_A_RUN)
    if len(found) > 1:
        ids = ", ".join(run.id for run in found[:3])
        raise UserError(word, f"{len(found)} runs begin so", f"Write more of the id: {ids}")
    (run,) = found
    command = run.tags.get("command")
    if run.status != "FINISHED":
        again = f"Run it to its end: {command}" if command else "Run it to its end"
        raise UserError(
            word, f"this run is {run.status}{f' ({told})' if (told := run.tags.get('error')) else ''}", again
        )
    place = run.tags.get("stage_folder") or str(Path(run.tags.get("artifact.model", "")).parent)
    if place in ("", "."):
        raise UserError(word, f"this run ({run.name}) trained no model", NOT_A_RUN)
    known: dict[str, Any] = {"run_id": run.id, "words": shlex.split(command)[1:] if command else []}
    return _of_stage(Path(place), word, known, command)
