"""What a search has found so far, as plain data (`search.json` in the sweep's folder, for reports) and as tables."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

from rlhf.search.check import Search
from rlhf.search.engine import Engine
from rlhf.search.importance import LEAST, importances
from rlhf.search.space import Space
from rlhf.search.spec import CategoricalParam, ObjectiveSpec
from rlhf.search.study import FOLDER, INTERRUPTED, JOB, REASON, SECONDS, TWIN, sign_of

if TYPE_CHECKING:
    from rich.table import Table

FILE = "search.json"
STATUS = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
SHOWN = 10  # trials of the table
ENOUGH = 10  # finished trials per parameter, below which importances are a guess
EDGE = 0.02  # of the way between the bounds


def record(engine: Engine, search: Search, folder: Path, state: str, message: str | None) -> dict[str, Any]:
    """Write what is known of a search into `folder/search.json` by rename, and return it."""
    spec, space = search.spec, search.space
    trials = [_trial(trial, engine, search) for trial in engine.trials]
    done = [trial for trial in engine.counted if trial.state == TrialState.COMPLETE]
    front = front_of(done, spec.objectives)
    found: dict[str, Any] = {
        "name": spec.name,
        "study": search.study,
        "storage": spec.storage,
        "state": state,  # running | complete | ended early
        "message": message,
        "seed": spec.seed,
        "sampler": spec.sampler.model_dump(),
        "pruner": spec.pruner.model_dump(),
        "objectives": [objective.model_dump() for objective in spec.objectives],
        "params": {key: param.model_dump() for key, param in space.params.items()},
        "fixed": list(search.fixed),
        "trials_wanted": spec.trials,
        "counts": _counts(engine.trials),
        "trials": trials,
        "history": {
            objective.metric: _history(done, index, objective) for index, objective in enumerate(spec.objectives)
        },
        "front": front,
        "commands": {str(n): command(search, engine.trials[n]) for n in front},
        "importances": importances(done, spec, space) if state != "running" else {},
    }
    found["notes"] = _notes(found, done, space)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE
    file.with_suffix(".new").write_text(json.dumps(found), encoding="utf-8")
    file.with_suffix(".new").replace(file)
    return found


def front_of(done: Sequence[FrozenTrial], objectives: Sequence[ObjectiveSpec]) -> list[int]:
    """Return the numbers of the trials that no other one beats, best in the first objective first.

    One beats another where it is worse in nothing and better in something. Of one objective: the best trial, the first
    of equals.
    """
    signs = [1.0 if objective.direction == "maximize" else -1.0 for objective in objectives]
    points = {t.number: [sign * value for sign, value in zip(signs, t.values, strict=True)] for t in done}

    def beats(one: list[float], other: list[float]) -> bool:
        return one != other and all(mine >= theirs for mine, theirs in zip(one, other, strict=True))

    front = [n for n, own in points.items() if not any(beats(other, own) for other in points.values())]
    front.sort(key=lambda number: (-points[number][0], number))
    return front[:1] if len(objectives) == 1 else front


def command(search: Search, trial: FrozenTrial) -> str:
    """Return the command line that runs one trial by itself."""
    return shlex.join(["rlhf", *search.overrides(trial.params)])


def _trial(trial: FrozenTrial, engine: Engine, search: Search) -> dict[str, Any]:
    attributes = trial.user_attrs
    sign = sign_of(search.spec.pruner.model_dump(), search.spec.objectives[0].direction)  # as the watcher reported
    whole = trial.params.keys() == engine.distributions.keys()
    return {
        "number": trial.number,
        "status": "interrupted" if INTERRUPTED in attributes else STATUS[trial.state],
        "job": attributes.get(JOB),
        "folder": attributes.get(FOLDER),
        "params": {key: search.space.chosen(key, value) for key, value in trial.params.items()},
        "words": list(search.space.words(trial.params)) if whole else [],
        "values": list(trial.values) if trial.state == TrialState.COMPLETE else None,
        "curve": [[step, sign * value] for step, value in sorted(trial.intermediate_values.items())],
        "seconds": attributes.get(SECONDS),
        "reason": attributes.get(REASON),
        "repeats": attributes.get(TWIN),
    }


def _counts(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    counts = dict.fromkeys(("finished", "pruned", "failed", "running", "waiting", "interrupted", "repeated"), 0)
    for trial in trials:
        if INTERRUPTED in trial.user_attrs:
            counts["interrupted"] += 1
        elif TWIN in trial.user_attrs:
            counts["repeated"] += 1
        else:
            counts[STATUS[trial.state]] += 1
    return counts


def _history(done: Sequence[FrozenTrial], index: int, objective: ObjectiveSpec) -> list[list[float]]:
    """Return (trial, value, best so far) of one objective, in the order of the trials."""
    better = max if objective.direction == "maximize" else min
    history: list[list[float]] = []
    for trial in done:
        value = trial.values[index]
        history.append([trial.number, value, better(history[-1][2], value) if history else value])
    return history


def _notes(found: Mapping[str, Any], done: Sequence[FrozenTrial], space: Space) -> list[str]:
    """What a reader should not overlook."""
    notes = [found["message"]] if found["message"] else []
    if len(done) > 1 and found["front"]:
        notes.append(
            f"the best of {len(done)} trials is flattered by chance: run it with other seeds before you believe it"
        )
    if found["state"] != "running" and not any(any(shares.values()) for shares in found["importances"].values()):
        notes.append(_untold(done))
    if found["importances"] and len(done) < ENOUGH * len(space.params):
        notes.append(
            f"importances rest on {len(done)} finished trials for {len(space.params)} parameters: take them as a hint"
        )
    if len(found["objectives"]) == 1 and found["front"]:
        (best,) = [trial for trial in done if trial.number == found["front"][0]]
        notes += [note for key in space.params if (note := _at_the_edge(key, best, space))]
    return notes


def _untold(done: Sequence[FrozenTrial]) -> str:
    """Say why no importance is told."""
    if len(done) < LEAST:
        return f"which setting matters can't be told from {len(done)} finished trials: at least {LEAST} are needed"
    return f"which setting matters can't be told: the {len(done)} finished trials hardly differ in their results"


def _at_the_edge(key: str, best: FrozenTrial, space: Space) -> str | None:
    """Say that the best value lies at a bound, beyond which a better one may be."""
    param = space.params[key]
    if isinstance(param, CategoricalParam) or param.low == param.high:
        return None
    scale = math.log if param.log else float
    low, high, value = scale(param.low), scale(param.high), scale(best.params[key])
    share = (value - low) / (high - low)
    if EDGE < share < 1 - EDGE:
        return None
    bound = "low" if share <= EDGE else "high"
    return f"the best {key} ({best.params[key]:.4g}) is at the {bound} end of its bounds: look further there"


def shown(found: Mapping[str, Any]) -> Table:
    """Return the best trials as a rich table: the front, then the next best in the first objective."""
    from rich.table import Table

    keys, metrics = list(found["params"]), [objective["metric"] for objective in found["objectives"]]
    table = Table(title=f"search {found['study']}", title_justify="left")
    for column in ("trial", "job", *metrics, *keys, "time"):
        table.add_column(column, justify="right", overflow="fold")
    best = found["front"]
    sign = -1.0 if found["objectives"][0]["direction"] == "maximize" else 1.0
    rest = [
        t for t in found["trials"] if t["status"] == "finished" and t["repeats"] is None and t["number"] not in best
    ]
    rest.sort(key=lambda trial: sign * trial["values"][0])
    for trial in [*(found["trials"][number] for number in best), *rest][: max(SHOWN, len(best))]:
        values = [f"{value:.4g}" for value in trial["values"]]
        params = [_short(trial["params"][key]) for key in keys]
        seconds = "" if trial["seconds"] is None else f"{trial['seconds']:.0f} s"
        style = "bold" if trial["number"] in best else ""
        job = "" if trial["job"] is None else str(trial["job"] + 1)  # a reader counts from 1, as everywhere
        table.add_row(str(trial["number"] + 1), job, *values, *params, seconds, style=style)
    return table


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return what is told below the table: counts, importances, notes, the best trials' commands."""
    counts = ", ".join(f"{number} {status}" for status, number in found["counts"].items() if number)
    told = [f"trials   {counts or 'none'} (of {found['trials_wanted']} wanted)"]
    for metric, shares in found["importances"].items():
        parts = ", ".join(f"{key} {share:.0%}" for key, share in shares["fanova"].items())
        told += [f"matters  for {metric}: {parts}"] if parts else []
    told += [f"note     {note}" for note in found["notes"]]
    front = found["front"]
    if len(front) > 1:
        told.append(f"front    trials {', '.join(str(n + 1) for n in front)}: none of them is beaten in all objectives")
    told += [f"trial {number + 1}  {found['commands'][str(number)]}" for number in front[:SHOWN]]
    return told


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
