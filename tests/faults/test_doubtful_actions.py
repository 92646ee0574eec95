"""Rows F54, F55, F59 and F61 of the fault catalogue: what is asked for within every limit, and is no plan."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla.clock import VirtualClock
from vla.errors import ConfigError
from vla.interfaces import ArmMode, EpisodeSpec
from vla.kinematics import ArmKinematics
from vla.testing import LoggedArm, check_applied, time_to_hold
from vla_robot_io.control_loop import ArmEnvironment, ControlConfig, StepReport
from vla_robot_io.doubts import DoubtConfig
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.reasons import Code
from vla_sim.embodiments import TABLETOP_PANDA

SPEC = EpisodeSpec(task="", seed=0, instruction="push the red block")
BOX = EnvelopeConfig([0.2, -0.4, 0.1], [0.9, 0.4, 0.6], floor_m=0.1, speed_factor=1.0)
START_S, STEP_S = 100.0, TABLETOP_PANDA.control_dt_s
LOW, HIGH = (limit.astype(np.float32) for limit in (TABLETOP_PANDA.action_low, TABLETOP_PANDA.action_high))
BRAKING_S = 0.1
"""From the step that holds until the arm, which brakes within its limits, stands."""


def action(dx: float = 0.0, dy: float = 0.0, dz: float = 0.0, dyaw: float = 0.0, gripper: float = 1.0) -> np.ndarray:
    return np.array([dx, dy, dz, dyaw, gripper], np.float32)


class Lab:
    """An arm in its loop, its applied commands looked at."""

    def __init__(self, doubt: DoubtConfig | None = None, *, arm_model: str | None = None) -> None:
        self.clock = VirtualClock(START_S)
        robot = dataclasses.replace(loopback_robot(self.clock, TABLETOP_PANDA, rate_hz=50.0), arm_model=arm_model)
        self.arm = LoggedArm(robot.arm, self.clock)
        self.kinematics = robot.kinematics
        self.reports: list[StepReport] = []
        control = ControlConfig(doubt=doubt or DoubtConfig())
        self.environment = ArmEnvironment(dataclasses.replace(robot, arm=self.arm), self.clock, BOX, control)
        self.environment.on_step = self.reports.append
        self.environment.reset(SPEC)

    def step(self, asked: np.ndarray) -> StepReport:
        self.environment.step(asked)
        return self.reports[-1]

    def codes(self) -> list[set[Code]]:
        """Of each step."""
        return [{reason.code for reason in report.reasons} for report in self.reports]

    def texts(self) -> str:
        return "; ".join(reason.text for report in self.reports for reason in report.reasons)

    def hand(self) -> np.ndarray:
        return self.kinematics.forward(self.arm.written[-1].applied.positions)  # type: ignore[union-attr]


# --------------------------------------------------------------------------- from limit to limit


def test_f54_actions_that_swing_between_their_limits_slow_the_arm_down_and_hold_it() -> None:
    lab = Lab()
    for index in range(12):
        lab.step(HIGH if index % 2 else LOW)
    swings = [Code.SWINGING in codes for codes in lab.codes()]
    assert swings == [False] * 4 + [True] * 8
    asked_for = np.abs(lab.reports[3].applied[:3])
    assert (np.abs(lab.reports[4].applied[:3]) < 0.75 * asked_for).all(), "half as fast"
    assert "action dx swung between its limits 6 times in 8 steps, at least 6: held" in lab.texts()
    assert lab.arm.mode is ArmMode.HOLD
    assert time_to_hold(lab.arm, START_S) <= 6 * STEP_S + BRAKING_S
    check_applied(lab.arm)


def test_f54_a_policy_that_has_calmed_down_moves_again() -> None:
    lab = Lab()
    for index in range(10):
        lab.step(HIGH if index % 2 else LOW)
    for _ in range(8):
        lab.step(action(dx=0.002))
    assert lab.arm.mode is ArmMode.RUNNING
    assert Code.SWINGING not in lab.codes()[-1]
    check_applied(lab.arm)


@pytest.mark.parametrize("half_period", [3, 4, 10])
def test_f54_to_go_to_and_fro_is_no_swing(half_period: int) -> None:
    lab = Lab()
    for index in range(22):
        lab.step(action(dy=0.02 if index // half_period % 2 else -0.02))
    assert Code.SWINGING not in set().union(*lab.codes())


def test_f54_a_gripper_that_opens_and_shuts_and_a_hand_that_trembles_are_no_swings() -> None:
    lab = Lab()
    for index in range(20):
        lab.step(action(dx=0.004 * (-1) ** index, gripper=float(index % 2)))
    assert Code.SWINGING not in set().union(*lab.codes())


# --------------------------------------------------------------------------- beyond the limits


def test_f55_a_run_in_which_most_actions_are_clamped_holds_with_the_reason() -> None:
    lab = Lab()
    for _ in range(15):
        lab.step(action(dy=0.01, gripper=5.0))
    told = [Code.OUT_OF_RANGE in codes for codes in lab.codes()]
    assert told == [False] * 10 + [True] * 5
    assert "11 of the last 20 actions lay beyond the embodiment's limits, gripper most often: held" in lab.texts()
    assert lab.arm.mode is ArmMode.HOLD
    assert time_to_hold(lab.arm, START_S) <= 11 * STEP_S + BRAKING_S
    check_applied(lab.arm)


def test_f55_every_other_action_beyond_the_limits_is_clamped_and_no_more() -> None:
    lab = Lab()
    for index in range(40):
        lab.step(action(dx=1.7 * (-1) ** (index // 4) if index % 2 else 0.0))
    assert Code.ACTION_LIMIT in set().union(*lab.codes())
    assert Code.OUT_OF_RANGE not in set().union(*lab.codes())


def test_f55_actions_that_are_a_little_beyond_are_clamped_and_no_more() -> None:
    lab = Lab()
    for index in range(30):
        lab.step(action(dy=1.1 * HIGH[1] * (1 if index // 5 % 2 else -1)))
    assert Code.OUT_OF_RANGE not in set().union(*lab.codes())


# --------------------------------------------------------------------------- into the table


def test_f59_a_chunk_into_the_table_stops_above_it_and_holds_after_half_a_second() -> None:
    lab = Lab()
    while Code.WORKSPACE not in set().union(*lab.codes()):
        lab.step(action(dz=-0.02))
    touched_s = lab.reports[-1].began_s
    for _ in range(8):
        lab.step(action(dz=-0.02))
    assert lab.arm.mode is ArmMode.HOLD
    assert "end_effector_z was sent against the box at " in lab.texts()
    assert 0.5 <= time_to_hold(lab.arm, touched_s) <= 0.5 + 2 * STEP_S + BRAKING_S
    heights = [lab.kinematics.forward(entry.applied.positions)[2] for entry in lab.arm.written if entry.applied]
    assert min(heights) >= BOX.floor_m - 1e-9
    check_applied(lab.arm)
    lab.step(action(dz=0.02))
    assert lab.arm.mode is ArmMode.RUNNING, "away from the table it goes on"


def test_f59_to_slide_along_the_table_is_no_chunk_into_it() -> None:
    lab = Lab()
    for _ in range(12):
        lab.step(action(dz=-0.02))
        if Code.WORKSPACE in lab.codes()[-1]:
            break
    before = lab.hand()[0]
    for _ in range(10):
        lab.step(action(dx=0.02, dz=-0.02))
    assert lab.arm.mode is ArmMode.RUNNING
    assert lab.hand()[0] > before + 0.15


def test_f59_to_lean_on_the_table_lightly_is_no_chunk_into_it() -> None:
    lab = Lab()
    for _ in range(8):
        lab.step(action(dz=-0.02))
        if Code.WORKSPACE in lab.codes()[-1]:
            break
    for _ in range(20):
        lab.step(action(dz=-0.005))
    assert lab.arm.mode is ArmMode.RUNNING


# --------------------------------------------------------------------------- singular postures


def stretch_out(lab: Lab, steps: int = 25) -> None:
    for _ in range(steps):
        lab.step(action(dx=0.02))


def test_f61_an_arm_that_is_stretched_out_is_slowed_down_and_held_before_its_joints_hurry() -> None:
    lab = Lab(arm_model="panda")
    conditioning = ArmKinematics("panda").conditioning
    stretch_out(lab)
    assert lab.arm.mode is ArmMode.HOLD
    assert "to a singular posture" in lab.texts()
    assert "slowed down" in lab.texts()
    times = [conditioning(entry.applied.positions) for entry in lab.arm.written if entry.applied]
    assert max(times) < DoubtConfig.singular_hold
    assert max(times) > 2.0
    first = next(report for report in lab.reports if report.mode is ArmMode.HOLD)
    assert Code.SINGULARITY in {reason.code for reason in first.reasons}
    assert time_to_hold(lab.arm, first.began_s) <= BRAKING_S
    check_applied(lab.arm)


def test_f61_there_is_a_way_back_from_a_singular_posture() -> None:
    lab = Lab(arm_model="panda")
    stretch_out(lab)
    far = lab.hand()[0]
    for _ in range(3):
        assert Code.SINGULARITY not in {reason.code for reason in lab.step(action(dx=-0.02)).reasons}
    assert lab.arm.mode is ArmMode.RUNNING
    assert lab.hand()[0] < far - 0.04


# --------------------------------------------------------------------------- whatever is asked


@settings(max_examples=5, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(-2.0, 2.0, width=32), min_size=5, max_size=5).map(lambda row: np.array(row, np.float32)),
        min_size=1,
        max_size=25,
    )
)
def test_whatever_is_asked_the_arm_keeps_its_limits_and_stands_where_it_is_doubted(asked: list[np.ndarray]) -> None:
    lab = Lab()
    for one in asked:
        report = lab.step(one)
        held = [reason for reason in report.reasons if reason.text.endswith(": held")]
        assert not held or report.mode is ArmMode.HOLD
    check_applied(lab.arm)


@pytest.mark.parametrize(
    "wrong",
    [
        {"swings_to_slow": 0},
        {"swings_to_hold": 3},
        {"swing_steps": 5},
        {"beyond_share": 1.0},
        {"beyond_steps": 0},
        {"pressing_s": 0.0},
        {"pressing_s": float("nan")},
        {"singular_slow": 7.0},
        {"singular_hold": float("nan")},
    ],
)
def test_a_doubt_that_limits_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"control\.doubt: .*" + next(iter(wrong))):
        Lab(DoubtConfig(**wrong))  # type: ignore[arg-type]
