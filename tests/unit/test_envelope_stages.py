from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vla.errors import ActionError, ArmError, ConfigError
from vla_robot_io.envelope import Envelope, Outcome, Setpoint
from vla_robot_io.limits import EnvelopeConfig, limits_of
from vla_robot_io.panda import panda_spec
from vla_robot_io.reasons import Code

SPEC = panda_spec(rate_hz=100.0)
CONFIG = EnvelopeConfig([-1.0, -1.0, -1.0], [1.0, 1.0, 1.0], floor_m=-0.5, speed_factor=1.0)
STEP = 2.175 / 100  # rad a command, joints 1 to 4
READY = np.array([0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785])


def envelope(**changes: object) -> Envelope:
    """Joints 1 to 3 are x, y, z of the end-effector, so that the box can be read off."""
    return Envelope(limits_of(SPEC, dataclasses.replace(CONFIG, **changes)), lambda q: q[:3].copy())  # type: ignore[arg-type]


def moved(joint: int, by: float, start: np.ndarray = READY) -> Setpoint:
    positions = start.copy()
    positions[joint - 1] += by
    return Setpoint(positions, 0.04)


LAST = Setpoint(READY, 0.04)
IN_BOX = Setpoint(np.array([0.0, 0.0, 0.0, -2.356, 0.0, 1.571, 0.785]), 0.04)


def test_a_command_within_every_limit_passes_unchanged() -> None:
    verdict = envelope(floor_m=-0.9).judge(moved(1, 0.9 * STEP), LAST)
    assert verdict.outcome is Outcome.PASS
    assert np.array_equal(verdict.setpoint.positions, moved(1, 0.9 * STEP).positions)


def test_a_command_that_is_not_finite_holds_and_repeats_the_last() -> None:
    verdict = envelope().judge(moved(3, np.nan), LAST)
    assert verdict.outcome is Outcome.HOLD
    assert verdict.setpoint is LAST
    assert [reason.code for reason in verdict.reasons] == [Code.NON_FINITE]
    assert "joint_3 asked for nan, which is not finite" in verdict.reasons[0].text


def test_the_gripper_must_be_finite_too() -> None:
    verdict = envelope().judge(Setpoint(READY, np.inf), LAST)
    assert verdict.outcome is Outcome.HOLD
    assert verdict.reasons[0].field == "gripper"


def test_the_third_non_finite_command_within_a_second_is_a_fault() -> None:
    guard, refused, outcomes = envelope(), (), []
    for time_s in (0.0, 0.4, 0.8):
        verdict = guard.judge(moved(1, np.nan), LAST, now_s=time_s, refused_at_s=refused)
        refused = verdict.refused_at_s
        outcomes.append(verdict.outcome)
    assert outcomes == [Outcome.HOLD, Outcome.HOLD, Outcome.FAULT]


def test_three_non_finite_commands_within_more_than_a_second_only_hold() -> None:
    guard, refused, outcomes = envelope(), (), []
    for time_s in (0.0, 0.9, 1.1):
        verdict = guard.judge(moved(1, np.nan), LAST, now_s=time_s, refused_at_s=refused)
        refused = verdict.refused_at_s
        outcomes.append(verdict.outcome)
    assert outcomes == [Outcome.HOLD] * 3


def test_a_joint_stops_at_its_soft_limit() -> None:
    start = READY.copy()
    start[3] = -0.0698 - 0.05 - 0.005
    verdict = envelope().judge(moved(4, 0.02, start), Setpoint(start, 0.04))
    assert verdict.setpoint.positions[3] == pytest.approx(-0.1198)
    assert verdict.reasons[0].code is Code.JOINT_LIMIT
    assert "joint_4 asked for -0.1048 rad, above its soft limit -0.1198 rad" in verdict.reasons[0].text


