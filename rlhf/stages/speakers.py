"""Who speaks in an evaluation: every model once, whichever runs it is part of, under a name and a label of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from rlhf.evaluation.controls import Role
from rlhf.evaluation.result import Voice
from rlhf.fingerprint import digest
from rlhf.stages.evaluate import Evaluator, Row

ORDER = ("base", "start", "sft", "policy")
LABELS: Mapping[str, str] = {
    "reference": "reference answers",
    "base": "base model",
    "echo": "echo of the question",
    "polite": "one polite answer",
    "shuffled": "answers to other questions",
    "random": "random tokens",
}


@dataclass(frozen=True)
class Model:
    """A model that answered, with what loads it again."""

    row: Row
    evaluator: Evaluator
    group: str | None = None  # shared by models that differ only in their seed
    seed: int | None = None
    label: str = ""  # of the run that it is part of


@dataclass(frozen=True)
class Entry:
    """A speaker with its answers."""

    voice: Voice
    texts: tuple[str, ...]
    model: Model | None  # None: a control line


def control(role: Role, texts: tuple[str, ...]) -> Entry:
    """Return the references or nonsense as a speaker."""
    return Entry(Voice(role, role, LABELS[role], digest(list(texts)), None, None), texts, None)


def distinct(models: Sequence[Model]) -> tuple[list[Entry], list[str]]:
    """Return the speakers in the order in which they are shown, and for each of `models` the name of its speaker.

    Models that answer alike under one fingerprint are one speaker. A run's own policy may be what another run started
    from; it speaks as a policy then.
    """
    own: dict[tuple[str, tuple[str, ...]], Model] = {}
    for model in sorted(models, key=lambda one: -ORDER.index(one.row.role)):
        own.setdefault(_key(model), model)
    several = len({model.evaluator.job.run.model.name for model in models}) > 1
    entries: dict[tuple[str, tuple[str, ...]], Entry] = {}
    names: set[str] = set()
    for key, model in sorted(own.items(), key=lambda item: ORDER.index(item[1].row.role)):
        row, beside = model.row, f" {model.evaluator.job.run.model.name}" if several else ""
        name = f"{row.name}{beside}" if row.name == row.role else row.name
        while name in names:  # one model, asked in two ways
            name += "'"
        names.add(name)
        label = LABELS.get(row.role, row.role) + beside
        if row.role == "policy":
            label = model.label or row.role
        group, seed = (None, None) if row.role == "base" else (model.group, model.seed)
        voice = Voice(name, cast(Role, row.role), label, row.fingerprint, group, seed)
        entries[key] = Entry(voice, key[1], model)
    return _told_apart(list(entries.values())), [entries[_key(model)].voice.name for model in models]


def _key(model: Model) -> tuple[str, tuple[str, ...]]:
    return model.row.fingerprint, tuple(model.row.texts)


def _told_apart(entries: list[Entry]) -> list[Entry]:
    """Label speakers that share a label by their run, or else by their name; those that are pooled are one line."""
    entries = _added(entries, _of_run)
    return _added(entries, lambda entry: f" ({entry.voice.name})")


def _of_run(entry: Entry) -> str:
    model = entry.model
    return f" of {model.label}" if model is not None and model.label and entry.voice.role != "policy" else ""


def _added(entries: list[Entry], more: Callable[[Entry], str]) -> list[Entry]:
    alike = Counter(label for label, _ in {(entry.voice.label, _line(entry)) for entry in entries})
    return [
        replace(entry, voice=replace(entry.voice, label=entry.voice.label + more(entry)))
        if alike[entry.voice.label] > 1
        else entry
        for entry in entries
    ]


def _line(entry: Entry) -> str:
    """What speakers share that a table shows as one line."""
    voice = entry.voice
    return f"{voice.role} of {voice.group}" if voice.group else voice.name
