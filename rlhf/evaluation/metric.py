"""What a metric is: a name, and all that a reader must know of its number."""

from __future__ import annotations

import math
import re
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

    def within(self, low: float, high: float) -> tuple[float, float]:
        """The part of an interval that the number can be in, as far as its range says: Student's t knows no ends."""
        number = r"-?\d+(?:\.\d+)?"
        found = re.fullmatch(rf"({number}) (?:to ({number})|(?:or|and) more)", self.range)
        if found is None:
            return low, high
        return max(low, float(found[1])), min(high, math.inf if found[2] is None else float(found[2]))
