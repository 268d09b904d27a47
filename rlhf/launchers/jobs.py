"""The jobs of a sweep as a launcher sees them: composed by Hydra, each with its number and folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from rlhf.launchers.endings import forget_failure
from rlhf.report.words import given


@dataclass(frozen=True)
class Prepared:
    """A job that is ready to run."""

    number: int
    words: tuple[str, ...]
    folder: Path  # its own, below the sweep's
    config: DictConfig  # with Hydra's own settings below `hydra`

    @property
    def name(self) -> str:
        """Method and model, as its run is called."""
        return f"{self.config.method.name}-{self.config.model.name}"


def prepared(
    context: HydraContext, config: DictConfig, overrides: Sequence[Sequence[str]], first: int
) -> list[Prepared]:
    """Compose every job of a batch; the first one has number `first`."""
    jobs = []
    for number, words in enumerate(overrides, start=first):
        composed = context.config_loader.load_sweep_config(config, list(words))
        with open_dict(composed):
            composed.hydra.job.id = composed.hydra.job.num = number
        sweep = composed.hydra.sweep
        folder = Path(sweep.dir) / str(sweep.subdir)
        forget_failure(folder)
        own = [word for word in words if not word.lstrip("+").startswith("hydra.")]
        jobs.append(Prepared(number, tuple(own), folder, composed))
    return jobs


def returned(job: Prepared, outcome: dict[str, Any]) -> JobReturn:
    """What Hydra's sweepers get of a job: its outcome, also of one that failed."""
    done = JobReturn()
    done.overrides = OmegaConf.to_container(job.config.hydra.overrides.task)  # type: ignore[assignment]
    done.cfg, done.working_dir = job.config, str(job.folder)
    done.return_value = outcome
    done.status = JobStatus.COMPLETED  # that it failed stands in its outcome; a sweep goes on
    return done


def shared_words(jobs: Sequence[Sequence[str]]) -> set[str]:
    """Words that every job has, where there are several."""
    return set.intersection(*(set(given(words)) for words in jobs)) if len(jobs) > 1 else set()
