"""Whatever is asked of it, a governed motion obeys every limit and can always stop."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla.errors import ArmError, ConfigError
from vla_robot_io.governor import Governor, MotionLimits

pytest.importorskip("ruckig")

PERIOD_S = 0.01
LIMITS = MotionLimits(
    low=np.array([-0.3, -1.0]),
    high=np.array([0.3, 1.0]),
    speed=np.array([2.0, 0.5]),
    acceleration=np.array([7.5, 3.0]),
    jerk=np.array([75.0, 3000.0]),
)
PLACE = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2)
ORDER = st.one_of(
    st.none(), st.tuples(PLACE, st.one_of(st.none(), PLACE), st.sampled_from([0.05, 0.5, 1.0]), st.integers(1, 20))
)


def carried_out(governor: Governor, orders: list[tuple | None]) -> np.ndarray:
    """The positions of all commands: (commands, joints). None is to brake for a while."""
    path = [governor.motion.positions]
    for order in orders:
        place, velocities, scale, repeats = order or ([0.0, 0.0], None, 1.0, 7)
        for _ in range(repeats):
            if order is None:
                governor.brake()
            else:
                speeds = None if velocities is None else np.array(velocities)
                governor.follow(np.array(place), speeds, scale)
            path.append(governor.motion.positions)
    return np.array(path)


def differences(path: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Speeds, accelerations and jerks of commands that begin and end at rest: each the greatest of its joint."""
    path = np.concatenate([path[:1].repeat(3, 0), path])
    found = [np.abs(np.diff(path, order, axis=0)).max(0) / PERIOD_S**order for order in (1, 2, 3)]
    return found[0], found[1], found[2]


@settings(max_examples=150)
@given(st.lists(PLACE.map(lambda place: [place[0] % 0.3, place[1] % 1.0]), min_size=1, max_size=1), st.lists(ORDER))
def test_no_order_leads_past_a_limit(start: list[list[float]], orders: list[tuple | None]) -> None:
    governor = Governor(LIMITS, PERIOD_S)
    governor.start(np.array(start[0]))
    path = carried_out(governor, orders)
    speed, acceleration, jerk = differences(path)
    assert np.isfinite(path).all()
    assert (path >= LIMITS.low - 1e-9).all()
    assert (path <= LIMITS.high + 1e-9).all()
    assert (speed <= LIMITS.speed * (1 + 1e-9)).all()
    assert (acceleration <= LIMITS.acceleration * (1 + 1e-6)).all()
    assert (jerk <= LIMITS.jerk * (1 + 1e-3)).all()


def test_a_joint_whose_range_is_far_from_zero_moves_freely_in_it() -> None:
    governor = Governor(dataclasses.replace(LIMITS, low=np.array([0.5, -3.0]), high=np.array([1.5, -2.0])), PERIOD_S)
    governor.start(np.array([1.0, -2.5]))
    steps = [governor.follow(np.array([1.4, -2.4])) for _ in range(200)]
    assert {step.objection for step in steps} == {None}
    assert steps[-1].motion.positions == pytest.approx([1.4, -2.4])


@settings(max_examples=100)
@given(st.lists(ORDER, min_size=1, max_size=5), st.integers(0, 30))
def test_no_way_to_rest_leads_past_a_limit(orders: list[tuple | None], ticks: int) -> None:
    shift = np.array([4.0, -4.0])
    limits = dataclasses.replace(LIMITS, low=LIMITS.low + shift, high=LIMITS.high + shift)
    governor = Governor(limits, PERIOD_S)
    governor.start(shift)
    for order in orders:
        place, velocities, scale, _ = order or ([0.0, 0.0], None, 1.0, 1)
        speeds = None if velocities is None else np.array(velocities)
        for _ in range(ticks):
            governor.follow(shift + np.clip(place, -1.0, 1.0), speeds, scale)
        path = [governor.brake().positions for _ in range(100)]
        assert (path >= limits.low - 1e-9).all()
        assert (path <= limits.high + 1e-9).all()


