"""What an evaluation found: every suite on every speaker, as values that files keep and tables are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from rlhf.evaluation.contract import Findings, Scores, Table
from rlhf.evaluation.controls import Role

HEAVY = ("each", "draws")  # of a score: what comparing in pairs takes, and a summary leaves out


@dataclass(frozen=True)
class Voice:
    """A speaker without its texts. Runs that differ only in their `seed` share a `group`."""

    name: str  # unique within an evaluation
    role: Role
    label: str  # as a reader is told it
    fingerprint: str
    group: str | None
    seed: int | None


@dataclass(frozen=True)
class Evaluation:
    """Findings by suite, then by the speaker's name. A suite that failed is in `failures` alone, with one line."""

    questions: int
    speakers: tuple[Voice, ...]  # references first, then base, start, sft, policies, then nonsense
    suites: Mapping[str, Mapping[str, Findings]]
    notes: tuple[str, ...]
    failures: Mapping[str, str]

    def values_of(self, speaker: str) -> dict[str, float]:
        """Return all values of one speaker by metric, but those that are no finite number."""
        found = [by_speaker[speaker].scores for by_speaker in self.suites.values() if speaker in by_speaker]
        values = {name: score.value for scores in found for name, score in scores.items()}
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def dump(self, *, whole: bool) -> dict[str, Any]:
        """Return plain values for JSON: `whole` for evaluation.json, else without what comparing in pairs takes.

        What is no finite number is None. `metrics` holds scores by metric, then by speaker; `suites` says which belong
        together, with tables and notes.
        """
        metrics: dict[str, dict[str, Any]] = {}
        for by_speaker in self.suites.values():
            for speaker, findings in by_speaker.items():
                for name, score in dump_findings(findings, whole=whole)["scores"].items():
                    metrics.setdefault(name, {})[speaker] = score
        values = {
            "questions": self.questions,
            "speakers": [asdict(voice) for voice in self.speakers],
            "metrics": metrics,
            "suites": {suite: _told(by_speaker) for suite, by_speaker in self.suites.items()},
            "notes": list(self.notes),
            "failures": dict(self.failures),
        }
        told: dict[str, Any] = finite(values)
        return told


def finite(values: Any) -> Any:
    """Return plain values with None in place of numbers that JSON has no words for."""
    if isinstance(values, Mapping):
        return {key: finite(one) for key, one in values.items()}
    if isinstance(values, list | tuple):
        return [finite(one) for one in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def _told(by_speaker: Mapping[str, Findings]) -> dict[str, Any]:
    """Name what a suite gives: metrics in order, tables by title and speaker, each note once."""
    metrics = dict.fromkeys(name for findings in by_speaker.values() for name in findings.scores)
    tables: dict[str, dict[str, Any]] = {}
    notes: dict[str, list[str]] = {}
    for speaker, findings in by_speaker.items():
        for title, table in findings.tables.items():
            tables.setdefault(title, {})[speaker] = asdict(table)
        for note in findings.notes:
            notes.setdefault(note, []).append(speaker)
    everybody = len(by_speaker)
    told = [note if len(who) == everybody else f"{', '.join(who)}: {note}" for note, who in notes.items()]
    return {"metrics": list(metrics), "tables": tables, "notes": told}


def dump_findings(findings: Findings, *, whole: bool) -> dict[str, Any]:
    """Return findings as plain values."""
    kept = [field.name for field in fields(Scores) if whole or field.name not in HEAVY]
    scores = {name: {key: getattr(score, key) for key in kept} for name, score in findings.scores.items()}
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
