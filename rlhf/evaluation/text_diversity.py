"""How much a set of answers varies: distinct n-grams, repeated answers, lexical diversity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rlhf.evaluation.measure import Scores, Tools
from rlhf.evaluation.text_resample import left_out_scores
from rlhf.evaluation.text_words import ngrams


def distinct(answers: Sequence[Sequence[str]], size: int, tools: Tools) -> Scores | None:
    """Return distinct-n of answers given as words: different n-grams / all n-grams (Li et al. 2016, arXiv 1510.03055).

    `n` counts the n-grams; None where there are none.
    """
    import numpy as np

    counted = [ngrams(answer, size) for answer in answers]
    of_each = np.array([sum(own.values()) for own in counted])
    holders = Counter(gram for own in counted for gram in own)
    alone = np.array([sum(holders[gram] == 1 for gram in own) for own in counted])  # n-grams that no other answer has
    if not (total := int(of_each.sum())):
        return None
    value = len(holders) / total
    if (of_each == total).any():  # one answer has them all
        return Scores(value, total)
    return left_out_scores(value, (len(holders) - alone) / (total - of_each), total, 1.0, tools)


def repeated(answers: Sequence[str], tools: Tools) -> Scores:
    """Return the share of answers that another question gets too, up to case and white space."""
    import numpy as np

    keys = [" ".join(answer.lower().split()) for answer in answers]
    times = Counter(keys)
    twins = sum(times[key] > 1 for key in keys)
    if len(keys) < 2:
        return Scores(0.0, len(keys))
    lost = np.array([0 if times[key] == 1 else 2 if times[key] == 2 else 1 for key in keys])  # without this answer
    return left_out_scores(twins / len(keys), (twins - lost) / (len(keys) - 1), len(keys), 1.0, tools)


def type_token_ratio(answer: Sequence[str]) -> float:
    """Return different words / words of one answer; 0 without words."""
    return len(set(answer)) / len(answer) if answer else 0.0


def moving_ratio(answers: Sequence[Sequence[str]], window: int) -> Scores | None:
    """Return the mean type-token ratio over all windows of `window` words of the answers, joined in their order.

    MATTR (Covington and McFall 2010). Of a fixed window, so that long answers are not punished for their length. `n`
    counts the windows; None where there are fewer words than one window takes.
    """
    joined = [word for answer in answers for word in answer]
    if len(joined) < window:
        return None
    held = Counter(joined[:window])
    types = len(held)
    for leaving, coming in zip(joined, joined[window:], strict=False):
        held[leaving] -= 1
        if not held[leaving]:
            del held[leaving]
        held[coming] += 1
        types += len(held)
    windows = len(joined) - window + 1
    return Scores(types / windows / window, windows)
