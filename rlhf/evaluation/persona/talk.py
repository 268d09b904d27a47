"""Conversations of several turns: what the user says, held by a script or by a model, and what was answered to it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rlhf.data.personas import persona_sentences
from rlhf.data.rows import Message, Row

Speak = Callable[[Sequence[Sequence[Message]], int], list[str]]  # (prompts, turn from 0) -> what is said next in each


@dataclass(frozen=True)
class Script:
    """A held-out dialogue taken apart: what came before its first user turn, then both sides' turns in their order."""

    place: int  # of its row among the questions
    persona: tuple[str, ...]  # sentences
    head: tuple[Message, ...]  # the system message, and a turn that opened the dialogue
    asked: tuple[str, ...]  # user turns, at least one
    answered: tuple[str, ...]  # the real answer to each; to the last one only where the row has it


@dataclass
class Talk:
    """A conversation as it grows."""

    script: Script
    asked: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)

    def prompt(self) -> tuple[Message, ...]:
        """Return what the answerer reads."""
        turns = list(self.script.head)
        for at, text in enumerate(self.asked):
            turns.append({"role": "user", "content": text})
            if at < len(self.answered):
                turns.append({"role": "assistant", "content": self.answered[at]})
        return tuple(turns)

    def seen_by_user(self) -> tuple[Message, ...]:
        """Return what a user model reads: the same without the persona, the two sides exchanged."""
        other = {"user": "assistant", "assistant": "user"}
        return tuple({**turn, "role": other[turn["role"]]} for turn in self.prompt() if turn["role"] != "system")


def script_of(row: Row, place: int) -> Script | None:
    """Take a row's dialogue apart; None where the user says nothing."""
    first = next((at for at, turn in enumerate(row.prompt) if turn["role"] == "user"), None)
    if first is None:
        return None
    asked: list[str] = []
    answered: list[str] = []
    given = row.completion or row.chosen or ""
    last = [{"role": "assistant", "content": given}] if given.strip() else []
    for turn in (*row.prompt[first:], *last):
        side = asked if turn["role"] == "user" else answered
        if turn["role"] == "user" and len(asked) > len(answered):  # two user turns in a row are one
            asked[-1] = f"{asked[-1]}\n{turn['content']}"
        elif turn["role"] in ("user", "assistant") and (side is asked or len(answered) < len(asked)):
            side.append(turn["content"])
    return Script(place, tuple(persona_sentences(row)), tuple(row.prompt[:first]), tuple(asked), tuple(answered))


def scripts_of(questions: Sequence[Row], count: int, turns: int, seed: int) -> list[Script]:
    """Choose up to `count` dialogues: of each group the longest, and of these the ones that have most of the `turns`.

    Among equally long ones the seed draws. The rows' order makes no difference.
    """
    longest: dict[str, Script] = {}
    found = [script for at, row in enumerate(questions) if (script := script_of(row, at)) is not None]
    for script in sorted(found, key=lambda script: str(questions[script.place].prompt)):
        group = questions[script.place].group
        if group not in longest or len(script.asked) > len(longest[group].asked):
            longest[group] = script
    groups = sorted(longest)
    random.Random(f"simulation {seed}").shuffle(groups)
    groups.sort(key=lambda group: -min(turns, len(longest[group].asked)))
    return [longest[group] for group in groups[:count]]


def converse(scripts: Sequence[Script], turns: int, answer: Speak, ask: Speak | None) -> list[Talk]:
    """Let `answer` talk with a user for up to `turns` turns of each; all conversations go on at the same time.

    The user's first turn is the script's. Later ones are said by `ask`, or, without it, are the script's as well, and a
    conversation ends where the script does.
    """
    talks = [Talk(script) for script in scripts]
    for turn in range(turns):
        live = [talk for talk in talks if len(talk.answered) == turn]
        if turn == 0 or ask is None:
            live = [talk for talk in live if turn < len(talk.script.asked)]
            said = [talk.script.asked[turn] for talk in live]
        else:
            said = ask([talk.seen_by_user() for talk in live], turn)
        for talk, text in zip(live, said, strict=True):
            talk.asked.append(text)
        if not live:
            break
        for talk, text in zip(live, answer([talk.prompt() for talk in live], turn), strict=True):
            talk.answered.append(text)
    return talks
