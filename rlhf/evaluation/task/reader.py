"""How well answers serve what was asked for, beside the reference answers' ceiling and floors that need no reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rlhf.data.rows import Row
from rlhf.evaluation.comparison.statistics import wilson
from rlhf.evaluation.contract import Findings, Scores, Table, Tools, corpus_scores, mean_scores
from rlhf.evaluation.task.intent import (
    Classifier,
    MacroF1,
    chance,
    classifier,
    confusion,
    drawn,
    kind_of,
    majority,
    own_words,
    shared,
)
from rlhf.evaluation_spec import TaskSpec

WORDS = {"": "", "_own": " in its own words"}  # how much of an answer is read: end of the metric's name -> in words


@dataclass
class Reader:
    """Reads intents (or whatever `name` calls them) out of answers; what it needs is trained at the first speaker."""

    name: str
    key: str  # in the rows' meta
    spec: TaskSpec
    tools: Tools

    @cached_property
    def rows(self) -> list[Row]:
        """The training rows that it learns from."""
        return drawn(self.tools.train("demonstration"), self.key, self.spec.train_rows, self.tools.seed)

    @cached_property
    def kinds(self) -> list[str]:
        """The kind of each of them."""
        return [kind_of(row, self.key) for row in self.rows]

    @cached_property
    def classifiers(self) -> dict[str, Classifier | None]:
        """By how much of an answer they read; each has read just as much of the training answers."""
        answers = [row.completion or "" for row in self.rows]
        return {own: classifier(_read(self.rows, answers, own), self.kinds, self.tools.seed) for own in WORDS}

    @cached_property
    def refusal(self) -> str | None:
        """Why no answer can be read at all."""
        if not self.rows:
            return f"no training row has an answer and a {self.key!r}"
        if len(set(self.kinds)) < 2:
            return f"all training answers serve one {self.name}"
        if (share := shared(self.rows, self.key)) > self.spec.shared_answers:
            return f"{share:.0%} of the training answers serve more than one {self.name}, word for word"
        return None

    def findings(self, questions: Sequence[Row], texts: Sequence[str]) -> Findings:
        """Read every answer whose question has a kind that was trained, and a reference answer to compare with."""
        if self.refusal is not None:
            return Findings({}, {}, (f"No {self.name} accuracy: {self.refusal}.",))
        trained = set(self.kinds)
        places = [p for p, row in enumerate(questions) if row.completion and kind_of(row, self.key) in trained]
        if not places:
            why = f"no question has a reference answer and a {self.name} that is trained"
            return Findings({}, {}, (f"No {self.name} accuracy: {why}.",))
        asked = [kind_of(questions[place], self.key) for place in places]
        floor = majority(self.kinds, asked)
        notes = [
            f"Floors of {self.name} accuracy over {len(asked)} questions: {floor:.1%} by always the most frequent "
            f"{self.name}, {chance(self.kinds, asked):.1%} by training answers at random."
        ]
        if left := len(questions) - len(places):
            notes.append(f"{left} questions without a reference answer or a {self.name} that is trained are left out.")
        scores: dict[str, Scores] = {}
        tables: dict[str, Table] = {}
        for own, words in WORDS.items():
            right, said = self._said(own, questions, texts, places)
            if said is None or wilson(right, len(asked)).low <= floor:
                notes.append(
                    f"No {self.name} accuracy{words}: of the reference answers {right} of {len(asked)} are read "
                    f"rightly, which is not clearly more than the floor."
                )
                continue
            notes.append(f"Ceiling of {self.name} accuracy{words}: {right / len(asked):.1%}, the reference answers'.")
            each: list[float | None] = [None] * len(questions)
            for place, wanted, answered in zip(places, asked, said, strict=True):
                each[place] = float(answered == wanted)
            scores[f"task/{self.name}_accuracy{own}"] = mean_scores(each, self.tools)
            scores[f"task/{self.name}_macro_f1{own}"] = corpus_scores(
                MacroF1(asked, said), len(asked), len(asked), self.tools
            )
            tables[f"{self.name} asked for and served{words}"] = confusion(asked, said, self.spec.classes)
        return Findings(scores, tables, tuple(notes))

    def _said(
        self, own: str, questions: Sequence[Row], texts: Sequence[str], places: Sequence[int]
    ) -> tuple[int, list[str] | None]:
        """Return how many of the reference answers are read rightly, and the kind of each answer at `places`."""
        classify = self.classifiers[own]
        if classify is None:
            return 0, None
        rows = [questions[place] for place in places]
        references = classify(_read(rows, [row.completion or "" for row in rows], own))
        right = sum(kind == kind_of(row, self.key) for kind, row in zip(references, rows, strict=True))
        return right, classify(_read(rows, [texts[place] for place in places], own))


def _read(rows: Sequence[Row], texts: Sequence[str], own: str) -> list[str]:
    return [own_words(row, text) for row, text in zip(rows, texts, strict=True)] if own else list(texts)
