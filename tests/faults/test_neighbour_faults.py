"""Row F37 of the fault catalogue in motion: two arms that may work in one place never come near each other."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.clock import VirtualClock
from vla.errors import ConfigError
from vla.interfaces import ArmMode, EpisodeSpec
from vla.kinematics import REST_POSTURE, ArmKinematics
from vla.testing import LoggedArm, check_applied
from vla_robot_io.bench import BenchConfig
from vla_robot_io.control_loop import ArmEnvironment, ControlConfig, StepReport
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.neighbours import ArmBalls, distance_m
from vla_robot_io.reasons import Code
from vla_sim.embodiments import TABLETOP_PANDA

SPEC = EpisodeSpec(task="", seed=0, instruction="push the red block")
BOX = EnvelopeConfig([0.2, -0.4, 0.1], [0.8, 0.4, 0.6], floor_m=0.1, speed_factor=1.0)
FORWARD = np.array([0.015, 0.0, 0.0, 0.0, 1.0], np.float32)
BACK = -FORWARD + np.array([0, 0, 0, 0, 2], np.float32)
STILL = np.array([0.0, 0.0, 0.0, 0.0, 1.0], np.float32)
FACING_M, SEPARATION_M = 1.4, 0.1
STEP_M = 0.05
"""As far as a shape moves in one control step here, at most."""


class Lab:
    """One arm of a bench, in a loop of its own."""

    def __init__(self, folder: Path, name: str, x_m: float, yaw_rad: float, model: str | None = "panda") -> None:
        self.clock = VirtualClock(100.0)
        robot = loopback_robot(self.clock, TABLETOP_PANDA)
        self.arm = LoggedArm(robot.arm, self.clock)
        bench = BenchConfig(str(folder), name, [x_m, 0.0, 0.0], yaw_rad, SEPARATION_M, share=True)
        robot = dataclasses.replace(robot, arm=self.arm, arm_model=model)
        self.environment = ArmEnvironment(robot, self.clock, BOX, ControlConfig(bench=bench))
        self.balls = ArmBalls("panda", bench.base_m, yaw_rad)
        self.reports: list[StepReport] = []
        self.environment.on_step = self.reports.append

    def begin(self) -> None:
        self.environment.reset(SPEC)

    @property
    def shape(self) -> np.ndarray:
        return self.balls.at(self.environment.report.state.positions)

    @property
    def codes(self) -> set[Code]:
        return {reason.code for reason in self.reports[-1].reasons}


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Lab, Lab]]:
    left, right = Lab(tmp_path, "left", 0.0, 0.0), Lab(tmp_path, "right", FACING_M, math.pi)
    for lab in (left, right):
        lab.begin()
    yield left, right
    for lab in (left, right):
        lab.environment.close()


def test_f37_arms_that_move_towards_each_other_are_both_held_before_they_meet(both: tuple[Lab, Lab]) -> None:
    left, right = both
    nearest_m = math.inf
    for _ in range(25):
        for lab in both:
            lab.environment.step(FORWARD)
        nearest_m = min(nearest_m, distance_m(left.shape, right.shape))
    assert SEPARATION_M - STEP_M <= nearest_m <= SEPARATION_M + STEP_M
    for lab in both:
        assert Code.NEIGHBOUR in lab.codes
        assert lab.arm.mode is ArmMode.HOLD
        check_applied(lab.arm)
    assert "'left' would come 0.0" in left.reports[-1].reasons[-1].text


def test_f37_the_way_back_is_free(both: tuple[Lab, Lab]) -> None:
    left, _ = both
    for _ in range(25):
        for lab in both:
            lab.environment.step(FORWARD)
    before = left.shape
    for _ in range(3):
        left.environment.step(BACK)
    assert left.arm.mode is ArmMode.RUNNING
    assert np.abs(left.shape - before).max() > 0.01


def test_f37_an_arm_whose_neighbour_has_ended_moves_freely(both: tuple[Lab, Lab]) -> None:
    left, right = both
    right.environment.close()
    for _ in range(25):
        left.environment.step(FORWARD)
    assert all(Code.NEIGHBOUR not in {reason.code for reason in report.reasons} for report in left.reports)
    assert left.arm.mode is ArmMode.RUNNING


def test_f37_a_shape_that_cannot_be_read_is_not_moved_beside(both: tuple[Lab, Lab], tmp_path: Path) -> None:
    left, _ = both
    for spoilt in (b"", b"12345", np.full(4, np.nan).tobytes()):
        (tmp_path / "right.shape").write_bytes(spoilt)
        with pytest.raises(ConfigError, match="holds no shape of an arm"):
            left.environment.step(FORWARD)


def test_f37_only_an_arm_whose_shape_is_known_shares_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"share=true needs an arm whose shapes are known"):
        Lab(tmp_path, "left", 0.0, 0.0, model=None)


@given(st.integers(0, 2**32 - 1))
def test_every_corner_of_every_link_is_in_a_ball(seed: int) -> None:
    kinematics = ArmKinematics("panda")
    generator = np.random.default_rng(seed)
    posture = generator.uniform(kinematics.position_low, kinematics.position_high)
    balls = ArmBalls("panda", [0.0, 0.0, 0.0], 0.0).at(posture)
    model, data = kinematics.model, mujoco.MjData(kinematics.model)
    data.qpos[: len(posture)] = posture
    mujoco.mj_kinematics(model, data)
    geom = int(generator.integers(model.ngeom))
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX:
        inside = model.geom_size[geom] * generator.choice([-1, 1], 3)
    else:
        radius, half = model.geom_size[geom][:2]
        angle = generator.uniform(0, 2 * math.pi)
        inside = np.array([radius * math.cos(angle), radius * math.sin(angle), half * generator.uniform(-1, 1)])
    point = data.geom_xpos[geom] + data.geom_xmat[geom].reshape(3, 3) @ inside
    assert (np.linalg.norm(balls[:, :3] - point, axis=1) <= balls[:, 3] + 1e-9).any()


def test_balls_are_where_the_bench_says() -> None:
    here = ArmBalls("panda", [0.0, 0.0, 0.0], 0.0).at(REST_POSTURE)
    there = ArmBalls("panda", [1.0, 2.0, 0.1], math.pi).at(REST_POSTURE)
    assert there[:, :3] == pytest.approx(here[:, :3] * [-1, -1, 1] + [1.0, 2.0, 0.1])
    assert (there[:, 3] == here[:, 3]).all()
