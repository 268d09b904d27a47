"""What a stage's fingerprint must know of its rewards: the bytes behind the names in `method.rewards`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rlhf.errors import UserError
from rlhf.fingerprint import digest, digest_files
from rlhf.ppo.sources.functions import find_function, unchanged_files
from rlhf.ppo_spec import ClassifierReward, FunctionReward, LinearReward, RewardSourceSpec, StageReward, place


def identities(specs: Mapping[str, RewardSourceSpec]) -> dict[str, str]:
    """Return a hash per source that has local files behind it (a model, rows, a module of functions).

    With a module of functions go the user's own modules that it imports. A model on the hub is not looked at: name its
    `revision`. Raises `UserError` for a folder, file or module that is not there.
    """
    found = {}
    for name, spec in specs.items():
        files = _files(name, spec)
        if files:
            found[name] = digest([digest_files(file) for file in files])
    return found


def _files(name: str, spec: RewardSourceSpec) -> list[Path]:
    if isinstance(spec, StageReward) and spec.folder is not None:
        folder = Path(spec.folder).expanduser()
        if not (folder / "run.json").exists():
            problem = f"{spec.folder} is not the folder of a finished stage"
            raise UserError(place(name, "folder"), problem, "Give a reward-* folder of the store")
        return [file for file in (folder / "run.json", folder / "model", folder / "base") if file.exists()]
    if isinstance(spec, ClassifierReward):
        return [Path(spec.path).expanduser()] if Path(spec.path).expanduser().exists() else []
    if isinstance(spec, LinearReward):
        path = Path(spec.path).expanduser()
        if not path.exists():
            problem = f"there is no {spec.path} (looked in {Path.cwd()})"
            raise UserError(place(name, "path"), problem, "Give the path of a data file")
        return [path]
    if isinstance(spec, FunctionReward):
        find_function(name, spec)  # so that a wrong name is told before the stages below PPO are trained
        return unchanged_files(name, spec)
    return []
