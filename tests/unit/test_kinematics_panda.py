"""The Panda's kinematics: the public link table, and an inverse that undoes the forward."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla.errors import ConfigError
from vla.kinematics import REST_POSTURE, ArmKinematics

# Franka Control Interface documentation: a (m), d (m), alpha (rad) of joints 1 to 7, Craig's convention.
LINK_TABLE = (
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -math.pi / 2),
    (0.0, 0.316, math.pi / 2),
    (0.0825, 0.0, math.pi / 2),
    (-0.0825, 0.384, -math.pi / 2),
    (0.0, 0.0, math.pi / 2),
    (0.088, 0.0, math.pi / 2),
)
FLANGE_TO_TCP_M = 0.107 + 0.1034


@pytest.fixture(scope="module")
def kinematics() -> ArmKinematics:
    return ArmKinematics("panda")


def _link(a: float, d: float, alpha: float, theta: float) -> np.ndarray:
    ca, sa, ct, st = math.cos(alpha), math.sin(alpha), math.cos(theta), math.sin(theta)
    return np.array([[ct, -st, 0, a], [st * ca, ct * ca, -sa, -d * sa], [st * sa, ct * sa, ca, d * ca], [0, 0, 0, 1]])


def _from_table(positions: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    for (a, d, alpha), theta in zip(LINK_TABLE, positions, strict=True):
        pose = pose @ _link(a, d, alpha, theta)
    hand = np.eye(4)
    hand[:2, :2] = [[math.cos(-math.pi / 4), -math.sin(-math.pi / 4)], [math.sin(-math.pi / 4), math.cos(-math.pi / 4)]]
    hand[2, 3] = FLANGE_TO_TCP_M
    return pose @ hand


@pytest.mark.parametrize("seed", range(20))
def test_forward_agrees_with_the_public_link_table(kinematics: ArmKinematics, seed: int) -> None:
    positions = np.random.default_rng(seed).uniform(kinematics.position_low, kinematics.position_high)
    expected = _from_table(positions)
    pose = kinematics.forward(positions)
    assert pose[:3] == pytest.approx(expected[:3, 3], abs=1e-9)
    assert pose[3] == pytest.approx(math.atan2(expected[1, 0], expected[0, 0]), abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_inverse_reaches_a_pose_over_the_table_within_the_limits(kinematics: ArmKinematics, seed: int) -> None:
    pose = np.random.default_rng(seed).uniform([0.36, -0.22, 0.02, -0.8], [0.66, 0.22, 0.28, 0.8])
    positions = kinematics.inverse(pose, REST_POSTURE, max_iterations=60)
    assert kinematics.forward(positions) == pytest.approx(pose, abs=1e-3)
    assert (positions >= kinematics.position_low).all()
    assert (positions <= kinematics.position_high).all()


def test_the_gripper_points_down(kinematics: ArmKinematics) -> None:
    positions = kinematics.inverse(np.array([0.5, 0.1, 0.1, 0.5]), REST_POSTURE, max_iterations=60)
    assert _from_table(positions)[:3, 2] == pytest.approx([0, 0, -1], abs=1e-3)


def test_one_control_step_is_solved_from_where_the_arm_was(kinematics: ArmKinematics) -> None:
    pose = np.array([0.5, 0.0, 0.15, 0.0])
    begin = kinematics.inverse(pose, REST_POSTURE, max_iterations=60)
    moved = pose + np.array([0.04, -0.04, -0.04, 0.2])
    assert kinematics.forward(kinematics.inverse(moved, begin)) == pytest.approx(moved, abs=5e-4)


def test_inverse_depends_on_its_arguments_alone(kinematics: ArmKinematics) -> None:
    pose = np.array([0.45, -0.1, 0.08, 0.3])
    first = kinematics.inverse(pose, REST_POSTURE)
    kinematics.inverse(np.array([0.6, 0.2, 0.02, -0.7]), REST_POSTURE)
    assert np.array_equal(kinematics.inverse(pose, REST_POSTURE), first)


def test_a_pose_out_of_reach_stays_within_the_joint_limits(kinematics: ArmKinematics) -> None:
    positions = kinematics.inverse(np.array([1.5, 0.0, 0.5, 0.0]), REST_POSTURE, max_iterations=60)
    assert (positions >= kinematics.position_low).all()
    assert (positions <= kinematics.position_high).all()


def test_limits_are_those_of_the_embodiment(kinematics: ArmKinematics) -> None:
    from vla_sim.embodiments import TABLETOP_PANDA

    fields = TABLETOP_PANDA.proprioception[:7]
    assert tuple(field.name for field in fields) == kinematics.joints
    assert [field.low for field in fields] == pytest.approx(kinematics.position_low)
    assert [field.high for field in fields] == pytest.approx(kinematics.position_high)


def test_an_unknown_arm_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown arm 'pandas'; did you mean 'panda'\?"):
        ArmKinematics("pandas")
