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
from rlhf.evaluation.comparison.statistics import wins
from rlhf.evaluation.contract import Scorer
from rlhf.evaluation_spec import JudgeEndpoint

Vote = Literal["first", "second", "tie"]  # of the two answers as they were shown
ANSWER = r"(?:(?:the )?(?:answer|response|option|assistant) )"
NAMES = (  # what a vote is announced with, as in `my final verdict is`
    r"(?:(?:so|thus|therefore|overall|my|the|final) )*"
    r"(?:verdict|winner|answer|choice|decision|judge?ment|preference|vote|"
    r"(?:better|best|preferred|stronger)(?: (?:answer|response|option|one))?)(?: is| goes to)? |"
    r"i (?:prefer|choose|pick) "
)
WINS = (  # what is said of the winner, as in `is the better answer`
    r" (?:wins|is (?:(?:the|a|clearly|slightly|much) )*(?:better|best|winner|preferred|stronger)"
    r"(?: (?:answer|response|option|one))?)"
)
LAST_LINE = re.compile(
    rf"(?:boxed )?(?:{NAMES})?(?:{ANSWER}?([ab])(?:{WINS})?|(?:it(?: is| s|s) )?(?:a )?(tie))"
)  # words
WORD = re.compile(r"[^\W_]+")
VOTES: Mapping[str, Vote] = {"a": "first", "b": "second", "tie": "tie"}


@dataclass(frozen=True)
class Verdicts:
    """What a judge says of two speakers' answers, per question; `votes` only of a judge that is shown both at once."""

    outcomes: tuple[float | None, ...]  # 1: ours is better, 0: theirs, 0.5: neither; None: a vote can't be read
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


def outcome(ours_first: Vote | None, theirs_first: Vote | None) -> float | None:
    """1 where ours is preferred in both orders, 0 where theirs is, else 0.5 (Zheng et al. 2023, arXiv 2306.05685).

    None where one of the two can't be read: that is no tie.
    """
    if ours_first is None or theirs_first is None:
        return None
    return {("first", "second"): 1.0, ("second", "first"): 0.0}.get((ours_first, theirs_first), 0.5)


def read_vote(text: str) -> Vote | None:
    """Return the vote in a reply's last line (`B`, `[[Tie]]`, `Final verdict: Answer A`, `B is better.`).

    None where there is none, or where the line says more: what names both answers is not guessed at.
    """
    lines = [words for line in text.casefold().splitlines() if (words := WORD.findall(line))]
    found = LAST_LINE.fullmatch(" ".join(lines[-1])) if lines else None
    return VOTES[found[1] or found[2]] if found else None


def judge_messages(spec: JudgeEndpoint, row: Row, first: str, second: str) -> tuple[dict[str, str], ...]:
    """Return the messages that show the two answers in this order."""
    fillings = {"conversation": conversation(row.prompt), "first": first.strip(), "second": second.strip()}
    system = () if spec.system is None else ({"role": "system", "content": spec.system},)
    return (*system, {"role": "user", "content": filled(spec.instruction, fillings)})


class Replies:
    """A chat model's replies, one line of JSON each, in a file for each model and its settings.

    A kill leaves whole lines and at most one torn one, which is asked again. So is what a damaged line held; those
    after it are read. Jobs take turns, so that two of them that ask the same pay once.
    """

    def __init__(self, spec: JudgeEndpoint, folder: Path) -> None:
        self.spec = spec
        decides = [spec.base_url, spec.model, spec.temperature, spec.max_tokens, spec.seed]
        self.damaged = 0  # lines that could not be read when the file was last looked at
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
        self.damaged, whole = 0, 0
        with self.file.open("rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                if (pair := _pair(line)) is None:
                    self.damaged += 1
                else:
                    yield pair
        if whole < self.file.stat().st_size:  # the last line is torn
            os.truncate(self.file, whole)


def _pair(line: bytes) -> tuple[str, str] | None:
    """Return the key and the reply of a line; None where it holds something else."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if isinstance(found, list) and len(found) == 2 and all(isinstance(part, str) for part in found):
        return found[0], found[1]
    return None


def _key(question: Question) -> str:
    shown: Any = [dict(message) for message in question.messages]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:24]
