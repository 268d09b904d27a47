"""The second half of the door: what a run's files tell before anything is trained or torch is imported.

`rlhf.build` looks at the settings alone; these checks open the files that the settings name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from rlhf.build import needed_stages
from rlhf.config import PPO, MethodSpec, Run
from rlhf.data import check_first_row
from rlhf.endpoint import key_of
from rlhf.errors import UserError, refuse_unwritable
from rlhf.evaluation_spec import ENDPOINT, NAMED, EvaluationSpec
from rlhf.hub import go_offline_if_unreachable, refuse_absent_weights
from rlhf.models.folder import refuse_no_model
from rlhf.ppo.sources import check_sources
from rlhf.ppo.sources.folder import is_scorer, read_judge
from rlhf.spec import STARTS

JUDGES = f"Give the folder of a finished reward stage, {NAMED} (by evaluation.judge) or {ENDPOINT}"


def check_files(runs: Sequence[Run], processes: int) -> None:
    """Raise `UserError` for the first run whose data, start, weights or reward source cannot be what it needs.

    So it does for a run whose steps cannot be shared by `processes`.
    """
    check_readable(runs, processes)
    for run in runs:
        refuse_absent_weights(run)


def make_stores(runs: Sequence[Run]) -> None:
    """Make the stores that are missing. Raises `UserError` for one that cannot be written to."""
    for run in runs:
        refuse_unwritable(Path(run.store))


def check_readable(runs: Sequence[Run], processes: int) -> None:
    """Do all that `check_files` does but looking for the weights: for who only asks."""
    go_offline_if_unreachable(runs)
    for run in runs:
        if isinstance(run.method, PPO):
            _refuse_uneven(run.method, processes)
    for run in {(run.dataset.model_dump_json(), run.method.data_shape): run for run in runs}.values():
        check_first_row(run.dataset, run.method.data_shape)
    for path in dict.fromkeys(run.model.path for run in runs if run.model.path is not None):
        refuse_no_model(Path(path), "model.path")
        _refuse_cut_weights(Path(path), "model.path")
    asked: list[object] = []  # jobs of a sweep ask the same of the same files
    for run in runs:
        for place, stage in needed_stages(run):
            question = (place, stage.starts_from, stage.trains_policy, run.adapter.name, run.model.architecture)
            if question not in asked:
                asked.append(question)
                check_start(place, stage, run)
        if run.method.reward_sources not in asked:
            asked.append(run.method.reward_sources)
            check_sources(run.method.reward_sources)
        if run.evaluation not in asked:
            asked.append(run.evaluation)
            check_measuring(run.evaluation)


def check_meters(runs: Sequence[Run]) -> None:
    """Raise `UserError` where the meter of energy that a run names is not on this machine, which is to run it."""
    from rlhf.evaluation.cost.energy import check_meter

    for hardware in {run.hardware.model_dump_json(): run.hardware for run in runs}.values():
        check_meter(hardware)


def check_start(place: str, method: MethodSpec, run: Run) -> None:
    """Raise `UserError` where `starts_from` names a folder from which `method` of `run` cannot start."""
    if method.starts_from in STARTS:
        return
    folder = Path(method.starts_from)
    here = f"{place}.starts_from={folder}"
    if not any((folder / name).exists() for name in ("config.json", "adapter_config.json")):
        raise UserError(here, "is not base, sft or a folder with a model", "Give base, sft or such a folder")
    scorer = is_scorer(folder, here)
    if method.trains_policy and scorer:
        raise UserError(here, "it holds a reward model, not a policy", "Give base, sft or the folder of a policy")
    if run.adapter.name == "none" and (folder / "adapter_config.json").exists():
        raise UserError(here, "it holds an adapter", "Add adapter=lora")
    held, wanted = _architecture(folder), run.model.architecture.get("model_type")
    if None not in (held, wanted) and held != wanted:
        problem = f"it holds a {held} and model={run.model.name} is a {wanted}"
        raise UserError(here, problem, "Choose the model that it was trained from, or another folder")
    _refuse_cut_weights(folder, here)


def _refuse_cut_weights(folder: Path, place: str) -> None:
    """Raise `UserError` where a file of weights is cut short or none; its header says how long it should be."""
    from safetensors import SafetensorError, safe_open

    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            why = str(error).removeprefix("Error while deserializing header: ").rstrip(".")
            raise UserError(place, f"{file.name} cannot be read ({why})", "Copy or fetch the file again") from error


def check_measuring(spec: EvaluationSpec) -> None:
    """Raise `UserError` where a suite that will run names a model or a judge that cannot be what it needs."""
    _refuse_measuring(spec)
    _refuse_judge(spec)


def _refuse_measuring(spec: EvaluationSpec) -> None:
    """Raise `UserError` where a suite that will run reads answers with a model that cannot be what it needs."""
    from rlhf.evaluation.persona.nli_labels import PLACE, check_nli
    from rlhf.evaluation.safety.labels import check_toxicity
    from rlhf.evaluation.text.bertscore import check_encoder

    if "text" in spec.suites and spec.text.encoder is not None:
        check_encoder(spec.text.encoder, spec.text.revision)
    if "safety" in spec.suites:
        check_toxicity(spec.safety.classifier)
    if {"persona", "simulation"} & set(spec.suites) and spec.persona.nli.model is not None:
        check_nli(spec.persona.nli, PLACE)
    user = Path(spec.simulation.user or "")
    if "simulation" in spec.suites and spec.simulation.user is not None and user.is_dir():  # else an id of the hub
        here = f"evaluation.simulation.user={user}"
        weights = user / "model" if (user / "run.json").exists() else user
        refuse_no_model(weights, here)
        if is_scorer(weights, here):
            raise UserError(here, "it holds a reward model, not a policy", "Give an sft-, dpo- or ppo- folder")


def _refuse_judge(spec: EvaluationSpec) -> None:
    """Raise `UserError` where the preference suite will run and its judge is no reward stage, or has no key."""
    asked = spec.preference
    if "preference" not in spec.suites or asked.judge == NAMED:
        return
    if asked.judge == ENDPOINT:
        key_of(asked.endpoint, os.environ)
        return
    try:
        read_judge("judge", Path(asked.judge))
    except UserError as error:
        raise UserError(f"evaluation.preference.judge={asked.judge}", error.problem, JUDGES) from error


def _architecture(folder: Path) -> str | None:
    """The `model_type` of whole weights; None for an adapter, and where the file does not tell."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None
    return str(found) if found else None


def _refuse_uneven(method: PPO, processes: int) -> None:
    """Every process needs as many prompts as the others, and at least one per minibatch."""
    own, left = divmod(method.prompts_per_step, processes)
    if left or own < method.minibatches:
        raise UserError(
            "method.prompts_per_step",
            f"{method.prompts_per_step} prompts in {method.minibatches} minibatches cannot be shared by {processes} "
            "processes",
            f"Use a multiple of {processes * method.minibatches}",
        )
