"""How much a set of answers varies: distinct n-grams, repeated answers, lexical diversity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rlhf.evaluation.contract import Scores, Tools
from rlhf.evaluation.text.resample import left_out_scores
from rlhf.evaluation.text.words import ngrams


def distinct_share(answers: Sequence[Sequence[str]], size: int) -> float | None:
    """Return distinct-n of answers given as words: different n-grams / all n-grams (Li et al. 2016, arXiv 1510.03055).

    None where there are none.
    """
    grams = [gram for answer in answers for gram in ngrams(answer, size).elements()]
    return len(set(grams)) / len(grams) if grams else None


def distinct(answers: Sequence[Sequence[str]], size: int, tools: Tools) -> Scores | None:
    """Return distinct-n with its interval; `n` counts the n-grams."""
    import numpy as np

    value = distinct_share(answers, size)
    if value is None:
        return None
    counted = [ngrams(answer, size) for answer in answers]
    of_each = np.array([own.total() for own in counted])
    holders = Counter(gram for own in counted for gram in own)
    alone = np.array([sum(holders[gram] == 1 for gram in own) for own in counted])  # n-grams that no other answer has
    total = int(of_each.sum())
    if (of_each == total).any():  # one answer has them all
        return Scores(value, total)
    return left_out_scores(value, (len(holders) - alone) / (total - of_each), total, 1.0, tools)


def repeated_share(answers: Sequence[str]) -> float:
    """Return the share of answers that another question gets too, up to case and white space."""
    keys = _keys(answers)
    times = Counter(keys)
    return sum(times[key] > 1 for key in keys) / len(keys)


def repeated(answers: Sequence[str], tools: Tools) -> Scores:
    """Return `repeated_share` with its interval."""
    import numpy as np

    keys, value = _keys(answers), repeated_share(answers)
    if len(keys) < 2:
        return Scores(value, len(keys))
    times = Counter(keys)
    lost = np.array([0 if times[key] == 1 else 2 if times[key] == 2 else 1 for key in keys])  # without this answer
    without = (value * len(keys) - lost) / (len(keys) - 1)
    return left_out_scores(value, without, len(keys), 1.0, tools)


def _keys(answers: Sequence[str]) -> list[str]:
    return [" ".join(answer.lower().split()) for answer in answers]


def type_token_ratio(answer: Sequence[str]) -> float:
    """Return different words / words of one answer; 0 without words."""
    return len(set(answer)) / len(answer) if answer else 0.0


def moving_ratio(answers: Sequence[Sequence[str]], window: int) -> float | None:
    """Return the mean type-token ratio over all windows of `window` words of the answers, joined in their order.

    MATTR (Covington and McFall 2010). Of a fixed window, so that long answers are not punished for their length.
    None where there are fewer words than one window takes.
    """
    types = _types_in_windows([word for answer in answers for word in answer], window)
    return sum(types) / len(types) / window if types else None


def moving_ratio_scores(answers: Sequence[Sequence[str]], window: int, tools: Tools) -> Scores | None:
    """Return `moving_ratio` with its interval; `n` counts the words.

    Without an answer, the windows that reach into it are gone, and those over the seam are new.
    """
    import numpy as np

    value = moving_ratio(answers, window)
    if value is None:
        return None
    joined = [word for answer in answers for word in answer]
    before = np.concatenate([[0], np.cumsum(_types_in_windows(joined, window))])  # types in windows before each place
    ends = np.cumsum([len(answer) for answer in answers])
    without = []
    for start, end in zip(ends - [len(answer) for answer in answers], ends, strict=True):
        if (left := len(joined) - (end - start) - window + 1) < 1:
            return Scores(value, len(joined))
        first = max(0, start - window + 1)
        seam = _types_in_windows([*joined[first:start], *joined[end : end + window - 1]], window)
        gone = before[min(end, len(before) - 1)] - before[min(first, len(before) - 1)]
        without.append((before[-1] - gone + sum(seam)) / left / window)
    return left_out_scores(value, np.array(without), len(joined), 1.0, tools)


def _types_in_windows(words: Sequence[str], window: int) -> list[int]:
    """Return how many different words each window of `window` words has."""
    if len(words) < window:
        return []
    held = Counter(words[:window])
    types = [len(held)]
    for leaving, coming in zip(words, words[window:], strict=False):
        held[leaving] -= 1
        if not held[leaving]:
            del held[leaving]
        held[coming] += 1
        types.append(len(held))
    return types
