"""What holds for Wilson's interval at every count."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_sim.intervals import Z_95, wilson_interval


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 5000))
    return draw(st.integers(0, n)), n


@given(counts())
def test_the_interval_holds_the_share_and_stays_in_range(count: tuple[int, int]) -> None:
    successes, n = count
    low, high = wilson_interval(successes, n)
    assert 0.0 <= low <= successes / n <= high <= 1.0
    assert low < high


@given(counts())
def test_successes_and_failures_mirror_each_other(count: tuple[int, int]) -> None:
    successes, n = count
    low, high = wilson_interval(successes, n)
    assert wilson_interval(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(counts())
def test_the_ends_are_where_the_score_test_turns(count: tuple[int, int]) -> None:
    successes, n = count
    for end in wilson_interval(successes, n):
        if 0.0 < end < 1.0:
            score = abs(successes / n - end) / math.sqrt(end * (1 - end) / n)
            assert score == pytest.approx(Z_95, rel=1e-6)


@given(counts())
def test_more_trials_of_the_same_share_narrow_the_interval(count: tuple[int, int]) -> None:
    successes, n = count
    low, high = wilson_interval(successes, n)
    lower, higher = wilson_interval(3 * successes, 3 * n)
    assert higher - lower < high - low
