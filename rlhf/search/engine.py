"""Asking Optuna for settings and telling it what they gave: no setting is run twice, none is lost to a kill.

A trial that was cut short is marked as failed and its setting is handed out again; a setting that is drawn again takes
the finished trial's values and is not counted. Nothing here knows what a job is.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from optuna.trial import FrozenTrial, Trial, TrialState

from rlhf.search.plugins import make_sampler
from rlhf.search.space import Space, Value, alike
from rlhf.search.spec import SearchSpec
from rlhf.search.study import FOLDER, INTERRUPTED, JOB, OWNER, REASON, SECONDS, TWIN, counts, is_dead, live, signature

if TYPE_CHECKING:
    from optuna import Study

PATIENCE = 10  # draws that were made before, in a row, until an untried setting is taken by chance
DRAWING = timedelta(seconds=10)  # in which a living process has written down all that it drew for a trial
RETRY = "retry_of"
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended. `values` are in the order of the objectives, `reason` is told for what is not finished."""

    status: Literal["finished", "pruned", "failed"]
    values: list[float] | None
    reason: str | None
    seconds: float | None


@dataclass(frozen=True)
class Setting:
    """One setting to run: the trial's number in the study, its parameters, and its job where it was begun before."""

    number: int
    params: Mapping[str, Value]
    job: int | None


