"""In a job of a search: report its curve to the study as it grows, and end it once the study calls it hopeless."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rlhf.errors import RunFailure

STORAGE, STUDY, TRIAL = "RLHF_SEARCH_STORAGE", "RLHF_SEARCH_STUDY", "RLHF_SEARCH_TRIAL"
PERCENT = 100  # a job's progress, so that trials of different lengths are compared at the same share of their training


class Pruned(RunFailure):
    """The study says that this trial will not come out well: its job ends, and it is no failure."""

    exit_code = 0


class Watcher:
    """Takes the named numbers of a job's own stage. It is made in the job's process, so it opens the study itself."""

    def __init__(self, storage: str, study: str, number: int) -> None:
        import optuna

        from rlhf.search.plugins import make_pruner
        from rlhf.search.study import KEPT, live, open_storage, sign_of

        opened = optuna.load_study(study_name=study, storage=open_storage(storage))
        self.pruner: Mapping[str, Any] = opened.user_attrs[KEPT["pruner"]]
        opened.pruner = make_pruner(self.pruner)
        trial = opened.get_trials(deepcopy=False)[number]
        self.trial = live(opened, trial)
        self.points = 0
        self.sign = sign_of(self.pruner, self.pruner["wanted"])
        self.last = max(trial.intermediate_values, default=-1)

    def __call__(self, step: int, steps: int, named: Mapping[str, float]) -> None:
        """Report the curve's point at `step` of `steps`. Raises `Pruned` where the study has seen enough.

        A storage that does not answer stops no training: the point is left out.
        """
        if (value := named.get(self.pruner["metric"])) is None:
            return
        self.points += 1
        percent = round(PERCENT * step / max(steps, 1))
        if self.points % self.pruner["every"] or percent <= self.last:
            return
        self.last = percent
        if self._hopeless(self.sign * value, percent):
            found = f"{self.pruner['metric']} is {value:.4g} after {percent}% of the training"
            remedy = "Nothing is to be done; search.pruner.name=none runs all trials to their end"
            raise Pruned(
                f"trial {self.trial.number + 1}", f"{found}, which the {self.pruner['name']} pruner ends", remedy
            )

    def _hopeless(self, value: float, percent: int) -> bool:
        from optuna.exceptions import StorageInternalError

        try:
            self.trial.report(value, percent)
            return percent < PERCENT and bool(self.trial.should_prune())
        except StorageInternalError:
            return False


def watcher_of_this_job() -> Watcher | None:
    """Return the watcher of the trial that this job is, where it is one that may be pruned."""
    given = [os.environ.get(name) for name in (STORAGE, STUDY, TRIAL)]
    storage, study, number = given
    return Watcher(storage, study, int(number)) if storage and study and number else None


def words_for(storage: str, study: str, number: int) -> list[str]:
    """Return the words for Hydra that give a job its trial, on whatever machine and in whatever process it runs."""
    values = ((STORAGE, storage), (STUDY, study), (TRIAL, str(number)))
    return [f'+hydra.job.env_set.{name}="{value}"' for name, value in values]
