"""What an NLI model makes of answers beside their persona, and beside what the same speaker said before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlhf.evaluation_spec import NLISpec

if TYPE_CHECKING:
    from rlhf.evaluation.persona.nli import Inference

Reader = Callable[[Sequence[tuple[str, str]]], "list[Inference]"]


@dataclass(frozen=True)
class Stand:
    """How one answer stands to several statements."""

    entailed: int  # statements
    contradicted: int

    @property
    def balance(self) -> int:
        """Statements entailed minus contradicted: the C score of Madotto et al. 2019 (arXiv 1905.10033)."""
        return self.entailed - self.contradicted


def stands(
    answers: Sequence[str], statements: Sequence[Sequence[str]], read: Reader, spec: NLISpec, *, first: str
) -> list[Stand]:
    """Return how each answer stands to its own statements; one without statements stands to none.

    `first` says which of the two is the premise: `answer` (does the answer show the persona?) or `statement` (does it
    follow from, or go against, what was said before?).
    """
    pairs = [
        (answer, statement) if first == "answer" else (statement, answer)
        for answer, own in zip(answers, statements, strict=True)
        for statement in own
    ]
    found = iter(read(pairs))
    result = []
    for own in statements:
        inferences = [next(found) for _ in own]
        result.append(
            Stand(
                sum(inference.entailment >= spec.entailment for inference in inferences),
                sum(inference.contradiction >= spec.contradiction for inference in inferences),
            )
        )
    return result
