"""Wilson's interval against published figures and SciPy."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from vla_sim.intervals import share, wilson_interval

# Newcombe 1998, Statistics in Medicine 17, Table I, method 3 (score, without continuity correction).
NEWCOMBE = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0000, 0.1611),
    (1, 29, 0.0061, 0.1718),
]


@pytest.mark.parametrize(("successes", "n", "low", "high"), NEWCOMBE)
def test_the_interval_is_newcombes_to_four_decimals(successes: int, n: int, low: float, high: float) -> None:
    got = wilson_interval(successes, n)
    assert got == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (3, 7), (50, 100), (97, 100), (800, 800)])
def test_the_interval_is_scipys(successes: int, n: int) -> None:
    scipys = binomtest(successes, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((scipys.low, scipys.high), abs=1e-12)


def test_a_share_counts_its_outcomes() -> None:
    counted = share([True, False, True, True])
    assert (counted.n, counted.success) == (4, 0.75)
    assert (counted.low, counted.high) == wilson_interval(3, 4)


def test_a_share_prints_its_interval_and_n() -> None:
    assert str(share([True] * 97 + [False] * 3)) == "97.0% [91.5%, 99.0%], n = 100"


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"got {successes} of {n}"):
        wilson_interval(successes, n)
