"""Every arm's kinematics: forward and inverse agree in its workspace, limits hold, published tables agree."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla.kinematics import ARMS, ArmKinematics
from vla_sim.worlds.benches import BENCHES, Bench

# "Parameters for calculations of kinematics and dynamics", e-Series: a (m), d (m), alpha (rad), standard convention.
UR5E_TABLE = (
    (0.0, 0.1625, math.pi / 2),
    (-0.425, 0.0, 0.0),
    (-0.3922, 0.0, 0.0),
    (0.0, 0.1333, math.pi / 2),
    (0.0, 0.0997, -math.pi / 2),
    (0.0, 0.0996, 0.0),
)
FLANGE_TO_TCP_M = 0.1034
# so101_new_calib.urdf, in the plane of the arm: m.
PLINTH_M, PAN_M, SHOULDER_M = 0.1, 0.0624, (0.0304, 0.0542)
UPPER_ARM_M, LOWER_ARM_M, WRIST_M, TIP_M = (0.028, 0.11257), (0.1349, 0.0052), 0.0611, 0.0981

unit = st.floats(0.0, 1.0)
poses = st.tuples(unit, unit, unit, unit).map(np.array)
arms = st.sampled_from(ARMS)
far = st.tuples(*[st.floats(-2.0, 2.0)] * 3, st.floats(-3.0, 3.0)).map(np.array)


@functools.cache
def kinematics(arm: str) -> ArmKinematics:
    return ArmKinematics(arm)


def within(bench: Bench, share: np.ndarray) -> np.ndarray:
    """The pose at this share of the way through the workspace, from corner to corner."""
    return bench.workspace_low + share * (bench.workspace_high - bench.workspace_low)


def joints_at(arm: str, shares: list[float]) -> np.ndarray:
    model = kinematics(arm)
    share = np.array(shares[: len(model.joints)])
    return model.position_low + share * (model.position_high - model.position_low)


def approach_axis(arm: str, positions: np.ndarray) -> np.ndarray:
    """The hand's z axis in the base frame, by the model's own frames."""
    import mujoco

    model = kinematics(arm).model
    data = mujoco.MjData(model)
    data.qpos[: len(positions)] = positions
    mujoco.mj_kinematics(model, data)
    return data.site_xmat[model.site("tcp").id].reshape(3, 3)[:, 2]


def test_every_arm_has_a_bench() -> None:
    assert set(BENCHES) == set(ARMS)


@settings(max_examples=60, deadline=None)
@given(arm=arms, share=poses)
def test_every_pose_of_the_workspace_is_reached_with_the_gripper_down(arm: str, share: np.ndarray) -> None:
    bench = BENCHES[arm]
    pose = within(bench, share)
    positions = kinematics(arm).reach(pose)
    assert kinematics(arm).forward(positions) == pytest.approx(pose, abs=5e-4)
    assert approach_axis(arm, positions) == pytest.approx([0, 0, -1], abs=2e-3)
    assert (positions >= kinematics(arm).position_low).all()
    assert (positions <= kinematics(arm).position_high).all()


@settings(max_examples=60, deadline=None)
@given(arm=arms, share=poses, step=st.tuples(*[st.floats(-1.0, 1.0)] * 4).map(np.array))
def test_one_control_step_is_solved_from_where_the_arm_was(arm: str, share: np.ndarray, step: np.ndarray) -> None:
    bench = BENCHES[arm]
    begin = within(bench, share)
    moved = begin + step * bench.embodiment.action_high[:4]
    pose = np.clip(moved, bench.workspace_low, bench.workspace_high)
    positions = kinematics(arm).inverse(pose, kinematics(arm).reach(begin))
    assert kinematics(arm).forward(positions) == pytest.approx(pose, abs=1e-3)


@settings(max_examples=20, deadline=None)
@given(arm=arms, pose=far)
def test_no_pose_at_all_drives_a_joint_beyond_its_limits(arm: str, pose: np.ndarray) -> None:
    for positions in (kinematics(arm).reach(pose), kinematics(arm).inverse(pose, kinematics(arm).rest_posture)):
        assert np.isfinite(positions).all()
        assert (positions >= kinematics(arm).position_low).all()
        assert (positions <= kinematics(arm).position_high).all()


@settings(max_examples=40, deadline=None)
@given(shares=st.lists(unit, min_size=6, max_size=6))
def test_the_ur5e_agrees_with_its_published_table(shares: list[float]) -> None:
    positions = joints_at("ur5e", shares)
    expected = np.diag([-1.0, -1.0, 1.0, 1.0])  # `base` in `base_link`: half a turn about z
    for (a, d, alpha), theta in zip(UR5E_TABLE, positions, strict=True):
        expected = expected @ _link(a, d, alpha, theta)
    expected = expected @ _along_z(FLANGE_TO_TCP_M)
    pose = kinematics("ur5e").forward(positions)
    assert pose[:3] == pytest.approx(expected[:3, 3], abs=1e-9)
    assert approach_axis("ur5e", positions) == pytest.approx(expected[:3, 2], abs=1e-9)
    assert np.hypot(*expected[:2, 0]) < 1e-6 or _turn(pose[3], math.atan2(expected[1, 0], expected[0, 0])) < 1e-6


def _link(a: float, d: float, alpha: float, theta: float) -> np.ndarray:
    """Rz(theta) Tz(d) Tx(a) Rx(alpha)."""
    ca, sa, ct, st_ = math.cos(alpha), math.sin(alpha), math.cos(theta), math.sin(theta)
    return np.array(
        [[ct, -st_ * ca, st_ * sa, a * ct], [st_, ct * ca, -ct * sa, a * st_], [0, sa, ca, d], [0, 0, 0, 1]]
    )


def _along_z(distance: float) -> np.ndarray:
    moved = np.eye(4)
    moved[2, 3] = distance
    return moved


def _turn(one: float, other: float) -> float:
    return abs(math.remainder(one - other, math.tau))


@settings(max_examples=40, deadline=None)
@given(shares=st.lists(unit, min_size=5, max_size=5))
def test_the_so101_agrees_with_its_published_distances(shares: list[float]) -> None:
    pan, lift, elbow, flex, _ = positions = joints_at("so101", shares)
    ahead, up = SHOULDER_M[0], PLINTH_M + PAN_M + SHOULDER_M[1]
    tilt = 0.0
    for turn, (x, z) in ((lift, UPPER_ARM_M), (elbow, LOWER_ARM_M), (flex, (WRIST_M + TIP_M, 0.0))):
        tilt += turn
        ahead += x * math.cos(tilt) + z * math.sin(tilt)
        up += z * math.cos(tilt) - x * math.sin(tilt)
    expected = [ahead * math.cos(-pan), ahead * math.sin(-pan), up]
    assert kinematics("so101").forward(positions)[:3] == pytest.approx(expected, abs=1e-9)


@given(pan=st.floats(-1.9, 1.9), roll=st.floats(-2.7, 2.7))
def test_the_so101s_yaw_is_its_roll_less_its_pan_when_the_gripper_points_down(pan: float, roll: float) -> None:
    positions = np.array([pan, -0.2, 0.6, math.pi / 2 - 0.4, roll])
    assert _turn(kinematics("so101").forward(positions)[3], roll - pan) < 1e-9


@pytest.mark.parametrize("arm", ARMS)
def test_limits_and_names_are_those_of_the_embodiment(arm: str) -> None:
    model, body = kinematics(arm), BENCHES[arm].embodiment
    fields = body.proprioception[: len(model.joints)]
    assert tuple(field.name for field in fields) == model.joints
    assert [field.low for field in fields] == pytest.approx(model.position_low)
    assert [field.high for field in fields] == pytest.approx(model.position_high)
    assert body.proprioception[len(model.joints)].high == model.opening_high_m


@pytest.mark.parametrize("arm", ARMS)
def test_the_rest_posture_holds_the_gripper_down_in_the_workspace(arm: str) -> None:
    pose = kinematics(arm).forward(kinematics(arm).rest_posture)
    assert (pose > BENCHES[arm].workspace_low).all()
    assert (pose < BENCHES[arm].workspace_high).all()
    assert approach_axis(arm, kinematics(arm).rest_posture) == pytest.approx([0, 0, -1], abs=2e-3)
