"""How near an arm comes to itself and to obstacles, and what the envelope makes of it."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla.clearance import SLOW_M, ArmClearance, Nearness
from vla.errors import ConfigError
from vla.kinematics import ARMS, ArmKinematics
from vla_robot_io.envelope import Envelope, Outcome, Setpoint
from vla_robot_io.limits import EnvelopeConfig, limits_of
from vla_robot_io.panda import panda_spec
from vla_robot_io.reasons import Code

REST = ArmKinematics("panda").rest_posture
FOLDED = np.array([0.0, 1.2, 0.0, -3.0, 0.0, 0.4, 0.0])
"""The Panda's hand against its own forearm."""
LIMITS = limits_of(panda_spec(100.0), EnvelopeConfig([-2.0] * 3, [2.0] * 3, floor_m=-2.0, speed_factor=1.0))


@functools.cache
def clearance(arm: str = "panda") -> ArmClearance:
    return ArmClearance(arm)


def ball(arm: np.ndarray) -> Nearness:
    """A wall across joint 1, at 0.2: as near as the joint is."""
    return Nearness(float(0.2 - arm[0]), ("hand", "wall"))


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_at_rest_is_near_nothing(arm: str) -> None:
    assert clearance(arm).at(ArmKinematics(arm).rest_posture).distance_m > SLOW_M


def test_a_folded_arm_names_what_comes_near() -> None:
    found = clearance().at(FOLDED)
    assert found.distance_m < SLOW_M
    assert {*found.between} & {"hand", "link5", "link6", "finger_left", "finger_right"}


def test_an_obstacle_is_as_far_as_it_stands() -> None:
    kinematics = ArmKinematics("panda")
    x, y, z = kinematics.forward(REST)[:3]
    below = [x, y, z - 0.2 - 0.03, 0.05, 0.05, 0.2]
    found = ArmClearance("panda", [below]).at(REST)
    assert found.distance_m == pytest.approx(0.03, abs=0.012)
    assert "obstacle 1" in found.between


@pytest.mark.parametrize(
    "box", [[0.0] * 5, [0.0] * 6, [math.nan, 0.0, 0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, -1.0, 1.0, 1.0]]
)
def test_a_box_that_is_none_is_refused(box: list[float]) -> None:
    with pytest.raises(ConfigError, match="an obstacle is"):
        ArmClearance("panda", [box])


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_distances_depend_on_the_posture_alone(seed: int) -> None:
    kinematics = ArmKinematics("panda")
    postures = np.random.default_rng(seed).uniform(kinematics.position_low, kinematics.position_high, (2, 7))
    first = clearance().at(postures[0])
    clearance().at(postures[1])
    assert clearance().at(postures[0]) == first


def test_the_arm_slows_down_as_it_comes_nearer_and_stops_before_it_touches() -> None:
    envelope = Envelope(LIMITS, lambda positions: np.zeros(3), ball)
    at = np.zeros(7)
    steps, codes = [], set()
    for _ in range(400):
        asked = Setpoint(at + 0.02 * np.eye(7)[0], 0.04)
        verdict = envelope.judge(asked, Setpoint(at, 0.04))
        codes |= {reason.code for reason in verdict.reasons}
        steps.append(float(verdict.setpoint.positions[0] - at[0]))
        at = verdict.setpoint.positions
    assert Code.CLEARANCE in codes
    assert 0.2 - at[0] >= LIMITS.stop_clearance_m
    assert (np.diff(steps[10:]) <= 1e-12).all()


@pytest.mark.parametrize(("way", "outcome"), [(0.02, Outcome.HOLD), (-0.02, Outcome.PASS)])
def test_from_too_near_only_the_way_out_is_open(way: float, outcome: Outcome) -> None:
    at = np.array([0.195, *np.zeros(6)])
    verdict = Envelope(LIMITS, lambda positions: np.zeros(3), ball).judge(
        Setpoint(at + way * np.eye(7)[0], 0.04), Setpoint(at, 0.04)
    )
    assert verdict.outcome is outcome


@pytest.mark.parametrize("wrong", [{"stop_clearance_m": 0.05}, {"slow_clearance_m": 0.2}, {"stop_clearance_m": -0.1}])
def test_distances_out_of_order_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="in this order"):
        limits_of(panda_spec(100.0), EnvelopeConfig([-1.0] * 3, [1.0] * 3, 0.0, **wrong))
