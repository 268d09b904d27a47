"""Reward functions for `kind: function`: what keeps an answer short and varied while a model judges its content.

Each is called as f(prompts, answers) and returns one number per answer, as a function of your own would:

    '+method.rewards.short={kind: function, weight: 0.02, name: "rlhf.ppo.builtin:length_penalty"}'
"""

from __future__ import annotations

from collections.abc import Sequence

from rlhf.data.rows import Message


def length_penalty(prompts: Sequence[Sequence[Message]], answers: Sequence[str]) -> list[float]:
    """Return minus the number of words of each answer (words are what white space separates)."""
    return [-float(len(answer.split())) for answer in answers]


def repetition_penalty(prompts: Sequence[Sequence[Message]], answers: Sequence[str]) -> list[float]:
    """Return minus the share of each answer's three-word sequences that it has said before: 0 is none, towards -1 all.

    Case does not tell words apart; answers of fewer than three words repeat nothing.
    """
    return [_repeated_share(answer.casefold().split()) for answer in answers]


def _repeated_share(words: Sequence[str]) -> float:
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(triples)) / len(triples) - 1.0 if triples else 0.0
