"""Many numbers seen one by one, kept as counts: quantiles by nearest rank, and the bars of a histogram."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

QUANTILES = {"median": 0.5, "p95": 0.95, "p99": 0.99}
STEPS = (1, 2, 5, 10)  # times a power of ten: widths of bars that a reader can count with


def summary(counts: Mapping[int, int], bars: int) -> dict[str, Any]:
    """Return rows, mean, quantiles, largest value and histogram of whole numbers given with how often each was seen."""
    ordered = sorted(counts)
    total = sum(counts.values())
    told: dict[str, Any] = {"rows": total, "mean": sum(value * counts[value] for value in ordered) / max(1, total)}
    told |= {name: quantile(counts, share) for name, share in QUANTILES.items()}
    return told | {"min": ordered[0] if ordered else 0, "max": ordered[-1] if ordered else 0} | histogram(counts, bars)


def quantile(counts: Mapping[int, int], share: float) -> int:
    """The smallest value that at least `share` of all numbers do not exceed; 0 where there is none."""
    wanted = share * sum(counts.values())
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted - 1e-9:
            return value
    return 0


def histogram(counts: Mapping[int, int], bars: int) -> dict[str, Any]:
    """Return at most `bars` bars from `start` on, each `width` wide (its lower end in it); the last holds all beyond.

    The few longest of long-tailed lengths would leave one bar of everything else, so bars end at the 99% quantile.
    """
    low = min(counts, default=0)
    high = quantile(counts, 0.99)
    start, width = low, 1
    if high - low + 1 > bars:
        width = _width((high - low + 1) / bars, bars, low, high)
        start = low // width * width
    number = min(bars, max(1, math.ceil((high - start + 1) / width)))
    heights: Counter[int] = Counter()
    for value, count in counts.items():
        heights[min(number - 1, (value - start) // width)] += count
    beyond = sum(count for value, count in counts.items() if value >= start + number * width)
    return {"start": start, "width": width, "bars": [heights[at] for at in range(number)], "beyond": beyond}


def _width(least: float, bars: int, low: int, high: int) -> int:
    """The smallest round width of which `bars` bars reach from below `low` to `high`."""
    power = 10 ** max(0, math.floor(math.log10(least)))
    rounds = (step * scale for scale in (power, power * 10) for step in STEPS[:-1])
    return next(size for size in (*rounds, power * 100) if high < low // size * size + bars * size)
