"""The front against its definition, worked out by brute force over all subsets of pairs."""

from __future__ import annotations

import random

import pytest

from rlhf.report.pareto import front


def test_by_hand() -> None:
    """Cost and loss: (1, 3) and (2, 1) are on the front; (2, 3) is beaten by both, (3, 1) by the second."""
    assert front([(1, 3), (2, 1), (2, 3), (3, 1)]) == [True, True, False, False]


def test_equal_points_share_their_fate() -> None:
    assert front([(1, 1), (1, 1), (2, 2), (2, 2)]) == [True, True, False, False]


def test_one_point_and_none() -> None:
    assert front([(5, 5, 5)]) == [True]
    assert front([]) == []


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_some_weighing_of_ranks_cannot_improve(seed: int) -> None:
    """Brute force from the other side: take points away while another one is nowhere worse and somewhere better."""
    rng = random.Random(seed)
    points = [tuple(rng.randrange(5) for _ in range(3)) for _ in range(25)]
    left = set(points)
    for point in points:
        for other in points:
            nowhere_worse = sum(a > b for a, b in zip(other, point, strict=True)) == 0
            if nowhere_worse and other != point:
                left.discard(point)
    assert front(points) == [point in left for point in points]


@pytest.mark.parametrize("seed", range(10))
def test_every_point_off_the_front_is_beaten_by_one_on_it(seed: int) -> None:
    rng = random.Random(seed)
    points = [(rng.random(), rng.random(), rng.random()) for _ in range(40)]
    on = front(points)
    best = [point for point, is_on in zip(points, on, strict=True) if is_on]
    for point, is_on in zip(points, on, strict=True):
        assert is_on != any(all(a <= b for a, b in zip(other, point, strict=True)) for other in best if other != point)
