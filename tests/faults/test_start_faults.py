"""Row F78 of the fault catalogue: an arm far from where its task begins is refused, or led there slowly first."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vla.clock import VirtualClock
from vla.errors import ArmError, ArmHeld, ConfigError
from vla.interfaces import ArmMode, EpisodeSpec
from vla.kinematics import REST_POSTURE
from vla.testing import LoggedArm, check_applied, time_to_hold
from vla_robot_io.control_loop import ArmEnvironment, ControlConfig
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.reasons import Code, Reason
from vla_robot_io.start_posture import StartConfig
from vla_sim.embodiments import TABLETOP_PANDA

SPEC = EpisodeSpec(task="", seed=0, instruction="push the red block")
BOX = EnvelopeConfig([0.2, -0.4, 0.05], [0.8, 0.4, 0.6], floor_m=0.05, speed_factor=1.0)
RATE_HZ, START_S = 50.0, 100.0
AWAY = np.array([0.3, -0.1, 0.0, 0.2, 0.0, 0.0, -0.2])


class Lab:
    """An arm in its rest posture, and a task that begins somewhere."""

    def __init__(self, posture: np.ndarray | list[float], box: EnvelopeConfig = BOX, **start: float) -> None:
        self.clock = VirtualClock(START_S)
        robot = loopback_robot(self.clock, TABLETOP_PANDA, rate_hz=RATE_HZ)
        self.arm = LoggedArm(robot.arm, self.clock)
        self.posture = np.array(posture)
        control = ControlConfig(start=StartConfig(self.posture.tolist(), **start))  # type: ignore[arg-type]
        self.environment = ArmEnvironment(
            dataclasses.replace(robot, arm=self.arm, arm_model=None), self.clock, box, control
        )

    def begin(self) -> None:
        self.environment.reset(SPEC)


def test_f78_an_arm_that_is_far_from_where_its_task_begins_is_refused_before_torque() -> None:
    lab = Lab(REST_POSTURE + AWAY)
    with pytest.raises(ArmError, match=r"joint_1 is at 0\.000 rad, 0\.300 rad from where the task begins, over"):
        lab.begin()
    assert lab.arm.mode is ArmMode.CONFIGURED
    assert "arm" not in {entry.verb for entry in lab.arm.entries}


@pytest.mark.parametrize("posture", [[], REST_POSTURE + 0.5 * AWAY])
def test_f78_an_arm_that_is_near_or_of_which_nothing_is_declared_begins_where_it_stands(posture: list[float]) -> None:
    lab = Lab(posture)
    lab.begin()
    assert lab.arm.written == []
    assert lab.arm.mode is ArmMode.ARMED


def test_f78_where_it_may_the_arm_goes_there_slowly_and_holds() -> None:
    lab = Lab(REST_POSTURE + AWAY, go_there=True)
    lab.begin()
    state = lab.arm.read()
    assert state.commanded == pytest.approx(lab.posture, abs=2e-3)
    assert lab.arm.mode is ArmMode.HOLD
    way = np.array([entry.applied.positions for entry in lab.arm.written if entry.applied])
    speeds = np.abs(np.diff(way, axis=0)) * RATE_HZ
    assert (speeds <= 0.1 * lab.arm.spec.max_speed + 1e-9).all(), "at most a tenth of full speed"
    assert lab.clock.now() - START_S == pytest.approx(0.3 / 0.1, abs=1.0)
    check_applied(lab.arm)
    lab.environment.step(np.array([0.01, 0, 0, 0, 1], np.float32))
    assert lab.arm.mode is ArmMode.RUNNING


def test_f78_a_way_that_is_barred_ends_in_hold_with_the_reason() -> None:
    low = dataclasses.replace(BOX, box_low_m=[0.2, -0.4, 0.05], box_high_m=[0.8, 0.05, 0.6])
    lab = Lab(REST_POSTURE + AWAY, low, go_there=True)
    with pytest.raises(ArmHeld, match=r"on its way to where the task begins the arm was stopped: .*end_effector_y"):
        lab.begin()
    assert lab.arm.mode is ArmMode.HOLD
    assert lab.arm.written[-1].time_s - START_S < 3.0
    check_applied(lab.arm)


def test_f78_whoever_forbids_motion_stops_the_way_there() -> None:
    lab = Lab(REST_POSTURE + AWAY, go_there=True)
    let_go_s = START_S + 0.5

    def permit() -> Reason | None:
        is_held = lab.clock.now() < let_go_s
        return None if is_held else Reason(Code.DEAD_MAN, "operator", 1.0, 0.0, "the dead-man switch is not held")

    lab.environment.permit = permit
    with pytest.raises(ArmHeld, match="the dead-man switch is not held"):
        lab.begin()
    assert time_to_hold(lab.arm, let_go_s) <= 0.1
    check_applied(lab.arm)


@pytest.mark.parametrize(
    ("posture", "start", "told"),
    [
        ([0.0, 0.1], {}, "7 finite numbers"),
        ([np.nan] * 7, {}, "7 finite numbers"),
        (REST_POSTURE, {"tolerance_rad": 0.0}, "tolerance_rad must be finite and above 0"),
        (REST_POSTURE, {"speed_rad_s": np.nan}, "speed_rad_s must be finite and above 0"),
    ],
)
def test_a_beginning_that_cannot_be_is_refused(posture: list[float], start: dict[str, float], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Lab(posture, BOX, **start)
