"""Who says which of two answers is better: a scoring judge (reward model, gold), or a chat model that is asked.

A chat model is asked twice, with either answer first: what it prefers in one order alone is a tie. Its answers are kept
in a journal below the store as they come, so that a question that was paid for is not asked again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from rlhf.data.rows import Row
from rlhf.disk import locked
from rlhf.endpoint import Client, asked, conversation, filled, key_of
from rlhf.evaluation.measure import Scorer
from rlhf.evaluation.statistics import wins
from rlhf.evaluation_spec import JudgeEndpoint

Vote = Literal["first", "second", "tie"]  # of the two answers as they were shown
LAST_LINE = re.compile(r"^\W*(?:(?:the\s+)?(?:answer|verdict|winner|better(?:\s+answer)?)\W+(?:is\W+)?)?(a|b|tie)\W*$")
VOTES: Mapping[str, Vote] = {"a": "first", "b": "second", "tie": "tie"}


@dataclass(frozen=True)
class Verdicts:
    """What a judge says of two speakers' answers, per question; `votes` only of a judge that is shown both at once."""

    outcomes: tuple[float, ...]  # 1: ours is better, 0: theirs, 0.5: neither
    # with ours shown first, and with theirs; None: no vote could be read. Answers that are the same are not asked about
    votes: tuple[tuple[Vote | None, Vote | None], ...] = ()


class Judge(Protocol):
    """Compares two answers to each question."""

    def __call__(self, questions: Sequence[Row], ours: Sequence[str], theirs: Sequence[str]) -> Verdicts:
        """Return a verdict per question."""
        ...


class ScoreJudge:
    """Prefers the answer with the higher score; equal scores are a tie. No answer is scored twice."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._known: dict[tuple[str, str], float] = {}

    def scores(self, questions: Sequence[Row], texts: Sequence[str]) -> list[float]:
        """Return the score of each answer."""
        keys = [(repr(row.prompt), text) for row, text in zip(questions, texts, strict=True)]
        new = {key: row for key, row in zip(keys, questions, strict=True) if key not in self._known}
        if new:
            found = self._scorer([(row.prompt, text) for (_, text), row in new.items()])
            self._known |= dict(zip(new, found, strict=True))
        return [self._known[key] for key in keys]

    def __call__(self, questions: Sequence[Row], ours: Sequence[str], theirs: Sequence[str]) -> Verdicts:
        """Compare the scores."""
        return Verdicts(tuple(wins(self.scores(questions, ours), self.scores(questions, theirs))))


@dataclass(frozen=True)
class Question:
    """One request to a chat model: two answers in the order in which they are shown."""

    at: int  # place among the questions
    swapped: bool  # theirs is shown first
    messages: tuple[Mapping[str, str], ...]


class EndpointJudge:
    """A model behind a chat-completions endpoint, whose last line is a vote: A, B or tie."""

    def __init__(self, spec: JudgeEndpoint, store: Path, environment: Mapping[str, str]) -> None:
        self.spec = spec
        self.journal = Replies(spec, store / "judged")
        self._environment = environment

    def __call__(self, questions: Sequence[Row], ours: Sequence[str], theirs: Sequence[str]) -> Verdicts:
        """Ask what is not in the journal yet; raises `UserError` or `RunFailure` where the endpoint can't be asked."""
        todo = []
        for at, (row, mine, other) in enumerate(zip(questions, ours, theirs, strict=True)):
            if mine.split() != other.split():
                todo.append(Question(at, False, judge_messages(self.spec, row, mine, other)))
                todo.append(Question(at, True, judge_messages(self.spec, row, other, mine)))
        replies = self.journal.of(todo, self._environment)
        votes: dict[int, dict[bool, Vote | None]] = {}
        for question, text in zip(todo, replies, strict=True):
            votes.setdefault(question.at, {})[question.swapped] = read_vote(text)
        both = {at: (own[False], own[True]) for at, own in votes.items()}
        outcomes = [outcome(*both[at]) if at in both else 0.5 for at in range(len(questions))]
        return Verdicts(tuple(outcomes), tuple(both.values()))


def outcome(ours_first: Vote | None, theirs_first: Vote | None) -> float:
    """1 where ours is preferred in both orders, 0 where theirs is, else 0.5 (Zheng et al. 2023, arXiv 2306.05685)."""
    return {("first", "second"): 1.0, ("second", "first"): 0.0}.get((ours_first, theirs_first), 0.5)  # type: ignore[arg-type]


def read_vote(text: str) -> Vote | None:
    """Return the vote in a reply's last line (`B`, `**Tie**`, `The better answer is A.`); None where there is none."""
    lines = [line for line in text.casefold().splitlines() if line.strip()]
    found = LAST_LINE.match(lines[-1].strip()) if lines else None
    return VOTES[found.group(1)] if found else None


def judge_messages(spec: JudgeEndpoint, row: Row, first: str, second: str) -> tuple[dict[str, str], ...]:
    """Return the messages that show the two answers in this order."""
    fillings = {"conversation": conversation(row.prompt), "first": first.strip(), "second": second.strip()}
    system = () if spec.system is None else ({"role": "system", "content": spec.system},)
    return (*system, {"role": "user", "content": filled(spec.instruction, fillings)})


class Replies:
    """A chat model's replies, one line of JSON each, in a file for each model and its settings.

    A kill leaves whole lines and at most one torn one, which is asked again. Jobs take turns, so that two of them that
    ask the same pay once.
    """

    def __init__(self, spec: JudgeEndpoint, folder: Path) -> None:
        self.spec = spec
        decides = [spec.base_url, spec.model, spec.temperature, spec.max_tokens, spec.seed]
        self.file = folder / f"{hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:12]}.jsonl"

    def of(self, questions: Sequence[Question], environment: Mapping[str, str]) -> list[str]:
        """Return the reply to each question, asking what the file lacks; each is written as soon as it is there."""
        keys = [_key(question) for question in questions]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.file.with_suffix(".lock")):
            known = dict(self._read())
            new = {key: question for key, question in zip(keys, questions, strict=True) if key not in known}
            if new:
                key_to_it = key_of(self.spec, environment)  # first: without one nothing is asked
                with self.file.open("a", encoding="utf-8") as stream:
                    for (key, _), text in asked(new.items(), self._ask, self.spec, key_to_it):
                        stream.write(json.dumps([key, text]) + "\n")
                        stream.flush()
                        os.fsync(stream.fileno())
                        known[key] = text
        return [known[key] for key in keys]

    def _ask(self, client: Client, item: tuple[str, Question]) -> str:
        return client.ask([dict(message) for message in item[1].messages], self.spec.seed).text

    def _read(self) -> Iterator[tuple[str, str]]:
        if not self.file.exists():
            return
        whole = 0
        with self.file.open("rb") as stream:
            for line in stream:
                try:
                    key, text = json.loads(line)
                except ValueError:
                    break
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                yield str(key), str(text)
        os.truncate(self.file, whole)


def _key(question: Question) -> str:
    shown: Any = [dict(message) for message in question.messages]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:24]
