from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vla.clock import VirtualClock
from vla.embodiment import Embodiment, Field
from vla.errors import ConfigError
from vla.kinematics import REST_POSTURE, ArmKinematics
from vla_robot_io.envelope import Setpoint
from vla_robot_io.fake_arm import FakeArm
from vla_robot_io.limits import EnvelopeConfig, limits_of
from vla_robot_io.motion import HandMotion
from vla_robot_io.panda import panda_spec
from vla_robot_io.reasons import Code
from vla_sim.embodiments import TABLETOP_PANDA

KINEMATICS = ArmKinematics("panda")
SPEC = panda_spec(rate_hz=100.0)
REST = Setpoint(np.array(REST_POSTURE), 0.04)


def motion(high: float = 2.0, embodiment: Embodiment = TABLETOP_PANDA) -> HandMotion:
    box = EnvelopeConfig([-high, -high, 0.0], [high, high, high], floor_m=0.01)
    return HandMotion(embodiment, SPEC, KINEMATICS, limits_of(SPEC, box))


def test_the_action_between_two_commands_is_the_one_that_was_asked_for() -> None:
    asked = np.array([0.02, -0.01, 0.015, 0.1, 0.25], np.float32)
    target, reasons = motion().target(asked, REST)
    assert motion().action_between(REST, target) == pytest.approx(asked, abs=3e-4)
    assert reasons == ()


def test_no_motion_is_no_motion() -> None:
    target, _ = motion().target(np.array([0, 0, 0, 0, 0.5], np.float32), REST)
    assert target.positions == pytest.approx(REST.positions, abs=1e-3)
    assert target.gripper_m == pytest.approx(0.04)


def test_an_opening_of_one_is_open_and_of_zero_is_closed() -> None:
    openings = [motion().target(np.array([0, 0, 0, 0, ratio], np.float32), REST)[0].gripper_m for ratio in (0, 1)]
    assert openings == [0.0, 0.08]


def test_a_turn_across_half_a_circle_is_a_small_turn() -> None:
    before = REST.positions.copy()
    before[6] = REST.positions[6] + 2.05
    after = before.copy()
    after[6] += 0.03
    turn = motion().action_between(Setpoint(before, 0.04), Setpoint(after, 0.04))[3]
    assert abs(turn) == pytest.approx(0.03, abs=1e-4)


def test_a_pose_beyond_the_arms_reach_is_told_apart() -> None:
    stretched = Setpoint(KINEMATICS.inverse(np.array([0.75, 0.0, 0.3, 0.0]), REST.positions, 50), 0.04)
    codes: set[Code] = set()
    for _ in range(6):
        stretched, reasons = motion().target(np.array([0.04, 0, 0, 0, 0.5], np.float32), stretched)
        codes |= {reason.code for reason in reasons}
    assert codes == {Code.UNREACHABLE}


def test_proprioception_is_in_the_order_of_the_embodiment() -> None:
    arm = FakeArm(VirtualClock(), start=REST.positions)
    arm.connect()
    told = motion().proprioception(arm.read())
    assert told[:7] == pytest.approx(REST.positions)
    assert told[7] == pytest.approx(0.08)
    assert told[8:] == pytest.approx(KINEMATICS.forward(REST.positions), abs=1e-6)


def test_a_reading_that_the_arm_does_not_give_is_refused() -> None:
    odd = dataclasses.replace(
        TABLETOP_PANDA, proprioception=(*TABLETOP_PANDA.proprioception, Field("wrist_force", "N", -50.0, 50.0))
    )
    with pytest.raises(ConfigError, match="proprioception 'wrist_force' of tabletop_panda is nothing that panda reads"):
        motion(embodiment=odd)