class Engine:
    """Hands out settings and takes their outcomes. `private`: no other process writes to the study."""

    def __init__(self, study: Study, spec: SearchSpec, space: Space, *, private: bool) -> None:
        self.study, self.spec, self.space, self.private = study, spec, space, private
        self.distributions = space.distributions()
        self.owner = signature()
        self.failed_before = self._failed()

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials of the study, in order, as they are now."""
        return self.study.get_trials(deepcopy=False)

    @property
    def counted(self) -> list[FrozenTrial]:
        """Those that count: run, or running, each setting once."""
        return [trial for trial in self.trials if counts(trial) and trial.state != TrialState.WAITING]

    @property
    def failures(self) -> int:
        """How many trials have failed since this process took up the study."""
        return self._failed() - self.failed_before

    @property
    def too_many_failed(self) -> bool:
        """Whether more trials have failed than the search puts up with."""
        return self.failures > self.spec.max_failed * self.spec.trials

    @property
    def exhausted(self) -> bool:
        """Whether every setting of a finite space has been handed out."""
        return self.space.size() <= len(self.counted) and not self._waiting()

    def recover(self, left_behind: Callable[[FrozenTrial], Outcome | None]) -> list[int]:
        """Deal with the trials of processes that are gone; returns the numbers of those that are to be run again.

        `left_behind` looks whether a trial's job had ended before its process did: then it is told, not run again.
        """
        again = []
        for trial in self.trials:
            if trial.state != TrialState.RUNNING or not (self.private or is_dead(trial, self.spec.stale_hours)):
                continue
            if TWIN in trial.user_attrs:
                continue  # settled when its setting is
            if outcome := left_behind(trial):
                self.tell(trial.number, outcome)
                continue
            live(self.study, trial).set_user_attr(INTERRUPTED, True)
            self.study.tell(trial.number, state=TrialState.FAIL)
            if trial.params.keys() == self.distributions.keys():
                kept = {name: trial.user_attrs[name] for name in (JOB, FOLDER) if name in trial.user_attrs}
                attributes = {RETRY: trial.number, **kept}
                self.study.enqueue_trial(trial.params, user_attrs=attributes)
                again.append(trial.number)
        self._settle()
        return again

    def ask(self) -> Setting | None:
        """Return the next setting to run; None when the total is reached or nothing new is left to draw."""
        for _ in range(PATIENCE):
            if len(self.counted) >= self.spec.trials or self.exhausted:
                return None
            if (setting := self._draw(fixed=self._next_cell())) is not None:
                return setting
        return self._draw(fixed=self._untried())

    def tell(self, number: int, outcome: Outcome) -> None:
        """Record how a trial ended, and the same for every trial that drew its setting again."""
        trial = live(self.study, self.trials[number])
        values, reason, state = outcome.values, outcome.reason, TrialState.COMPLETE
        if outcome.status == "finished" and (values is None or not all(map(math.isfinite, values))):
            values, reason, state = None, reason or f"its objectives are {values}", TrialState.FAIL
        elif outcome.status != "finished":
            values, state = None, TrialState.PRUNED if outcome.status == "pruned" else TrialState.FAIL
        for name, value in ((REASON, reason), (SECONDS, outcome.seconds)):
            if value is not None:
                trial.set_user_attr(name, value)
        self.study.tell(number, values, state=state)
        self._settle()

    def _draw(self, fixed: Mapping[str, Value] | None) -> Setting | None:
        """Ask Optuna once; None where the setting was drawn before, or another process has taken the last place."""
        if fixed is not None and not self._waiting():
            self.study.enqueue_trial(dict(fixed))
        self.study.sampler = make_sampler(self.spec.sampler, self.spec.seed, self._index(), self.spec.jobs)
        trial = self.study.ask(fixed_distributions=self.distributions)
        self._wait_for_draws_before(trial.number)
        taken = [other for other in self.counted if other.number < trial.number]
        first = next((other for other in taken if alike(other.params, trial.params)), None)
        if first is not None:
            trial.set_user_attr(TWIN, first.number)
            self._settle()
            return None
        if len(taken) >= self.spec.trials and len(taken) - self._repeated(taken) >= self.spec.trials:
            for name, value in ((INTERRUPTED, True), (REASON, "another process took the last place")):
                trial.set_user_attr(name, value)
            self.study.tell(trial.number, state=TrialState.FAIL)
            return None
        trial.set_user_attr(OWNER, self.owner)
        return Setting(trial.number, trial.params, trial.user_attrs.get(JOB))

    def _repeated(self, trials: list[FrozenTrial]) -> int:
        """How many of `trials` another process has drawn again and not marked yet."""
        return sum(any(alike(trial.params, other.params) for other in trials[:at]) for at, trial in enumerate(trials))

    def _wait_for_draws_before(self, number: int) -> None:
        """Wait until other processes have written down what they drew earlier: two may draw the same at one moment.

        A trial's number is given before its parameters, so whoever has the higher number sees the other one's.
        """

        def drawing(trial: FrozenTrial) -> bool:
            if trial.state != TrialState.RUNNING or trial.params.keys() == self.distributions.keys():
                return False
            return abs(datetime.now() - (trial.datetime_start or datetime.now())) < DRAWING  # clocks may differ

        while not self.private and any(drawing(trial) for trial in self.trials[:number]):
            time.sleep(0.02)

    def _index(self) -> int:
        """How many settings were drawn so far, those that were cut short counted once."""
        return sum(INTERRUPTED not in t.user_attrs and t.state != TrialState.WAITING for t in self.trials)

    def _waiting(self) -> bool:
        return any(trial.state == TrialState.WAITING for trial in self.trials)

    def _next_cell(self) -> Mapping[str, Value] | None:
        """The first cell of a grid that nobody has; None for samplers that draw themselves."""
        if self.spec.sampler.name != "grid":
            return None
        taken = [trial.params for trial in self.counted]
        return next((cell for cell in self.space.cells() if not any(alike(cell, other) for other in taken)), None)

    def _untried(self) -> Mapping[str, Value] | None:
        """Some setting that was not drawn yet, where the sampler only repeats itself."""
        if math.isinf(self.space.size()):
            return None
        taken = [trial.params for trial in self.counted]
        left = [cell for cell in self.space.cells() if not any(alike(cell, other) for other in taken)]
        return random.Random(f"{self.spec.seed}.{self._index()}").choice(left) if left else None

    def _failed(self) -> int:
        return sum(trial.state == TrialState.FAIL for trial in self.counted)

    def _settle(self) -> None:
        """Give trials that drew a setting again what it gave, once that is known."""
        for twin in self.trials:
            if twin.state != TrialState.RUNNING or TWIN not in twin.user_attrs:
                continue
            same = [t for t in self.counted if t.state in ENDED and alike(t.params, twin.params)]
            if same:
                self._copy(same[0], live(self.study, twin))

    def _copy(self, first: FrozenTrial, twin: Trial) -> None:
        values: Any = first.values if first.state == TrialState.COMPLETE else None
        try:
            for step, value in first.intermediate_values.items():
                twin.report(value, step)
            self.study.tell(twin.number, values, state=first.state)
        except (ValueError, RuntimeError):  # Optuna's words for a trial that has ended
            if not self.trials[twin.number].state.is_finished():
                raise  # it was not another process of this study that was quicker
