"""What a stage's fingerprint must know of its rewards: the bytes behind the names in `method.rewards`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.errors import UserError
from rlhf.fingerprint import base_identity, digest, digest_files, hub_commit
from rlhf.ppo.sources.folder import read_judge
from rlhf.ppo.sources.functions import find_function, unchanged_files
from rlhf.ppo_spec import ClassifierReward, FunctionReward, LinearReward, RewardSourceSpec, StageReward, place


def identities(specs: Mapping[str, RewardSourceSpec]) -> dict[str, str]:
    """Return a hash per source that has files behind it (a model, rows, a module of functions), wherever they lie.

    With a module of functions go the user's own modules that it imports; of a model on the hub the commit is taken.
    Raises `UserError` for a folder, file or module that is not there.
    """
    found = {}
    for name, spec in specs.items():
        identity = _identity(name, spec)
        if identity is not None:
            found[name] = digest(identity)
    return found


def _identity(name: str, spec: RewardSourceSpec) -> Any:
    if isinstance(spec, StageReward) and spec.folder is not None:
        return _judge(name, Path(spec.folder).expanduser())
    if isinstance(spec, ClassifierReward):
        path = Path(spec.path).expanduser()
        return digest_files(path) if path.exists() else [spec.path, hub_commit(spec.path, spec.revision, "config.json")]
    if isinstance(spec, LinearReward):
        path = Path(spec.path).expanduser()
        if not path.exists():
            problem = f"there is no {spec.path} (looked in {Path.cwd()})"
            raise UserError(place(name, "path"), problem, "Give the path of a data file")
        return digest_files(path)
    if isinstance(spec, FunctionReward):
        find_function(name, spec)  # so that a wrong name is told before the stages below PPO are trained
        return [digest_files(file) for file in unchanged_files(name, spec)]
    return None


def _judge(name: str, folder: Path) -> list[Any]:
    """What scores in a finished reward stage: its weights, and from its `run.json` what they are read with."""
    if not (folder / "run.json").exists():
        problem = f"{folder} is not the folder of a finished stage"
        raise UserError(place(name, "folder"), problem, "Give a reward-* folder of the store")
    judge = read_judge(name, folder, trusted=True)
    lengths = [judge.method.max_prompt_tokens, judge.method.max_response_tokens]
    files = [digest_files(file) for file in (folder / "model", folder / "base") if file.exists()]
    return [base_identity(judge.model), lengths, judge.quantization.model_dump(), judge.seed, files]
