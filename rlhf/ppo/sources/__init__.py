"""What the files behind `method.rewards` tell without torch: a wrong one is refused before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rlhf.ppo.sources.classifier import check_classifier
from rlhf.ppo.sources.folder import read_judge
from rlhf.ppo.sources.functions import find_function, unchanged_files
from rlhf.ppo.sources.marked import read_marked
from rlhf.ppo_spec import ClassifierReward, FunctionReward, LinearReward, RewardSourceSpec, StageReward


def check_sources(specs: Mapping[str, RewardSourceSpec]) -> None:
    """Raise `UserError` for the first source whose folder, file, module or function is not there or does not fit."""
    for name, spec in specs.items():
        if isinstance(spec, StageReward) and spec.folder is not None:
            read_judge(name, Path(spec.folder).expanduser())
        elif isinstance(spec, ClassifierReward):
            check_classifier(name, spec)
        elif isinstance(spec, LinearReward):
            read_marked(name, spec)
        elif isinstance(spec, FunctionReward):
            find_function(name, spec)
            unchanged_files(name, spec)  # read now, as it is imported; a job that starts later reads it again
