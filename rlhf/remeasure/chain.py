"""A finished stage with the stages below it, read back from its store without building anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.config import MethodSpec, Run
from rlhf.pipeline import Job
from rlhf.remeasure.find import Recorded
from rlhf.stages.start import Finished, Origin, starting_weights
from rlhf.store import PLAN, RESULT, is_whole, read_json


def finished_stage(job: Job, recorded: Recorded) -> tuple[Finished, list[str]]:
    """Return the stage that was recorded, and a sentence for each stage or folder below it that is gone.

    What is gone cannot be measured as a control; a policy whose start is gone is compared with the base model.
    """
    return _finished(job, job.run.method, recorded.stage, recorded.result)


def judge_of(job: Job, recorded: Recorded, finished: Finished) -> Finished | None:
    """Return the reward stage that judged the run, where the store still has it."""
    if finished.origin.judge is not None:
        return finished.origin.judge
    store = recorded.stage.parent
    for name in recorded.stages:
        if name.startswith("reward-") and (store / name).is_dir():
            return _finished(job, job.run.upstream.reward, store / name, read_json(store / name / RESULT))[0]
    return None


def _finished(job: Job, method: MethodSpec, folder: Path, result: Mapping[str, Any]) -> tuple[Finished, list[str]]:
    run, notes = job.run, []
    start: Finished | None = None
    judge: Finished | None = None
    for fingerprint in read_json(folder / PLAN).get("needs", ()):
        below = _in_store(folder.parent, fingerprint)
        if below is None:
            notes.append(f"A stage that {folder.name} stands on ({fingerprint[:12]}) is no longer in the store.")
        elif below.name.startswith("reward-"):
            judge = _below(job, run.upstream.reward, below, notes)
        else:
            start = _below(job, run.upstream.sft, below, notes)
    source, origin = job.base, job.lineage.base
    if start is not None:
        source, origin = starting_weights(method, start, job.base), start.fingerprint
    elif (named := _named_start(run, method)) is not None:
        source, origin = starting_weights(method, None, job.base), named
    return Finished(
        method, folder, str(result["fingerprint"]), result, True, Origin(source, origin, start, judge)
    ), notes


def _below(job: Job, method: MethodSpec, folder: Path, notes: list[str]) -> Finished:
    found, told = _finished(job, method, folder, read_json(folder / RESULT))
    notes += told
    return found


def _in_store(store: Path, fingerprint: str) -> Path | None:
    for folder in store.glob(f"*-{fingerprint[:12]}"):
        if is_whole(folder, read_json(folder / RESULT)):
            return folder
    return None


def _named_start(run: Run, method: MethodSpec) -> str | None:
    """Fingerprint of a folder of weights that the method started from; None where it names none, or it is gone."""
    from rlhf.fingerprint import base_identity, digest, digest_files

    if method.starts_from in ("base", "sft") or not Path(method.starts_from).is_dir():
        return None
    return digest([digest(base_identity(run.model)), digest_files(Path(method.starts_from))])
