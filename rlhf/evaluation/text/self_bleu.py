"""Self-BLEU: how much of each answer the other answers say too (Zhu et al. 2018, Texygen, arXiv 1802.01886)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlhf.evaluation.text.overlap import ORDER
from rlhf.evaluation_spec import Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

Gram = tuple[str, ...]
Counts = list[int]  # by length of n-gram
Claims = dict[Gram, list[tuple[int, int]]]  # n-gram -> (count, answer) of the three answers that have it most often


def self_bleu(answers: Sequence[str], tokenize: Tokenizer) -> tuple[list[float], NDArray | None]:
    """Return each answer's sentence BLEU (sacreBLEU's, 0 to 100) with all others as its references, and means.

    The means, (answers,), are of what those scores would be without each answer; None of fewer than three answers.
    Takes two answers or more. An n-gram counts as often as the other answer that has it most often has it, so that a
    few largest counts are all that is kept and the time is linear.
    """
    import numpy as np

    counted = _count(answers, tokenize)
    claims = _claims([grams for grams, _ in counted])
    lengths = _Lengths([length for _, length in counted])
    scores, gone = [], np.zeros(len(answers))  # gone: what the others' scores change by without an answer
    for at, (grams, length) in enumerate(counted):
        shared, total, lost = _shared(grams, at, claims)
        scores.append(_bleu(shared, total, length, lengths.closest(at)))
        for other in {*lost, *lengths.alone_closest(at)}:
            left = [own - less for own, less in zip(shared, lost[other], strict=True)]
            gone[other] += _bleu(left, total, length, lengths.closest(at, other)) - scores[-1]
    if len(answers) < 3:
        return scores, None
    return scores, (sum(scores) - np.array(scores) + gone) / (len(answers) - 1)


def _count(answers: Sequence[str], tokenize: Tokenizer) -> list[tuple[Counter[Gram], int]]:
    """Count n-grams, and tokens, of each answer as sacreBLEU does."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.helpers import extract_all_word_ngrams

    cut = BLEU(tokenize=tokenize).tokenizer
    return [extract_all_word_ngrams(cut(answer.rstrip()), 1, ORDER) for answer in answers]


def _claims(counted: Sequence[Counter[Gram]]) -> Claims:
    claims: Claims = defaultdict(list)
    for at, grams in enumerate(counted):
        for gram, count in grams.items():
            claims[gram] = sorted([*claims[gram], (count, at)], reverse=True)[:3]
    return claims


def _shared(grams: Counter[Gram], at: int, claims: Claims) -> tuple[Counts, Counts, dict[int, Counts]]:
    """Return n-grams of answer `at` that another has too, all of its own, and those fewer without one of the others."""
    shared, total = [0] * ORDER, [0] * ORDER
    lost: dict[int, Counts] = defaultdict(lambda: [0] * ORDER)
    for gram, count in grams.items():
        others = [(most, other) for most, other in claims[gram] if other != at]
        total[len(gram) - 1] += count
        if not others:
            continue
        most, other = others[0]
        next_most = others[1][0] if len(others) > 1 else 0
        shared[len(gram) - 1] += min(count, most)
        if fewer := min(count, most) - min(count, next_most):
            lost[other][len(gram) - 1] += fewer
    return shared, total, lost


def _bleu(shared: Counts, total: Counts, length: int, reference: int) -> float:
    from sacrebleu.metrics.bleu import BLEU

    return float(BLEU.compute_bleu([*shared], [*total], length, reference, "exp", effective_order=True).score)


class _Lengths:
    """Lengths of answers, to find the closest among the others."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = lengths
        self.ordered = sorted(set(lengths))
        self.holders: dict[int, list[int]] = defaultdict(list)  # three of the answers of a length: two may be left out
        for at, length in enumerate(lengths):
            self.holders[length] = [*self.holders[length], at][:3]

    def closest(self, at: int, without: int | None = None) -> int:
        """Return the length of another answer that is closest to that of answer `at`, of two as close the shorter."""
        own = self.lengths[at]
        left = [length for length in self._around(own) if {*self.holders[length]} - {at, without}]
        return min(left, key=lambda length: (abs(length - own), length), default=0)

    def alone_closest(self, at: int) -> set[int]:
        """Return the other answer that alone has the closest length; none where several have it."""
        holders = {*self.holders[self.closest(at)]} - {at}
        return holders if len(holders) == 1 else set()

    def _around(self, length: int) -> Sequence[int]:
        """Return the length and the two below and above it, since one may be left out."""
        at = bisect_left(self.ordered, length)
        return self.ordered[max(0, at - 2) : at + 3]
