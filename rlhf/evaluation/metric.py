"""What a metric is: a name, and all that a reader must know of its number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One tracked number. `better` is None where neither way is.

    `fooled` tells how the number can be high (or low) without the answers being good. `reads` is `pair` where it is
    about an answer and its question or reference, `answer` where it is about the answers themselves (at most without
    what the user wrote): then it can't see that good answers were given to the wrong questions. Metrics of suites must
    say which; those that measure no speaker beside others leave it empty.
    """

    name: str
    meaning: str
    unit: str
    estimator: str  # its formula
    better: Literal["higher", "lower"] | None
    range: str = ""  # "0 to 1"
    source: str = ""  # the paper or library that defines it
    fooled: str = ""
    reads: Literal["pair", "answer", ""] = ""
