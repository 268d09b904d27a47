"""What stages a job stands on before any is built: each with its fingerprint, its folder and what is below it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rlhf.config import MethodSpec, Run
from rlhf.fingerprint import base_identity, digest, digest_files, reference_fingerprint, stage_fingerprint
from rlhf.ppo.sources.identity import identities

REFERENCES = "references"  # folder of the store
SHOWN_DIGITS = 12  # of a fingerprint in a folder's name; the whole one is in its result.json


@dataclass(frozen=True)
class Link:
    """A stage as it will be or is: known by what goes into it, so the same in every job that needs it."""

    method: MethodSpec
    fingerprint: str
    folder: Path  # in the store, once it is finished
    origin: str  # fingerprint of the weights that it starts from
    start: Link | None  # the stage that makes them; None for the base model or a folder
    judge: Link | None  # the reward stage that teaches it
    references: Path | None  # where log-probabilities of its pairs under the frozen start are kept, if it reads any

    def chain(self) -> list[Link]:
        """Return it and all stages below it, each once, in the order in which they are built."""
        found: dict[str, Link] = {}
        for below in (self.start, self.judge):
            if below is not None:
                found |= {link.fingerprint: link for link in below.chain()}
        found[self.fingerprint] = self
        return list(found.values())


class Lineage:
    """The stages of one run on one kind of device. `data` gives the fingerprint of the data set in a shape."""

    def __init__(self, run: Run, device: str, precision: str, data: Callable[[str], str]) -> None:
        self.run, self.device, self.precision, self.data = run, device, precision, data
        self.base = digest(base_identity(run.model))
        self._known: dict[str, Link] = {}

    def of(self, method: MethodSpec) -> Link:
        """Return the stage of `method` with all below it. Raises `UserError` for a reward source that is not there."""
        key = method.model_dump_json()
        if key not in self._known:
            self._known[key] = self._link(method)
        return self._known[key]

    def stages(self) -> list[Link]:
        """All stages that the run needs, each once, in the order in which they are built."""
        found = {link.fingerprint: link for link in self.of(self.run.method).chain()}
        if self.run.method.trains_policy and self.run.evaluation.judge == "reward":
            found |= {link.fingerprint: link for link in self.of(self.run.upstream.reward).chain()}
        return list(found.values())

    def _link(self, method: MethodSpec) -> Link:
        named = identities(method.reward_sources)  # first: what is not there is told before anything is trained
        start = self.of(self.run.upstream.sft) if method.starts_from == "sft" else None
        judge = self.of(self.run.upstream.reward) if method.uses_reward_stage else None
        origin = start.fingerprint if start else self._untrained(method)
        teachers = [*([judge.fingerprint] if judge else []), *(named[name] for name in sorted(named))]
        store, data, machine = Path(self.run.store), self.data(method.data_shape), (self.device, self.precision)
        fingerprint = stage_fingerprint(self.run, method, data, digest([origin, *teachers]), *machine, known=named)
        name = f"{method.name}-{self.run.model.name}-{fingerprint[:SHOWN_DIGITS]}"
        references = None
        if method.reads_references:
            kept = reference_fingerprint(self.run, method, data, origin, *machine)
            references = store / REFERENCES / kept[:SHOWN_DIGITS]
        return Link(method, fingerprint, store / name, origin, start, judge, references)

    def _untrained(self, method: MethodSpec) -> str:
        """Hash the weights of a method that no stage of ours comes before: the base model, or a folder's bytes too."""
        if method.starts_from == "base":
            return self.base
        return digest([self.base, digest_files(Path(method.starts_from))])
