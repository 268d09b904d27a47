"""What an evaluation found: every suite on every speaker, as values that files keep and tables are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rlhf.evaluation.controls import Role
from rlhf.evaluation.measure import Findings, Scores, Table

HEAVY = ("each", "draws")  # of a score: what comparing in pairs takes, and a summary leaves out


@dataclass(frozen=True)
class Voice:
    """A speaker without its texts."""

    name: str  # unique within an evaluation
    role: Role
    fingerprint: str


@dataclass(frozen=True)
class Measured:
    """Findings by suite, then by the speaker's name. A suite that failed is in `failures` alone, with one line."""

    questions: int
    speakers: tuple[Voice, ...]  # references first, then base, start, sft, policies, then nonsense
    suites: Mapping[str, Mapping[str, Findings]]
    notes: tuple[str, ...]
    failures: Mapping[str, str]

    def scores(self, speaker: str) -> dict[str, Scores]:
        """Return all scores of one speaker by metric."""
        return {
            name: found
            for suite in self.suites.values()
            if speaker in suite
            for name, found in suite[speaker].scores.items()
        }

    def dump(self, *, whole: bool) -> dict[str, Any]:
        """Return plain values for JSON: `whole` for evaluation.json, else without what comparing in pairs takes."""
        suites = {
            suite: {speaker: dump_findings(findings, whole=whole) for speaker, findings in by_speaker.items()}
            for suite, by_speaker in self.suites.items()
        }
        return {
            "questions": self.questions,
            "speakers": [asdict(voice) for voice in self.speakers],
            "suites": suites,
            "notes": list(self.notes),
            "failures": dict(self.failures),
        }

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> Measured:
        """Read what `dump` wrote."""
        suites = {
            suite: {speaker: load_findings(found) for speaker, found in by_speaker.items()}
            for suite, by_speaker in values["suites"].items()
        }
        speakers = tuple(Voice(**voice) for voice in values["speakers"])
        return cls(values["questions"], speakers, suites, tuple(values["notes"]), dict(values["failures"]))


def dump_findings(findings: Findings, *, whole: bool) -> dict[str, Any]:
    """Return findings as plain values."""
    left_out = () if whole else HEAVY
    scores = {
        name: {key: value for key, value in asdict(score).items() if key not in left_out}
        for name, score in findings.scores.items()
    }
    tables = {title: asdict(table) for title, table in findings.tables.items()}
    return {"scores": scores, "tables": tables, "notes": list(findings.notes)}


def load_findings(values: Mapping[str, Any]) -> Findings:
    """Read what `dump_findings` wrote."""
    scores = {
        name: Scores(**(found | {key: tuple(found.get(key, ())) for key in HEAVY}))
        for name, found in values["scores"].items()
    }
    tables = {
        title: Table(tuple(table["columns"]), tuple(tuple(row) for row in table["rows"]))
        for title, table in values["tables"].items()
    }
    return Findings(scores, tables, tuple(values["notes"]))