@settings(max_examples=60)
@given(st.lists(ORDER, max_size=5))
def test_braking_comes_to_rest_and_stays_there(orders: list[tuple | None]) -> None:
    governor = Governor(LIMITS, PERIOD_S)
    governor.start(np.zeros(2))
    carried_out(governor, orders)
    for _ in range(100):
        governor.brake()
    rest = governor.motion.positions
    assert governor.is_at_rest
    assert np.array_equal(governor.brake().positions, rest)


def test_a_place_that_moves_on_is_kept_up_with() -> None:
    governor = Governor(LIMITS, PERIOD_S)
    governor.start(np.zeros(2))
    speed = np.array([0.2, 0.2])
    for tick in range(1, 80):
        governor.follow(speed * tick * PERIOD_S, speed)
    assert governor.motion.positions == pytest.approx(speed * 79 * PERIOD_S, abs=4e-3)


@pytest.mark.parametrize(("low", "high"), [(-3.0, -0.1), (0.1, 3.0), (-3.0, 3.0)])
def test_a_joint_moves_and_stops_wherever_its_range_lies(low: float, high: float) -> None:
    limits = MotionLimits(*(np.full(2, value) for value in (low, high, 2.0, 7.5, 75.0)))
    governor = Governor(limits, PERIOD_S)
    governor.start(np.full(2, (low + high) / 2))
    path = [governor.motion.positions]
    for place in [high + 1.0] * 250 + [low - 1.0] * 400:
        path.append(governor.follow(np.full(2, place)).motion.positions)
    assert np.max(path) == pytest.approx(high, abs=1e-4)
    assert np.min(path) == pytest.approx(low, abs=1e-4)
    speed, acceleration, jerk = differences(np.array(path))
    assert max(speed.max() / 2.0, acceleration.max() / 7.5, jerk.max() / 75.0) <= 1 + 1e-3


def test_a_motion_that_is_objected_to_becomes_a_braking_one() -> None:
    wall = 0.1

    def watch(here: np.ndarray, end: np.ndarray) -> str | None:
        return "the wall" if max(here[0], end[0]) > wall else None

    governor = Governor(LIMITS, PERIOD_S, watch)
    governor.start(np.zeros(2))
    steps = [governor.follow(np.array([0.3, 0.0])) for _ in range(200)]
    path = np.array([step.motion.positions[0] for step in steps])
    assert path.max() <= wall
    assert path[-1] > 0.8 * wall
    assert "the wall" in {step.objection for step in steps}
    assert all(differences(path[:, None])[1] <= LIMITS.acceleration[0] * (1 + 1e-6))


def test_from_beyond_a_limit_the_way_leads_nowhere_but_inward() -> None:
    governor = Governor(LIMITS, PERIOD_S)
    governor.start(np.array([0.4, 0.0]))
    stays = governor.follow(np.array([5.0, 0.0])).motion.positions[0]
    path = np.array([governor.follow(np.array([0.1, 0.0])).motion.positions[0] for _ in range(200)])
    assert stays == pytest.approx(0.4)
    assert (np.diff(path) <= 1e-12).all()
    assert path[-1] == pytest.approx(0.1)


@pytest.mark.parametrize("field", ["speed", "acceleration", "jerk", "low"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_limits_that_limit_nothing_are_refused(field: str, value: float) -> None:
    values = {name: getattr(LIMITS, name).copy() for name in ("low", "high", "speed", "acceleration", "jerk")}
    values[field][1] = value if field != "low" or not np.isfinite(value) else 2.0
    with pytest.raises(ConfigError, match="motion limits"):
        Governor(MotionLimits(**values), PERIOD_S)


def test_nothing_is_commanded_before_it_is_known_where_the_arm_stands() -> None:
    with pytest.raises(ArmError, match="call start"):
        Governor(LIMITS, PERIOD_S).brake()
