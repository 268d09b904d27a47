"""What can be counted in an answer without a model: study S1's formulas, and words said back from the persona.

S1 gives no formulas, only what its scores come to (STUDIES.md: reference turns 0.05 and the persona said back 0.999 for
consistency; questions 30%, empathy markers, and 0.91 for nonsense for engagement). What stands here is a
reconstruction in the usual form of such scores that comes to about the same; it is kept to show what it is worth.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rlhf.evaluation_spec import EngagementSpec

WORD = re.compile(r"\w+(?:['’]\w+)*")
COPIED = 4  # words in a row that are hardly said twice by chance


def words(text: str) -> list[str]:
    """Return the words of a text in small letters, marks left out."""
    return WORD.findall(text.casefold())


@cache
def stop_words() -> frozenset[str]:
    """Return scikit-learn's English stop words; other languages have none here."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS)


def keywords(text: str, letters: int) -> set[str]:
    """Return a text's content words: those of at least `letters` letters that are no English stop words."""
    return {word for word in words(text) if len(word) >= letters and word not in stop_words()}


def keyword_consistency(persona: Sequence[str], answer: str, letters: int) -> float | None:
    """Return the share of the persona's keywords that an answer has, 0 to 1; None for a persona without keywords.

        |keywords(persona) & keywords(answer)| / |keywords(persona)|

    A reconstruction of study S1's score of a turn. Its score of a dialogue is the mean over its turns.
    """
    wanted = keywords("\n".join(persona), letters)
    return len(wanted & keywords(answer, letters)) / len(wanted) if wanted else None


@dataclass(frozen=True)
class Engagement:
    """Study S1's engagement score of an answer and its parts, each 0 to 1."""

    score: float  # the parts' weighted sum
    questions: float  # 1 if it has a question mark
    empathy: float  # empathy markers / how many earn the whole, at most 1
    length: float  # words / how many earn the whole, at most 1
    variety: float  # distinct words / words


def engagement(answer: str, spec: EngagementSpec) -> Engagement:
    """Return the engagement of one answer, 0 in every part for one without words.

        0.3 questions + 0.3 empathy + 0.2 length + 0.2 variety (weights of conf/suite/persona.yaml)

    A reconstruction: of study S1 only the 30% of questions and that empathy markers count are known.
    """
    said = words(answer)
    if not said:
        return Engagement(0.0, 0.0, 0.0, 0.0, 0.0)
    markers = [words(marker) for marker in spec.empathy_markers]
    questions = float("?" in answer or "？" in answer)
    heard = sum(said[at : at + len(marker)] == marker for marker in markers for at in range(len(said)))
    empathy = min(1.0, heard / spec.full_empathy)
    length = min(1.0, len(said) / spec.full_length)
    variety = len(set(said)) / len(said)
    weights = spec.weights
    score = weights.questions * questions + weights.empathy * empathy
    return Engagement(score + weights.length * length + weights.variety * variety, questions, empathy, length, variety)


def copied(persona: Sequence[str], answer: str) -> float:
    """Return the share of an answer's words that are part of four words in a row of one sentence of its persona."""
    runs = {run for sentence in persona for run in _runs(words(sentence))}
    said = words(answer)
    taken = {at + offset for at, run in enumerate(_runs(said)) if run in runs for offset in range(COPIED)}
    return len(taken) / len(said) if said else 0.0


def _runs(said: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(said[at : at + COPIED]) for at in range(len(said) - COPIED + 1)]


def same_text(text: str) -> str:
    """Return what two answers that say the same word for word have in common."""
    return " ".join(words(text))