def test_a_joint_beyond_its_soft_limit_may_stay_or_come_back_but_not_go_on() -> None:
    start = READY.copy()
    start[3] = -0.0698 - 0.02
    last = Setpoint(start, 0.04)
    asked = {by: envelope().judge(moved(4, by, start), last).setpoint.positions[3] for by in (0.0, -0.01, 0.01)}
    assert asked == {0.0: start[3], -0.01: start[3] - 0.01, 0.01: start[3]}


def test_the_gripper_stops_at_its_range() -> None:
    verdict = envelope(floor_m=-0.9).judge(Setpoint(READY, 0.2), LAST)
    assert verdict.setpoint.gripper_m == 0.08
    assert verdict.reasons[0].code is Code.JOINT_LIMIT


def test_a_fast_command_is_slowed_along_its_line() -> None:
    asked = Setpoint(READY + STEP * np.array([3.0, 0.0, 1.5, 0, 0, 0, 0]), 0.04)
    verdict = envelope(floor_m=-0.9).judge(asked, LAST)
    assert verdict.outcome is Outcome.CLAMP
    assert verdict.setpoint.positions - READY == pytest.approx(STEP * np.array([1.0, 0.0, 0.5, 0, 0, 0, 0]))
    assert "joint_1 asked to move 0.0653 rad in one command, over its step limit 0.0217 rad" in verdict.reasons[0].text


def test_a_jump_beyond_four_steps_is_a_fault_and_moves_nothing() -> None:
    verdict = envelope().judge(moved(1, 4.01 * STEP), LAST)
    assert verdict.outcome is Outcome.FAULT
    assert verdict.setpoint is LAST
    assert "joint_1 asked to jump" in verdict.reasons[-1].text


def test_a_jump_is_a_fault_even_where_a_joint_limit_would_hide_it() -> None:
    start = READY.copy()
    start[0] = 2.8973 - 0.05
    verdict = envelope().judge(moved(1, 5 * STEP, start), Setpoint(start, 0.04))
    assert verdict.outcome is Outcome.FAULT


def test_steps_are_measured_from_the_command_not_from_where_the_arm_lags() -> None:
    # The measured position is not an argument at all: this is the whole point.
    assert "measured" not in Envelope.judge.__annotations__
    assert set(Envelope.judge.__annotations__) == {"asked", "last", "now_s", "refused_at_s", "return"}


def test_the_end_effector_stops_at_a_wall() -> None:
    guard = envelope(box_high_m=[0.01, 1.0, 1.0])
    verdict = guard.judge(moved(1, 0.02, IN_BOX.positions), IN_BOX)
    assert 0.0099 < verdict.setpoint.positions[0] <= 0.01
    assert verdict.reasons[0].code is Code.WORKSPACE
    assert "end_effector_x asked for 0.0200 m, beyond the wall above it at 0.0100 m" in verdict.reasons[0].text


def test_the_end_effector_stops_at_the_floor_even_where_the_box_is_deeper() -> None:
    guard = envelope(floor_m=-0.01)
    verdict = guard.judge(moved(3, -0.02, IN_BOX.positions), IN_BOX)
    assert -0.01 <= verdict.setpoint.positions[2] < -0.0099
    assert verdict.reasons[0].limit == -0.01


def test_an_end_effector_outside_the_box_may_come_back() -> None:
    guard = envelope(box_high_m=[-0.05, 1.0, 1.0])
    back = guard.judge(moved(1, -0.01, IN_BOX.positions), IN_BOX)
    out = guard.judge(moved(1, 0.01, IN_BOX.positions), IN_BOX)
    assert back.outcome is Outcome.PASS
    assert np.array_equal(out.setpoint.positions, IN_BOX.positions)


def test_a_kinematic_model_that_answers_nan_moves_nothing() -> None:
    def half_broken(q: np.ndarray) -> np.ndarray:
        return q[:3].copy() if np.array_equal(q, IN_BOX.positions) else np.full(3, np.nan)

    guard = Envelope(limits_of(SPEC, CONFIG), half_broken)
    verdict = guard.judge(moved(1, 0.01, IN_BOX.positions), IN_BOX)
    assert np.array_equal(verdict.setpoint.positions, IN_BOX.positions)


