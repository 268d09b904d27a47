"""The twin of the tracker for `tracking=none`: the same methods, nothing recorded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlhf.tracking.run_info import RunInfo
    from rlhf.tracking.tracker import Status


class NullTracker:
    """Records nothing; finds nothing."""

    def start_run(
        self, name: str, *, role: str, tags: Mapping[str, str], params: Mapping[str, Any], of_another: bool = False
    ) -> NullRun:
        """A run that forgets everything."""
        return NullRun()

    def run_url(self, run_id: str) -> str:
        """No page."""
        return ""

    def compare_url(self, run_ids: Sequence[str], name: str = "", view: Mapping[str, Any] | None = None) -> str:
        """No page."""
        return ""

    @property
    def ui_command(self) -> str:
        """No command."""
        return ""

    def find(self, tags: Mapping[str, str]) -> list[RunInfo]:
        """Nothing."""
        return []

    def by_prefix(self, prefix: str) -> list[RunInfo]:
        """Nothing."""
        return []

    def add_metrics(self, run_id: str, values: Mapping[str, float]) -> None:
        """Record nothing."""

    def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Label nothing."""

    def settle(self) -> None:
        """Nothing waits."""

    def supersede(self, run_ids: Sequence[str]) -> list[str]:
        """Nothing."""
        return []

    def close_zombies(self, killed: Collection[str] = ()) -> list[str]:
        """Nothing."""
        return []


class NullRun:
    """A run that forgets everything."""

    @property
    def id(self) -> str:
        """No id."""
        return ""

    @property
    def url(self) -> str:
        """No page."""
        return ""

    def metrics(self, values: Mapping[str, float], step: int | None) -> None:
        """Forget numbers."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Forget settings."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Forget labels."""

    def text(self, name: str, content: str) -> None:
        """Forget a text."""

    def file(self, path: Path, folder: str | None = None) -> None:
        """Forget a file."""

    def figure(self, path: Path) -> None:
        """Forget a plot."""

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        """Forget a table."""

    def dataset(self, name: str, fingerprint: str, counts: Mapping[str, int]) -> None:
        """Forget a data set."""

    def artifact_reference(self, name: str, path: Path) -> None:
        """Forget an artifact."""

    def end(self, status: Status) -> None:
        """End."""
