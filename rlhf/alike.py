"""When scores count as all the same: what is left of their spread is rounding."""

from __future__ import annotations

ROUNDING = 1e-6  # standard deviation, as a share of the scores' size


def all_alike(mean: float, spread: float) -> bool:
    """Whether scores of this mean and standard deviation `spread` do not differ but by rounding."""
    return spread <= ROUNDING * max(1.0, abs(mean))
