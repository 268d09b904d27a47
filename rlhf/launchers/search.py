"""`search=NAME`: the Hydra sweeper that lets Optuna draw the jobs of a sweep, whatever launcher runs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from rlhf.launchers import HOME, register
from rlhf.search.check import Search
from rlhf.search.drive import Drive

LOCAL = "hydra/launcher=local"
SWEEPER = "hydra/sweeper=search"
_handed: list[Drive] = []  # the search that this process runs: Hydra makes the sweeper and hands over words only


@dataclass
class SearchSettings:
    """What Hydra may set: `params` are those of Hydra's own sweeper, read before and null by now."""

    _target_: str = f"{HOME}.SearchSweeper"
    params: Any = None


class SearchSweeper(Sweeper):
    """Asks a search for jobs and hands them to the launcher; one that takes jobs singly is never made to wait."""

    def __init__(self, params: Any) -> None:
        self.params = params

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over, and make the launcher."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the search that was handed over, in the folder that it has."""
        drive = _handed[-1]
        drive.open()
        stream = getattr(self.launcher, "stream", None)
        if stream is not None:
            stream(drive.next, drive.ended, drive.search.spec.trials)
        else:
            while batch := drive.batch():
                for part in consecutive(batch):
                    self.launcher.launch([words for _, words in part], initial_job_idx=part[0][0])
                for job, _ in batch:
                    drive.ended(job)
        drive.finish()


def consecutive(batch: Sequence[tuple[int, list[str]]]) -> Iterator[list[tuple[int, list[str]]]]:
    """Part jobs into runs of consecutive numbers, as launchers number them."""
    part: list[tuple[int, list[str]]] = []
    for job in batch:
        if part and job[0] != part[-1][0] + 1:
            yield part
            part = []
        part.append(job)
    if part:
        yield part


def hand_over(drive: Drive) -> None:
    """Let the sweeper that Hydra makes next run this search."""
    _handed[:] = [drive]


def words_of(search: Search, words: Sequence[str]) -> list[str]:
    """Return what is added to a command line so that Hydra searches, several jobs at once in processes of their own."""
    added = [SWEEPER]
    chosen = [word for word in words if word.startswith("hydra/launcher=")]
    if search.spec.jobs > 1 and not chosen:
        added.append(LOCAL)
    local = LOCAL in (*added, *chosen)
    if local and not any(word.startswith("hydra.launcher.jobs=") for word in words):
        added.append(f"hydra.launcher.jobs={search.spec.jobs}")
    return added


def register_search() -> None:
    """Make `hydra/sweeper=search` known to Hydra."""
    register(SearchSweeper, "hydra/sweeper", "search", SearchSettings)
