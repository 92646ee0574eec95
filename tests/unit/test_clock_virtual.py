from __future__ import annotations

import math

import pytest

from vla.clock import RealClock, VirtualClock
from vla.interfaces import Clock


@pytest.mark.parametrize("clock", [RealClock(), VirtualClock()], ids=["real", "virtual"])
def test_both_clocks_are_clocks(clock: Clock) -> None:
    assert isinstance(clock, Clock)


@pytest.mark.parametrize("clock", [RealClock(), VirtualClock(5.0)], ids=["real", "virtual"])
def test_sleeping_until_a_time_reaches_it(clock: Clock) -> None:
    until = clock.now() + 1e-3
    clock.sleep_until(until)
    assert clock.now() >= until


@pytest.mark.parametrize("clock", [RealClock(), VirtualClock(5.0)], ids=["real", "virtual"])
def test_sleeping_until_the_past_does_not_turn_time_back(clock: Clock) -> None:
    before = clock.now()
    clock.sleep_until(before - 100.0)
    assert before <= clock.now() < before + 1.0


def test_virtual_time_stands_still_by_itself() -> None:
    clock = VirtualClock(2.0)
    assert [clock.now() for _ in range(3)] == [2.0, 2.0, 2.0]


def test_virtual_time_advances_by_what_it_is_told() -> None:
    clock = VirtualClock(2.0)
    clock.advance(0.5)
    assert clock.now() == 2.5


@pytest.mark.parametrize("duration", [-1e-9, math.nan, math.inf])
def test_virtual_time_never_runs_backwards_or_off(duration: float) -> None:
    with pytest.raises(ValueError, match="expected a finite duration_s >= 0"):
        VirtualClock().advance(duration)


@pytest.mark.parametrize("clock", [RealClock(), VirtualClock()], ids=["real", "virtual"])
def test_nobody_sleeps_until_nan(clock: Clock) -> None:
    with pytest.raises(ValueError, match="expected a finite time"):
        clock.sleep_until(math.nan)
