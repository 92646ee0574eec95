"""Stopping at a stated precision: at fixed looks, and without spoiling the interval."""

from __future__ import annotations

import numpy as np
import pytest

from vla_sim.intervals import wilson_interval
from vla_sim.stopping import half_width, looks, stop_when_sure


def run(outcomes: list[bool], until: float, *, every: int = 10) -> tuple[int, int, float]:
    """Episodes, looks and half-width of one task with these outcomes."""
    found, stop = stop_when_sure(
        lambda first, end: outcomes[first:end], bool, episodes=len(outcomes), until=until, every=every
    )
    assert found == outcomes[: stop.episodes]
    return stop.episodes, stop.looks, stop.half_width


def test_looks_are_at_fixed_numbers_of_episodes() -> None:
    assert looks(25) == [(0, 10), (10, 20), (20, 25)]
    assert looks(3) == [(0, 3)]


def test_it_stops_at_the_first_look_that_is_narrow_enough() -> None:
    episodes, number, width = run([True] * 200, 0.05)
    assert (episodes, number) == (40, 4)
    assert width <= 0.05 < half_width([True] * 30)


def test_it_ends_with_the_episodes_and_says_how_wide_the_interval_was_left() -> None:
    episodes, number, width = run([True, False] * 15, 0.01)
    assert (episodes, number) == (30, 3)
    assert width > 0.01


def test_no_episodes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one episode, got 0"):
        run([], 0.1)


def test_the_half_width_is_wilsons() -> None:
    low, high = wilson_interval(3, 10)
    assert half_width([True] * 3 + [False] * 7) == pytest.approx((high - low) / 2)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.8, 0.95])
def test_the_interval_holds_the_truth_nearly_as_often_as_it_says(rate: float) -> None:
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        outcomes = [bool(found) for found in generator.random(800) < rate]
        found, _ = stop_when_sure(
            lambda first, end, outcomes=outcomes: outcomes[first:end], bool, episodes=800, until=0.04, every=80
        )
        low, high = wilson_interval(sum(found), len(found))
        hits += low <= rate <= high
    assert hits / 400 >= 0.92


def test_episodes_that_were_not_carried_out_tell_nothing() -> None:
    outcomes = [None] * 10 + [True] * 20
    _, stop = stop_when_sure(lambda first, end: outcomes[first:end], lambda r: r, episodes=30, until=0.1)
    assert (stop.episodes, stop.half_width) == (30, half_width([True] * 20))
    assert half_width([]) == 0.5