def test_a_command_for_another_number_of_joints_is_an_error() -> None:
    with pytest.raises(ActionError, match=r"a command for 7 joints has shape \(7,\), got \(6,\)"):
        envelope().judge(Setpoint(np.zeros(6), 0.04), LAST)


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.complex128, object, str, bool])
def test_a_command_of_other_numbers_than_float64_is_an_error(kind: type) -> None:
    with pytest.raises(ActionError, match="a command is of float64 positions"):
        envelope().judge(unchecked(READY.astype(kind), 0.04), LAST)


@pytest.mark.parametrize("opening", [None, "0.04", 1j, 10**400, [0.04]], ids=str)
def test_an_opening_that_is_no_float_is_an_error(opening: object) -> None:
    with pytest.raises(ActionError, match="a float for the gripper"):
        envelope().judge(unchecked(READY, opening), LAST)


def unchecked(positions: np.ndarray, gripper_m: object) -> Setpoint:
    """As where no type checker looks on."""
    made = object.__new__(Setpoint)
    object.__setattr__(made, "positions", positions)
    object.__setattr__(made, "gripper_m", gripper_m)
    return made


def test_without_a_finite_last_command_there_is_nothing_to_measure_from() -> None:
    with pytest.raises(ArmError, match="the last command is not finite"):
        envelope().judge(LAST, Setpoint(READY * np.nan, 0.04))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"soft_margin_rad": np.nan}, "envelope.soft_margin_rad must be finite, got nan"),
        ({"soft_margin_rad": -0.01}, "envelope.soft_margin_rad must be at least 0, got -0.01"),
        ({"soft_margin_rad": 2.0}, "the envelope of joint_2 must be a range with low < high"),
        ({"speed_factor": 0.0}, "envelope.speed_factor must be above 0, at most 1, got 0.0"),
        ({"speed_factor": 1.5}, "envelope.speed_factor must be above 0, at most 1, got 1.5"),
        ({"speed_factor": 5e-324}, "the step limit of joint_1 must be at least 1e-09 rad"),
        ({"fault_factor": 0.5}, "envelope.fault_factor must be above 1, got 0.5"),
        ({"floor_m": np.inf}, "envelope.floor_m must be finite, got inf"),
        ({"floor_m": 3.0}, "the envelope of end_effector_z must be a range with low < high, got 3.0000 to 1.0000"),
        ({"box_low_m": [0.0, np.nan, 0.0]}, r"envelope.box_low_m must be finite, got \[0.0, nan, 0.0\]"),
        ({"box_high_m": [1.0, 1.0]}, "envelope.box_high_m is x, y, z in m, got 2 numbers"),
        ({"refusals_to_fault": 0}, "envelope.refusals_to_fault must be at least 1, got 0"),
        ({"refusal_window_s": 0.0}, "envelope.refusal_window_s must be above 0, got 0.0"),
    ],
)
def test_a_number_that_would_open_the_envelope_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        envelope(**changes)


def test_an_arm_that_reports_a_limit_of_nan_is_refused() -> None:
    spec = dataclasses.replace(SPEC, max_speed=np.array([np.nan] * 7))
    with pytest.raises(ConfigError, match="panda's max_speed must be finite"):
        limits_of(spec, CONFIG)


def test_an_arm_with_a_negative_speed_is_refused() -> None:
    spec = dataclasses.replace(SPEC, max_speed=-SPEC.max_speed)
    with pytest.raises(ConfigError, match="the step limit of joint_1 must be at least"):
        limits_of(spec, CONFIG)


def test_making_limits_leaves_the_configuration_alone() -> None:
    config = dataclasses.replace(CONFIG, floor_m=0.3)
    limits_of(SPEC, config)
    assert config.box_low_m == [-1.0, -1.0, -1.0]
